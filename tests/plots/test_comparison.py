"""The figure of a comparison draws any number of columns, and shows what failed."""

from __future__ import annotations

import warnings

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from bayesinn.core.labels import Labels
from bayesinn.diagnostics.two_samples import compare_draws
from bayesinn.plots.calibration import ecdf_difference
from bayesinn.plots.panels import BLUE, RED
from tests.plots.legible import heading

LABELS = Labels({"mean": r"$\mu$"}, {"mean": "mm"})


def draw(
    count: int, *, shift: float = 0.0, labels: Labels = LABELS, figure: Figure | None = None
) -> Figure:
    draws, reference = np.random.default_rng(count).normal(size=(2, 300, count))
    draws[:, 0] += shift
    result = compare_draws({"mean": draws}, {"mean": reference}, seed=1, c2st_draws=0)
    return ecdf_difference(result, labels=labels, figure=figure)


@pytest.mark.parametrize("count", [1, 2, 12])
def test_figure(count: int) -> None:
    before = dict(matplotlib.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw(count)
        figure.set_dpi(30)
        figure.draw_without_rendering()
    assert dict(matplotlib.rcParams) == before
    assert len(figure.axes) == count
    for index, ax in enumerate(figure.axes):
        assert rf"$\mu$[{index}] [mm]" in heading(ax)
        assert "KS = " in heading(ax)
    if count == 12:
        assert "ECDF difference" in figure._suptitle.get_text()
        assert figure.axes[-1].get_xlabel() == "rank of the value"
    else:
        assert figure.axes[0].get_ylabel() == "ECDF difference"
        assert figure.axes[-1].get_xlabel() == "value"
    extent = figure.legends[0].get_window_extent()
    assert extent.x0 >= 0
    assert extent.x1 <= figure.bbox.width


def test_rows_of_a_stack_have_ranks_in_common() -> None:
    figure = draw(34)
    assert len(figure.axes) == 34
    assert {ax.get_xlim() for ax in figure.axes} == {(-0.04, 1.04)}
    # The curve of each is that of its own panel, over ranks in place of values.
    alone = draw(34, figure=None)
    assert np.array_equal(alone.axes[3].lines[-1].get_ydata(), figure.axes[3].lines[-1].get_ydata())


def test_draws_too_high_lie_below_zero_in_red_and_the_others_in_blue() -> None:
    first, second = draw(2, shift=1.0).axes
    assert first.lines[-1].get_color() == RED
    assert second.lines[-1].get_color() == BLUE
    heights = first.lines[-1].get_ydata()
    # Two normals one standard deviation apart: 2 Phi(1/2) - 1 = 0.38.
    assert np.min(heights) == pytest.approx(-0.38, abs=0.1)
    assert np.max(heights) < 0.02
    assert first.get_ylim() == second.get_ylim()
    assert first.get_ylim()[0] < np.min(heights)


def test_the_curve_leaves_the_band_where_the_column_fails() -> None:
    for shift in (0.0, 0.6):
        ax = draw(1, shift=shift).axes[0]
        band = ax.patches[0].get_height() / 2
        heights = np.abs(ax.lines[-1].get_ydata())
        assert (np.max(heights) > band) == (ax.lines[-1].get_color() == RED) == (shift > 0.0)


def test_constant_discrete_and_far_draws() -> None:
    generator = np.random.default_rng(1)
    draws = {
        "fixed": np.full(300, 2e-5),
        "count": generator.poisson(2.0, 300),
        "far": generator.standard_cauchy(300),
    }
    reference = {
        "fixed": np.full(300, 2e-5),
        "count": generator.poisson(2.0, 300),
        "far": generator.standard_cauchy(300),
    }
    figure = ecdf_difference(compare_draws(draws, reference, seed=1, c2st_draws=0))
    fixed, count, far = figure.axes
    assert fixed.get_xlim() == pytest.approx((1e-5, 3e-5))
    assert np.all(np.abs(fixed.lines[-1].get_ydata()) == 0.0)
    assert count.lines[-1].get_drawstyle() == "steps-post"
    # Of 600 Cauchy values the largest is about 400, and one in two hundred lies beyond 64.
    assert max(np.abs(far.get_xlim())) < 200.0
    figure.draw_without_rendering()


def test_own_figures_are_drawn_into() -> None:
    own = Figure(figsize=(8, 4), layout="constrained")
    left, right = own.subfigures(1, 2)
    assert draw(1, figure=left) is left
    assert [len(part.axes) for part in (left, right)] == [1, 0]
