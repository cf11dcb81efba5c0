"""The predictive checks' figure has a panel a statistic, names it, and fits 1 to 21 panels."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure

from bayesinn.core.labels import Labels
from bayesinn.diagnostics.predictive import PredictiveResult, predictive_checks
from bayesinn.plots.predictive import predictive_checks as draw

LABELS = Labels({"cases": r"$\mu$"}, {"cases": "1/day"})


def result(shape: tuple[int, ...], shift: float | np.ndarray = 0.0) -> PredictiveResult:
    # Enough draws to flag one of 56 statistics.
    size = 11_301 if shape == (20, 8) else 2_101
    data = np.random.default_rng(1).poisson(20.0, size=(size, *shape))
    return predictive_checks({"cases": data[1:]}, {"cases": data[0] + shift})


@pytest.mark.parametrize(("shape", "count"), [((), 1), ((20,), 7), ((20, 3), 21)])
def test_one_panel_a_statistic(shape: tuple[int, ...], count: int) -> None:
    checked = result(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw(checked, labels=LABELS)
        figure.set_dpi(30)
        figure.draw_without_rendering()
    assert len(figure.axes) == count
    assert figure.get_figwidth() <= 7.5
    for ax, name, p_value in zip(figure.axes, checked.statistics, checked.p_value, strict=True):
        assert name in " ".join(ax.get_xlabel().split())
        assert r"$\mu$" in ax.get_title()
        assert f"p = {p_value:.2g}" in ax.get_title()
    assert "[1/day]" in figure.axes[0].get_xlabel()
    assert "[1/day]" not in figure.axes[-1].get_xlabel() or count == 1


def test_of_many_statistics_those_of_the_smallest_p_values_are_drawn() -> None:
    checked = result((20, 8), shift=np.append(np.zeros(7), 6.0))
    assert len(checked.p_value) == 56
    figure = draw(checked)
    assert len(figure.axes) == 40
    assert figure.get_suptitle() == "16 more are not drawn"
    written = [float(ax.get_title().split("p = ")[1]) for ax in figure.axes]
    assert sorted(written) == pytest.approx(np.sort(checked.p_value)[:40], rel=0.06)
    red = [ax for ax in figure.axes if ax.patches[0].get_label() == "replicated, flagged"]
    assert len(red) == checked.flagged.sum() > 0
    assert all("cases[7]" in ax.get_title() for ax in red)


def test_every_panel_shows_where_the_observation_is() -> None:
    checked = result((20,), shift=5.0)
    for ax, observed in zip(draw(checked).axes, checked.observed, strict=True):
        low, high = ax.get_xlim()
        assert ax.lines[0].get_xdata()[0] == pytest.approx(observed)
        assert low < observed < high
    far = draw(result((20,), shift=1e6)).axes[0]
    assert not far.lines
    assert "observed: 1e+06" in far.texts[0].get_text()
    assert far.get_xlim()[1] < 100


def test_flagged_statistics_are_red() -> None:
    figure = draw(result((20,), shift=5.0))
    colours = {ax.get_xlabel(): ax.patches[0].get_facecolor() for ax in figure.axes}
    assert colours["mean"] != colours["standard deviation"]
    assert "replicated, flagged" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_few_values_get_one_bar_each_and_a_constant_one_bar() -> None:
    share = next(ax for ax in draw(result((20,))).axes if ax.get_xlabel().startswith("share"))
    assert np.diff(share.patches[0].get_data().edges) == pytest.approx(0.05)
    constant = predictive_checks({"cases": np.full(100, 3.0)}, {"cases": 3.0})
    assert np.count_nonzero(draw(constant).axes[0].patches[0].get_data().values) == 1


def test_own_figures_are_drawn_into() -> None:
    own = Figure(layout="constrained")
    assert draw(result(()), figure=own) is own
    assert len(own.axes) == 1
