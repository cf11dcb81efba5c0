"""The prior predictive figure: legible for one, five and many panels, whatever the value range."""

from __future__ import annotations

import itertools
import warnings

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.plots.predictive import prior_predictive

LABELS = Labels({"cases": r"$\mu$"}, {"cases": "mm"})
GENERATOR = np.random.default_rng(1)
KINDS = {
    "normal": lambda shape: GENERATOR.normal(size=shape),
    "counts": lambda shape: GENERATOR.poisson(np.exp(GENERATOR.normal(3.0, 3.0, size=shape))),
    "positive": lambda shape: np.exp(4.0 * GENERATOR.normal(size=shape)),
    "both signs": lambda shape: (
        GENERATOR.normal(size=shape) * np.exp(4.0 * GENERATOR.normal(size=shape))
    ),
    "booleans": lambda shape: GENERATOR.random(size=shape) < 0.3,
    "constant": np.zeros,
}
SCALES = {"counts": "symlog", "positive": "log", "both signs": "symlog"}


def drawn(figure: Figure) -> Figure:
    """Low resolution: only layout and text matter here, and letters that do not fit warn."""
    figure.set_dpi(30)
    figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        *itertools.product(KINDS, [(300,), (300, 20)]),
        *itertools.product(["counts", "both signs"], [(300, 5), (300, 20, 3), (100, 4, 5, 3)]),
    ],
)
def test_figure(kind: str, shape: tuple[int, ...]) -> None:
    values = KINDS[kind](shape)
    before = dict(matplotlib.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = drawn(prior_predictive(values, name="cases", labels=LABELS, observed=values[0]))
    assert dict(matplotlib.rcParams) == before
    assert len(figure.axes) == {(300, 5): 5, (300, 20, 3): 3}.get(shape, 1)
    series = shape in ((300, 20), (300, 20, 3))
    for ax in figure.axes:
        scale = ax.get_yscale() if series else ax.get_xscale()
        assert scale == SCALES.get(kind, "linear")
    axis = figure.axes[0].get_ylabel() if series else figure.axes[0].get_xlabel()
    assert r"$\mu$" in axis
    assert "[mm]" in axis
    if not series:
        counted = "values" if len(shape) > 2 else "simulations"
        assert figure.axes[0].get_ylabel() == counted
    extent = figure.legends[0].get_window_extent()
    assert extent.x0 >= 0
    assert extent.x1 <= figure.bbox.width


def test_ticks_of_both_signs_do_not_overlap() -> None:
    figure = drawn(prior_predictive(KINDS["both signs"]((300, 20, 5))))
    assert len(figure.axes) == 5
    for ax in figure.axes:
        boxes = [label.get_window_extent() for label in ax.get_yticklabels() if label.get_text()]
        assert 2 <= len(boxes) <= 8
        assert not any(first.overlaps(second) for first, second in itertools.pairwise(boxes))


def test_many_channels_lie_in_a_grid() -> None:
    assert len(prior_predictive(GENERATOR.normal(size=(40, 9, 34))).axes) == 34
    many = prior_predictive(GENERATOR.normal(size=(40, 9, 45)))
    assert len(many.axes) == 40
    assert many._suptitle.get_text() == "the first 40 of 45"


def test_bands_are_quantiles_without_padding() -> None:
    values = np.tile(np.arange(101.0)[:, None], (1, 12))
    values[:50, 3:] = np.nan
    values[:, 11] = np.nan
    ax = drawn(prior_predictive(values, trajectories=2)).axes[0]
    low = {int(x): y for x, y in ax.collections[-1].get_paths()[0].vertices if y <= 63}
    # Half of the simulations: of 0 ... 100, and of 50 ... 100.
    assert low[0] == 25.0
    assert low[5] == 62.5
    median, first, second = (line.get_ydata() for line in ax.lines)
    assert median[0] == 50.0
    assert median[5] == 75.0
    # The longest ones are shown.
    assert first[5] == 50.0
    assert second[5] == 51.0


def test_counts_get_one_bar_each_and_histograms_hold_every_simulation() -> None:
    patch = prior_predictive(np.array([0, 1, 1, 3, 4])).axes[0].patches[0].get_data()
    assert patch.edges.tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5, 4.5]
    assert patch.values.tolist() == [1, 2, 0, 1, 1]
    for kind in ("positive", "both signs"):
        values = KINDS[kind](500)
        assert prior_predictive(values).axes[0].patches[0].get_data().values.sum() == 500


def test_the_caller_decides_about_the_axis() -> None:
    assert (
        prior_predictive(KINDS["positive"]((50, 20)), logarithmic=False).axes[0].get_yscale()
        == "linear"
    )
    own = Figure(layout="constrained")
    assert prior_predictive(np.ones(50) + np.arange(50), logarithmic=True, figure=own) is own
    assert (
        prior_predictive(np.arange(1.0, 200.0) * 1.1, logarithmic=True).axes[0].get_xscale()
        == "log"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: prior_predictive(np.full((5, 9), np.nan), name="cases"),
            "(?s)'cases'.*two or more.*0 such",
        ),
        (lambda: prior_predictive(np.array(1.0)), "two or more simulations"),
        (lambda: prior_predictive({"x": np.ones((5, 9))}), r"(?s)got: *dict.*simulations\['x'\]"),
        (
            lambda: prior_predictive(np.ones((5, 9)), observed={"x": np.ones(9)}),
            r"(?s)'observed'.*got: *dict",
        ),
        (
            lambda: prior_predictive(np.zeros((5, 9)), observed=np.zeros(8)),
            r"(?s)shape of one simulation, \(9,\)",
        ),
    ],
)
def test_wrong_inputs_are_refused(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
