"""Committed figures: those of the tables, as wide as a page, legible, with names of their axes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from PIL import Image

from bayesinn import plots
from bayesinn.plots.panels import PAGE
from docs.figures import FIGURES
from docs.pages.links import ROOT
from tests.plots.legible import drawn, smallest

#: Pixels of a page at 150 to an inch.
WIDEST = 1_110
#: Drawn by scripts from draws that are not kept, most by functions of the library.
FROM_DRAWS = {
    "paper_results/colorization/deblurring.png",
    "paper_results/covid19_germany/marginals.png",
    "paper_results/covid19_germany/marginals_regular.png",
    "paper_results/covid19_germany/forecast.png",
    "paper_results/gaussian_field/posteriors.png",
    "paper_results/multispectral/design.png",
    "paper_results/multispectral/map.png",
    "paper_results/multispectral/methods.png",
    "paper_results/sir_germany/marginals.png",
    "paper_results/sir_germany/predictive_cases.png",
    "paper_results/sir_germany/sbc.png",
    "paper_results/two_moons/draws.png",
}
#: Wider: drawn before their scripts kept to this, and to be drawn again with their next run.
WIDER = {
    *(f"paper_results/multispectral/{name}.png" for name in ("design", "map", "methods")),
}
SCRIPTS = [*ROOT.glob("paper_results/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]
#: What a script has that doesn't keep to the style of the house, or draws beyond a page.
ODD = {
    "pyplot": r"pyplot|savefig",
    "a colour of its own": r"\"#[0-9a-fA-F]{6}\"|color=(f?\"C|\"(?!white|none))",
    "a figure wider than a page": r"Figure\((figsize=)?\((7\.[5-9]|[89]|\d\d|\d+\.\d* \*)",
}


def committed(*folders: str) -> list[str]:
    return [name for name in tracked(*folders) if name.endswith((".png", ".svg"))]


def tracked(*paths: str) -> list[str]:
    command = ["git", "ls-files", *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", FIGURES)
def test_drawn_again_it_is_the_same_file_and_legible(name: str, tmp_path: Path) -> None:
    figure = FIGURES[name]()
    file = plots.save(figure, tmp_path / Path(name).name)
    remedy = f"run python -m docs.figures {name}"
    assert file.read_bytes() == (ROOT / name).read_bytes(), remedy
    assert figure.get_figwidth() <= PAGE
    assert smallest(figure) >= 7.0
    assert unnamed(figure) == []


def test_every_committed_figure_is_drawn_again_or_listed() -> None:
    assert set(committed("paper_results", "benchmarks", "docs/_static")) == {*FIGURES} | FROM_DRAWS


def test_no_picture_is_wider_than_a_page() -> None:
    wide = set()
    for name in committed("paper_results", "docs"):
        if name.endswith(".png"):
            with Image.open(ROOT / name) as picture:
                inches = picture.width / picture.info["dpi"][0]
            wide |= {name} if 150 * inches > WIDEST + 1 else set()
    assert wide - WIDER == set()


@pytest.mark.parametrize("oddity", ODD)
def test_scripts_keep_to_the_style(oddity: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for file in SCRIPTS
        for line in file.read_text().splitlines()
        if re.search(ODD[oddity], line)
    ]
    assert found == []


def test_functions_that_make_a_figure_have_the_style() -> None:
    bare = []
    for file in SCRIPTS:
        for block in re.split(r"\n\n\n", file.read_text()):
            if re.search(r"\bFigure\(", block) and not re.search(r"@(panels\.)?styled\n", block):
                bare.append(f"{file.relative_to(ROOT)}: {block.splitlines()[0]}")
    assert bare == []


def test_pages_describe_the_figures_that_they_show() -> None:
    short = []
    for page in (ROOT / name for name in tracked("*.md")):
        texts = re.findall(r"!\[([^\]]*)\]\([^)\s]+\.(?:png|svg)\)", page.read_text())
        for options in re.findall(r"```\{figure\} .+\n((?:.*\n)*?)```", page.read_text()):
            texts += re.findall(r":alt: (.+)", options) or [""]
        short += [f"{page}: {text!r}" for text in texts if len(text.split()) < 3]
    assert short == []


def unnamed(figure: Figure) -> list[str]:
    """Return axes with numbers that have no name, nor has one in the same row or column.

    Numbers at pictures are titles of these.
    """
    shown = {id(text) for text in drawn(figure)}
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>" and not ax.images]

    def named(axis: Axis) -> bool:
        return bool(axis.get_label_text())

    found = []
    for number, ax in enumerate(panels):
        for axis, side in ((ax.xaxis, "x0"), (ax.yaxis, "y0")):
            texts = [text.get_text() for text in axis.get_ticklabels() if id(text) in shown]
            if not any(re.fullmatch(r"[\d.,\N{MINUS SIGN}]+", text) for text in texts):
                continue
            beside = [other for other in panels if _level(ax, other, side)]
            if not any(named(getattr(other, axis.axis_name + "axis")) for other in beside):
                found.append(f"{axis.axis_name} of panel {number}: {texts}")
    return found


def _level(one: Axes, other: Axes, side: str) -> bool:
    return abs(getattr(one.bbox, side) - getattr(other.bbox, side)) < 0.05 * one.figure.dpi
