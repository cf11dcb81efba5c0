"""Formulas drawn for HTML: on the line, in size and colour of the text; never an exception."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from bayesinn.diagnosis.report.mathtext import write_label


def style(label: str) -> dict[str, float]:
    found = dict(
        re.findall(r"(width|height|vertical-align):(-?[\d.]+)em", write_label(label, "name"))
    )
    return {name: float(value) for name, value in found.items()}


def test_a_drawing_is_small_well_formed_and_says_its_name() -> None:
    drawing = write_label(r"$\lambda_{I}$[1] & more", 'a "name" <b>')
    root = ElementTree.fromstring(drawing)
    assert root.attrib["aria-label"] == 'a "name" <b>'
    assert root[0].attrib["fill"] == "currentColor"
    assert set(re.sub(r"[-\d.e ]", "", root[0].attrib["d"])) <= set("MLQCZ")
    # Nothing that could clash with a second drawing on the page, or that changes from one run to
    # the next.
    assert " id=" not in drawing
    assert drawing == write_label(r"$\lambda_{I}$[1] & more", 'a "name" <b>')
    assert len(drawing) < 10_000


def test_drawings_stand_on_the_line() -> None:
    # Letters without descender stand on the line (round ones hang below it by 0.02 em); mu has one;
    # indices are below.
    assert style("$x$")["vertical-align"] == pytest.approx(0.0, abs=0.02)
    assert -0.3 < style(r"$\mu$")["vertical-align"] < -0.15
    assert style("$x_I$")["vertical-align"] < style("$x$")["vertical-align"] - 0.1
    # An x is about half as high as the letters are large; a fraction is higher, two letters are
    # wider.
    assert style("$x$")["height"] == pytest.approx(0.55, abs=0.05)
    assert style(r"$\frac{a}{b}$")["height"] > 1.0
    assert style("$xx$")["width"] > 1.8 * style("$x$")["width"]


@pytest.mark.parametrize(
    "label", [r"$\unknown$", r"$\frac{a}$", "$x", "$ $", "$$", "$x_{$", "$" * 7]
)
def test_what_cannot_be_drawn_is_named(label: str) -> None:
    assert write_label(label, "<rate>") in (
        "&lt;rate&gt;",
        write_label(label.replace("$", r"\$"), "<rate>"),
    )


def test_text_without_formula_stays_text() -> None:
    assert write_label("rate <1>", "name") == "rate &lt;1&gt;"
