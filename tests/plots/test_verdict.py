"""The verdict as a picture: intervals over tolerances, lines at what is allowed, and in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from bayesinn import plots
from bayesinn.core.labels import Labels
from bayesinn.diagnosis import Diagnosis, Evidence, diagnose_arrays
from bayesinn.diagnosis.verdict import bar
from bayesinn.plots.calibration import ecdf_limits, histogram_limits
from bayesinn.plots.panels import GRADES
from tests.diagnostics.conjugate import normal
from tests.plots.legible import overlaps, shortest_axis


def diagnosis(size: int = 300, width: float = 1.0, count: int = 2) -> Diagnosis:
    truth, draws, prior = normal(size=size, draws=100, event=(count,), width=width)
    labels = Labels({"mean": r"$\mu$"}, {"mean": "mm"})
    found = diagnose_arrays(Evidence(truth, draws, prior, labels, seed=4))
    return replace(found, again=lambda name, value: f"bayesinn diagnose runs/x --{name} {value}")


@pytest.fixture(scope="module")
def few() -> Diagnosis:
    return diagnosis()


@pytest.fixture(scope="module")
def wide() -> Diagnosis:
    return diagnosis(width=1.4)


def texts(figure: Figure) -> str:
    (ax,) = figure.axes
    below = figure.get_supxlabel()
    return "\n".join([*(text.get_text() for text in ax.texts), below])


def intervals(figure: Figure) -> list[np.ndarray]:
    """Ends (2,) of each drawn interval."""
    return [lines.get_segments()[0][:, 0] for lines in figure.axes[0].collections]


def test_an_interval_is_drawn_over_its_tolerance(few: Diagnosis) -> None:
    figure = plots.verdict(few, labels=few.evidence.labels)
    rows = few.verdict[few.verdict["grade"].ne("")]
    names = [text.get_text()[2:] for text in figure.axes[0].get_yticklabels()]
    assert names == list(rows.index)
    reach = figure.axes[0].get_xlim()[1]
    for drawn, row in zip(intervals(figure), rows.itertuples(), strict=True):
        ends = np.array([row.lower, row.upper]) / row.tolerance
        assert drawn == pytest.approx(np.clip(ends, -reach, reach))
    upright = [line.get_xdata()[0] for line in figure.axes[0].lines[:2]]
    assert upright == [-1.0, 1.0]


def test_the_command_that_decides_is_said(few: Diagnosis, wide: Diagnosis) -> None:
    for found in (few, wide):
        assert found.undecided
        number = found.what_decides.rpartition("--simulations ")[2].rstrip(".")
        assert int(number) > 300
        for said in (found.text, texts(plots.verdict(found)), repr(found)):
            assert "--simulations " + number in " ".join(said.split())
    # Also where something is outside: the box told nothing of checks without an answer.
    assert f"{len(wide.undecided)} of 4 checks" in wide.text
    assert f"bayesinn diagnose runs/x --simulations {number}" in wide.actions[-1]


def test_grades_are_told_by_colour_and_marker(wide: Diagnosis) -> None:
    figure = plots.verdict(wide)
    colours = [tuple(lines.get_color()[0]) for lines in figure.axes[0].collections]
    grades = list(wide.verdict.loc[wide.verdict["grade"].ne(""), "grade"])
    assert {"outside", "undecided"} <= set(grades)
    assert colours == [to_rgba(GRADES[grade][0]) for grade in grades]
    markers = {line.get_marker() for line in figure.axes[0].lines}
    assert {GRADES[grade][1] for grade in grades} <= markers
    signs = [text.get_text()[0] for text in figure.axes[0].get_yticklabels()]
    assert signs == [{"outside": "✗", "undecided": "?", "within": "✓"}[grade] for grade in grades]


@pytest.mark.parametrize("count", [1, 34])
def test_texts_do_not_overlap(count: int) -> None:
    figure = plots.verdict(diagnosis(count=count))
    assert overlaps(figure) == []
    assert shortest_axis(figure) > 1.2


def test_a_bar_of_letters() -> None:
    assert bar(np.array([0.0, -0.4, 0.4]), "within") == "·····│··━━●━━··│·····"
    assert bar(np.array([3.0, 1.2, 6.0]), "outside").endswith("│━━━━▶")
    assert bar(np.array([np.nan] * 3), "") == " " * 21


def test_the_terminal_shows_bars_and_what_is_allowed(few: Diagnosis) -> None:
    lines = repr(few).splitlines()
    (line,) = (line for line in lines if line.startswith("  SBC"))
    assert "━" in line
    assert "◆" in line
    assert "(allowed: " in line
    assert "0.07 sd" in line
    coloured = few.__rich__()
    assert any("yellow" in str(span.style) for span in coloured.spans)


@pytest.mark.parametrize("name", ["sbc_ecdf", "sbc_histogram", "coverage", "tarp"])
def test_figures_of_calibration_draw_what_is_allowed(few: Diagnosis, name: str) -> None:
    (finding,) = (one for one in few.findings if name in one.check.figures)
    draw, _ = finding.check.figures[name]
    plain = draw(finding.result, labels=few.evidence.labels)
    judged = draw(finding.result, labels=few.evidence.labels, errors=finding.errors)
    allowed = [
        [line for line in figure.axes[0].lines if str(line.get_label()).startswith("allowed")]
        for figure in (plain, judged)
    ]
    assert allowed[0] == []
    assert len(allowed[1]) >= 2
    assert " of " in " ".join(judged.axes[0].get_title().split())
    assert overlaps(judged) == []
    if name in ("coverage", "tarp"):
        unit = 5.0 if name == "coverage" else 0.05
        heights = sorted(float(line.get_ydata()[0]) for line in allowed[1])
        assert heights == pytest.approx([-unit, unit])


def test_a_curve_within_tolerance_is_blue_though_it_leaves_the_band() -> None:
    # 3 % too wide: with 20,000 simulations p is tiny, and nothing is wrong that matters.
    truth, draws, prior = normal(size=20_000, draws=60, width=1.03)
    found = diagnose_arrays(Evidence(truth, draws, prior, seed=1))
    (sbc,) = (one for one in found.findings if one.check.name == "SBC")
    assert sbc.grade == "within"
    assert not sbc.result.inside[0]
    figure = plots.ecdf(sbc.result, errors=sbc.errors)
    curve = figure.axes[0].lines[-1]
    assert curve.get_color() == GRADES["within"][0]
    assert curve.get_label() == "within tolerance"


@pytest.mark.parametrize("draw", [plots.ecdf, plots.sbc_histogram])
def test_a_curve_that_nothing_can_judge_says_so(few: Diagnosis, draw) -> None:
    # As an error without an upper bound.
    finding = few.findings[0]
    figure = draw(finding.result, errors=finding.errors.assign(grade=""))
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "not judged" in names
    assert not any("tolerance" in name for name in names)


def test_errors_of_correlation_are_drawn_over_what_is_allowed() -> None:
    truth, draws, prior = normal(size=400, draws=60, event=(3,))
    generator = np.random.default_rng(2)
    noise = generator.normal(size=(400, 60, 1))
    mixed = {"mean": draws["mean"] + 1.5 * noise}
    found = diagnose_arrays(Evidence(truth, mixed, prior, seed=1))
    (pairs,) = (one for one in found.findings if one.check.name == "dependence")
    figure = plots.dependence(pairs.result, errors=pairs.errors)
    assert "outside" in set(pairs.errors["grade"])
    ax, bar_axes = figure.axes
    assert "allowed" in bar_axes.get_ylabel()
    frames = [patch for patch in ax.patches if patch.get_linestyle() == "-"]
    assert len(frames) == (pairs.errors["grade"] == "outside").sum()
    shown = {text.get_text().replace("\N{MINUS SIGN}", "-") for text in ax.texts}
    assert shown == {f"{value:+.2f}" for value in pairs.errors["estimate"]}


@pytest.mark.parametrize("spread", [100.0, 250.0])
def test_any_narrowness_is_allowed_by_a_tolerance_of_all_of_it(spread: float) -> None:
    """No standard deviation is below zero: limits come from 0 to 1 + spread."""
    errors = pd.DataFrame(
        {"measure": ["shift", "error of spread"], "tolerance": [0.1, spread], "unit": ["sd", "%"]}
    )
    points = np.linspace(0.0, 1.0, 101)
    (limit,) = ecdf_limits(errors, points)
    assert np.isfinite([limit.low, limit.high]).all()
    # Ranks may all be one: a step near the middle, that of the shift.
    assert limit.low[[0, 40, 100]] == pytest.approx([0.0, -0.4, 0.0])
    assert limit.high[[0, 60, 100]] == pytest.approx([0.0, 0.4, 0.0])
    (heights,) = histogram_limits(errors, points)
    assert np.isfinite(heights.high).all()
    assert np.min(heights.low) == 0.0
