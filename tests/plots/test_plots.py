"""Every figure draws with one, two and twelve columns, names its axes, leaves matplotlib as is."""

from __future__ import annotations

import itertools
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
import pytest
import xarray
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from bayesinn import diagnostics, plots
from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.plots.recovery import contraction as draw_contraction
from tests.diagnostics.conjugate import Arrays, normal
from tests.plots.legible import heading

LABELS = Labels({"mean": r"$\mu$"}, {"mean": "mm"})


def cases(count: int) -> tuple[Arrays, Arrays, Arrays]:
    return normal(size=60, draws=200, event=() if count == 1 else (count,), seed=count)


def sbc_histogram(count: int) -> Figure:
    return plots.sbc_histogram(diagnostics.sbc(*cases(count)[:2], seed=1), labels=LABELS)


def sbc_ecdf(count: int) -> Figure:
    return plots.ecdf(diagnostics.sbc(*cases(count)[:2], seed=1), labels=LABELS)


def coverage(count: int) -> Figure:
    return plots.coverage(diagnostics.coverage(*cases(count)[:2], seed=1), labels=LABELS)


def recovery(count: int) -> Figure:
    return plots.recovery(diagnostics.recovery(*cases(count)), labels=LABELS)


def contraction(count: int) -> Figure:
    return draw_contraction(diagnostics.recovery(*cases(count)), labels=LABELS)


def one(count: int) -> dict[str, Arrays]:
    """Draws, prior and truth of a single observation."""
    truth, draws, prior = cases(count)
    first = {name: value[0] for name, value in draws.items()}
    return {
        "draws": first,
        "prior": prior,
        "truth": {name: value[0] for name, value in truth.items()},
    }


def marginals(count: int) -> Figure:
    return plots.marginals(**one(count), reference=one(count)["draws"], labels=LABELS)


def forest(count: int) -> Figure:
    return plots.forest(
        **one(count) | {"prior": None}, reference=one(count)["draws"], labels=LABELS
    )


def pairs(count: int) -> Figure:
    reference = one(count)["draws"] if count <= 2 else None
    return plots.pairs(**one(count), reference=reference, labels=LABELS)


def predictive(count: int) -> Figure:
    draws = np.random.default_rng(1).poisson(20.0, size=(100, 30, count))
    return plots.posterior_predictive(draws, draws[0], name="mean", labels=LABELS, logarithmic=True)


def predictive_elements(count: int) -> Figure:
    draws = np.random.default_rng(1).normal(size=(100, count))
    return plots.posterior_predictive(draws, draws[0], name="mean", labels=LABELS, series=False)


def loss(count: int) -> Figure:
    steps = np.arange(1, 100 * count + 1)
    history = pd.DataFrame(
        {"step": steps, "loss": 5.0 / steps, "val_loss": np.nan, "learning_rate": 1e-3}
    )
    history.loc[history["step"] % 50 == 0, "val_loss"] = 1.0
    return plots.loss(history, floor=0.01)


FIGURES = [
    sbc_histogram,
    sbc_ecdf,
    coverage,
    recovery,
    contraction,
    marginals,
    forest,
    pairs,
    predictive,
    predictive_elements,
    loss,
]


@pytest.mark.parametrize("count", [1, 2, 12])
@pytest.mark.parametrize("draw", FIGURES)
def test_figure(draw: Callable[[int], Figure], count: int) -> None:
    before = dict(matplotlib.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw(count)
        # Low resolution: only layout and text matter here, and letters that do not fit warn.
        figure.set_dpi(30)
        figure.draw_without_rendering()
    assert dict(matplotlib.rcParams) == before
    texts = [ax.get_xlabel() for ax in figure.axes] + [ax.get_ylabel() for ax in figure.axes]
    assert any(ax.get_xlabel() for ax in figure.axes) or draw is predictive_elements
    assert any(ax.get_ylabel() for ax in figure.axes) or draw in (forest, contraction)
    if draw is forest or (draw is contraction and count == 12):
        texts = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    if draw not in (sbc_histogram, sbc_ecdf, coverage, loss, recovery, contraction):
        assert any(r"$\mu$" in text and "[mm]" in text for text in texts)
    if draw is contraction and count == 12:
        assert len(figure.axes) == 2
        assert texts == [rf"$\mu$[{index}]" for index in range(12)]
    elif draw in (sbc_histogram, sbc_ecdf, coverage, recovery, contraction):
        assert len(figure.axes) == count
        assert all(r"$\mu$" in heading(ax) for ax in figure.axes)


@pytest.mark.parametrize(
    "draw", [sbc_ecdf, coverage, recovery, contraction, marginals, forest, pairs, predictive]
)
@pytest.mark.parametrize("count", [1, 2])
def test_the_legend_fits_into_the_figure(draw: Callable[[int], Figure], count: int) -> None:
    figure = draw(count)
    figure.draw_without_rendering()
    extent = figure.legends[0].get_window_extent()
    assert extent.x0 >= 0
    assert extent.x1 <= figure.bbox.width


def test_thirty_four_columns_are_stacked_in_two_blocks() -> None:
    truth, draws, _ = normal(size=40, draws=20, event=(34,))
    figure = plots.ecdf(diagnostics.sbc(truth, draws, seed=1), labels=LABELS)
    assert len(figure.axes) == 34
    places = [ax.get_subplotspec().get_position(figure) for ax in figure.axes]
    assert [round(place.x0, 2) for place in places] == [0.12] * 17 + [round(places[-1].x0, 2)] * 17
    assert all(first.y0 > second.y0 for first, second in itertools.pairwise(places[:17]))
    assert [ax.get_ylabel() for ax in figure.axes] == [rf"$\mu$[{index}]" for index in range(34)]
    assert [bool(ax.get_xlabel()) for ax in figure.axes] == [
        index in (16, 33) for index in range(34)
    ]
    assert "to 0." in figure._suptitle.get_text()


def test_a_failing_column_is_drawn_in_red() -> None:
    truth, draws, _ = normal(event=(2,))
    draws["mean"][..., 1] *= 2.0
    figure = plots.ecdf(diagnostics.sbc(truth, draws, seed=1, level=0.995))
    colours = [ax.lines[-1].get_color() for ax in figure.axes]
    assert colours[0] != colours[1]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "outside the band" in names
    assert "99.5 % band" in names


def test_coverage_is_drawn_as_the_difference_from_the_promise() -> None:
    truth, draws, _ = normal(event=(2,), seed=1)
    draws["mean"][..., 1] *= 1.5
    result = diagnostics.coverage(truth, draws, seed=1)
    figure = plots.coverage(result)
    for index, ax in enumerate(figure.axes):
        found = ax.lines[-1].get_xydata()
        assert found[:, 0] == pytest.approx(100 * result.nominal)
        assert found[:, 1] == pytest.approx(100 * (result.empirical[:, index] - result.nominal))
        assert f"largest error {np.abs(found[:, 1]).max():.1f}" in ax.get_title()
        low, high = ax.get_ylim()
        assert low < found[:, 1].min() < found[:, 1].max() < high
        assert low == -high
        # The band covers a good part of the panel, and a passing curve is inside of it.
        edges = ax.collections[0].get_paths()[0].vertices
        assert edges[:, 1].max() == pytest.approx(
            100 * np.max(result.band.upper / result.simulations - result.nominal)
        )
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    # A gross failure leaves the panel instead of squeezing all bands flat.
    gross = plots.coverage(diagnostics.coverage(truth, {"mean": draws["mean"] + 9.0}, seed=1)).axes[
        0
    ]
    assert gross.get_ylim()[1] <= 6 * 100 * np.max(
        result.band.upper / result.simulations - result.nominal
    )
    assert figure.axes[0].lines[-1].get_color() != figure.axes[1].lines[-1].get_color()


def test_contraction_shows_every_data_set_where_it_is() -> None:
    truth, draws, prior = normal(size=200, seed=1)
    result = diagnostics.recovery(truth, draws, prior)
    ax = draw_contraction(result).axes[0]
    points = next(line for line in ax.lines if line.get_label() == "data set").get_xydata()
    assert points[:, 0] == pytest.approx(
        1 - result.standard_deviation[:, 0] ** 2 / result.prior_variance[0]
    )
    assert points[:, 1] == pytest.approx(result.z_score[:, 0])
    # Half is learnt in the conjugate problem, and z-scores are standard normal: measured 0.49 and 5
    # % beyond 2.
    assert np.median(points[:, 0]) == pytest.approx(0.5, abs=0.06)
    assert f"beyond 2: {100 * np.mean(np.abs(points[:, 1]) > 2):.0f} %" in ax.get_title()


def test_contraction_keeps_wild_and_constant_parameters_in_the_panel() -> None:
    truth, draws, prior = normal(size=50, event=(3,), seed=1)
    # sure and wrong
    draws["mean"][..., 0] = truth["mean"][:, None, 0] + 1.0 + 0.01 * draws["mean"][..., 0]
    draws["mean"][..., 1] *= 9.0  # wider than the prior
    for values in (truth["mean"], prior["mean"], draws["mean"]):
        values[..., 2] = 3.0
    figure = draw_contraction(diagnostics.recovery(truth, draws, prior))
    overfit, wide, constant = figure.axes
    beyond = next(line for line in overfit.lines if line.get_label() == "|z| above 5")
    assert len(beyond.get_xdata()) == 50
    assert "beyond 2: 100 %" in overfit.get_title()
    low, high = overfit.get_ylim()
    assert low < beyond.get_ydata().min() <= beyond.get_ydata().max() < high
    edge = next(line for line in wide.lines if line.get_label() == "contraction below -1")
    assert edge.get_marker() == "<"
    assert len(edge.get_xdata()) == 50
    assert wide.get_xlim()[0] < edge.get_xdata().min() == edge.get_xdata().max() == -1.0
    assert "does not vary" in [text.get_text() for text in constant.texts]


def test_the_reference_of_a_pair_plot_is_where_its_draws_are() -> None:
    generator = np.random.default_rng(1)
    draws = {"a": generator.normal(size=800), "b": generator.normal(size=800)}
    reference = {name: value + 8.0 for name, value in draws.items()}
    figure = plots.pairs(draws, reference=reference)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["posterior", "reference"]
    panel = figure.axes[2]
    outline = panel.collections[-1].get_paths()[0].vertices
    assert outline.mean(axis=0) == pytest.approx([8.0, 8.0], abs=0.6)
    assert panel.get_xlim()[1] > 10.0
    assert len(panel.collections) > len(plots.pairs(draws).axes[2].collections)
    constant = {"a": np.full(100, 2.0), "b": draws["b"][:100]}
    plots.png(plots.pairs(constant, reference=constant))


def test_the_floor_of_the_loss_is_in_the_panel() -> None:
    history = pd.DataFrame({"step": np.arange(1, 101), "loss": np.linspace(5.0, 3.0, 100)})
    for floor in (1.0, 2.9, 3.5):
        figure = plots.loss(history, floor=floor)
        low, high = figure.axes[0].get_ylim()
        assert low < floor < high
        assert "best possible" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert "best possible" not in [
        text.get_text() for text in plots.loss(history).legends[0].get_texts()
    ]


def tree(observations: int = 0) -> xarray.DataTree:
    """The result of posterior.infer: two parameters, a series of nine steps, the last padding."""
    generator = np.random.default_rng(1)
    batch, dims = ((observations,), ("observation",)) if observations else ((), ())
    leading = ("chain", "draw", *dims)
    cases = generator.poisson(20.0, size=(1, 100, *batch, 9)).astype(float)
    cases[..., 8] = np.nan
    sizes = (1, 100, *batch)
    return xarray.DataTree.from_dict(
        {
            "posterior": xarray.Dataset(
                {
                    "mean": (leading, generator.normal(size=sizes)),
                    "slope": ((*leading, "slope_dim_0"), generator.normal(size=(*sizes, 2))),
                }
            ),
            "prior": xarray.Dataset(
                {
                    "mean": (("chain", "draw"), generator.normal(size=(1, 300))),
                    "slope": (("chain", "draw", "slope_dim_0"), generator.normal(size=(1, 300, 2))),
                }
            ),
            "posterior_predictive": xarray.Dataset({"cases": ((*leading, "step"), cases)}),
            "observed_data": xarray.Dataset({"cases": ((*dims, "step"), cases[0, 0])}),
        }
    )


@pytest.mark.parametrize("draw", [plots.marginals, plots.pairs])
def test_a_data_tree_is_drawn_like_its_arrays(draw: Callable[..., Figure]) -> None:
    data = tree()
    plain = {
        group: {str(k): v.values[0] for k, v in data[group].items()}
        for group in ("posterior", "prior")
    }
    with_tree = draw(data, prior=data, reference=data["posterior"])
    with_arrays = draw(plain["posterior"], prior=plain["prior"], reference=plain["posterior"])
    assert plots.png(with_tree) == plots.png(with_arrays)
    with pytest.raises(
        InputError, match=r"(?s)one observation.*'observation': 3.*tree.isel\(observation=0\)"
    ):
        draw(tree(3))
    assert draw(tree(3).isel(observation=0)).axes
    with pytest.raises(InputError, match=r"(?s)a group 'posterior'.*posterior.infer"):
        draw(xarray.DataTree())


def test_posterior_predictive_takes_a_data_tree_and_leaves_out_padding() -> None:
    data = tree()
    figure = plots.posterior_predictive(data, name="cases", logarithmic=True)
    observed = figure.axes[0].lines[-1].get_ydata()
    assert np.array_equal(observed, data["observed_data"]["cases"].values, equal_nan=True)
    assert figure.axes[0].get_xlabel() == "time step"
    plots.png(figure)


def test_posterior_predictive_leaves_out_missing_values_where_it_is_said() -> None:
    draws = np.random.default_rng(1).normal(size=(500, 20))
    gaps = np.where(np.random.default_rng(2).random(draws.shape) < 0.2, np.nan, draws)
    with pytest.raises(InputError, match=r"(?s)finite simulations.*missing=True"):
        plots.posterior_predictive(gaps, draws[0])
    median = plots.posterior_predictive(gaps, draws[0], missing=True).axes[0].lines[0]
    np.testing.assert_allclose(median.get_ydata(), np.nanmedian(gaps, axis=0))


def test_own_figures_and_subfigures_are_drawn_into() -> None:
    truth, draws, _ = normal(size=50, draws=20)
    own = Figure(figsize=(8, 4), layout="constrained")
    left, right = own.subfigures(1, 2)
    assert plots.ecdf(diagnostics.sbc(truth, draws, seed=1), figure=left) is left
    assert plots.coverage(diagnostics.coverage(truth, draws, seed=1), figure=right) is right
    assert [len(part.axes) for part in (left, right, own)] == [1, 1, 2]
    assert plots.png(right).startswith(b"\x89PNG")


def test_figures_show_themselves_in_notebooks() -> None:
    assert loss(1)._repr_png_().startswith(b"\x89PNG")


def test_plots_import_neither_tensorflow_nor_pyplot() -> None:
    program = (
        "import sys; import bayesinn.plots;"
        "print([name for name in ('tensorflow', 'keras', 'matplotlib.pyplot') if name in "
        "sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_save_writes_150_dots_per_inch_and_metadata(tmp_path: Path) -> None:
    path = plots.save(
        Figure(figsize=(2, 1)), tmp_path / "figure.png", metadata={"Title": "a title"}
    )
    content = path.read_bytes()
    assert int.from_bytes(content[16:20], "big") == 300
    assert b"Software\x00bayesinn" in content
    assert b"a title" in content
    for ending in ("pdf", "svg"):
        assert plots.save(Figure(), tmp_path / f"figure.{ending}").exists()
    with pytest.raises(InputError, match=r"(?s)ends in one of .png.*'.bmp'"):
        plots.save(Figure(), tmp_path / "figure.bmp")


def test_integer_parameters_get_one_bar_a_value() -> None:
    draws = {"count": np.random.default_rng(1).integers(0, 5, size=300)}
    edges = plots.marginals(draws).axes[0].patches[0].get_data().edges
    assert np.all(np.diff(edges) == 1.0)
    assert {-0.5, 4.5} <= set(edges)


WHOLE = {
    "skewed": np.random.default_rng(1).binomial(90, 0.25, size=4_000),
    "even": np.random.default_rng(2).binomial(200, 0.5, size=4_000),
    "flat": np.arange(4_100) % 41,
    "many": np.arange(4_100)[:4_000] % 100,
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("draw", [plots.pairs, plots.marginals])
def test_bins_of_whole_numbers_have_no_false_gaps(name: str, draw: Callable[..., Figure]) -> None:
    values = WHOLE[name]
    heights, edges, _ = draw({name: values}).axes[0].patches[0].get_data()
    assert edges[0] <= np.quantile(values, 0.001) <= np.quantile(values, 0.999) <= edges[-1]
    # Each bin holds whole numbers alone, and is as high as they are frequent.
    assert np.all(edges % 1.0 == 0.5)
    if name in ("flat", "many"):
        assert heights == pytest.approx(1.0 / len(np.unique(values)), rel=0.01)
        assert (edges[0], edges[-1]) == (-0.5, values.max() + 0.5)


def test_pairs_of_few_whole_numbers_are_points_beside_them() -> None:
    generator = np.random.default_rng(1)
    switch = generator.integers(0, 2, size=1_000)
    draws = {
        "switch": switch,
        "level": generator.normal(size=1_000) + switch,
        "slope": generator.normal(size=1_000),
    }
    figure = plots.pairs(draws, reference=draws)
    for panel in (figure.axes[3], figure.axes[6]):
        posterior, reference = (points.get_offsets() for points in panel.collections)
        for points, side in ((posterior, -1.0), (reference, 1.0)):
            off = points[:, 0] - np.rint(points[:, 0])
            assert np.all((side * off > 0.0) & (side * off < 0.5))
            assert len(np.unique(points[:, 0])) == len(points) > 900
        assert panel.get_xlim() == (-0.5, 1.5)
    # The other pair keeps its contours.
    assert [len(part.get_paths()) for part in figure.axes[7].collections] == [2, 2]
    assert plots.png(figure) == plots.png(plots.pairs(draws, reference=draws))


def test_pairs_draws_points_instead_of_contours() -> None:
    draws = one(2)["draws"]
    (points,) = plots.pairs(draws, contours=False).axes[2].collections
    assert points.get_offsets().shape == pytest.approx(np.array(draws["mean"].shape), rel=0.02)


def test_pairs_draws_all_chains_of_many_draws() -> None:
    """The second chain of two is elsewhere."""
    generator = np.random.default_rng(1)
    level = generator.normal([[0.0], [100.0]], size=(2, 3_000)).ravel()
    draws = {"level": level, "other": generator.normal(size=6_000)}
    (points,) = plots.pairs(draws, contours=False).axes[2].collections
    drawn = np.asarray(points.get_offsets())
    assert len(drawn) == 2_000
    assert np.mean(drawn[:, 0] > 50.0) == pytest.approx(0.5, abs=0.01)
    switch = {"level": level, "switch": generator.integers(0, 2, 6_000)}
    (scattered,) = plots.pairs(switch).axes[2].collections
    across = np.asarray(scattered.get_offsets())[:, 0]
    assert np.mean(across > 50.0) == pytest.approx(0.5, abs=0.01)


def test_parameters_that_determine_each_other_are_drawn_as_points() -> None:
    values = np.random.default_rng(1).normal(size=300)
    (points,) = plots.pairs({"a": values, "b": 1.0 - 2.0 * values}).axes[2].collections
    assert len(points.get_offsets()) > 290


def test_pairs_draws_few_draws_and_few_of_a_reference_as_points() -> None:
    """Contours of three draws took minutes, in which a kernel as large as the panel was moved."""
    values = np.random.default_rng(1).normal(size=(3, 2, 3))
    draws, reference = ({"a": part[0], "b": part[1]} for part in values[:2])
    points, others = plots.pairs(draws, reference=reference).axes[2].collections
    assert len(points.get_offsets()) == 3
    assert len(others.get_offsets()) == 3
    assert len(plots.pairs(draws).axes[2].collections) == 1


def test_marginals_of_a_picture_are_those_of_its_first_elements() -> None:
    """A panel for each of thousands of pixels took minutes, without a word."""
    figure = plots.marginals({"picture": np.zeros((5, 11, 10))})
    assert len(figure.axes) == 100
    assert figure.get_suptitle() == "10 more are not drawn"


def test_constant_parameters_and_missing_observations_draw() -> None:
    constant = {"a": np.full(100, 2.0), "b": np.random.default_rng(1).normal(size=100)}
    marginals = plots.marginals(constant)
    pairs = plots.pairs(constant)
    heights, edges, _ = marginals.axes[0].patches[0].get_data()
    (bar,) = np.flatnonzero(heights)
    assert edges[bar] <= 2.0 <= edges[bar + 1]
    assert heights[bar] * (edges[bar + 1] - edges[bar]) == pytest.approx(1.0)
    low, high = pairs.axes[0].get_xlim()
    assert low < 2.0 < high
    draws = np.random.default_rng(1).normal(size=(50, 20))
    predictive = plots.posterior_predictive(draws, np.full(20, np.nan))
    (median,) = predictive.axes[0].lines
    np.testing.assert_allclose(median.get_ydata(), np.median(draws, axis=0))
    assert "observed" not in predictive.axes[0].get_legend_handles_labels()[1]
    for figure in (marginals, pairs, predictive):
        plots.png(figure)


@pytest.mark.parametrize("draw", [plots.marginals, plots.forest, plots.pairs])
def test_true_and_false_are_drawn_as_one_and_zero(draw: Callable[..., Figure]) -> None:
    values = np.random.default_rng(1).random((2, 50)) < 0.3
    figures = [
        draw({"on": posterior}, prior={"on": prior}, truth={"on": truth})
        for posterior, prior, truth in ((*values, True), (*values.astype(int), 1))
    ]
    assert plots.png(figures[0]) == plots.png(figures[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.loss(pd.DataFrame({"step": [1]})), "(?s)columns 'step' and 'loss'.*fitted"),
        (lambda: plots.loss(pd.DataFrame({"step": [], "loss": []})), "0 rows"),
        (
            lambda: plots.loss(pd.DataFrame({"step": [1], "loss": [1]}), floor=np.nan),
            "(?s)floor.*finite number",
        ),
        (lambda: plots.marginals({}), "same 2 or more draws"),
        (lambda: plots.marginals({"a": np.zeros(5), "b": np.zeros(4)}), "same 2 or more draws"),
        (lambda: plots.marginals({"a": np.full(5, np.nan)}), "5 of 5 values NaN"),
        (lambda: plots.marginals({"a": np.zeros(5)}, prior={"b": np.zeros(5)}), "columns of prior"),
        (
            lambda: plots.pairs({"a": np.zeros((5, 13))}, shown=[f"a[{i}]" for i in range(13)]),
            "1 to 12 different columns",
        ),
        (lambda: plots.pairs({"a": np.zeros((5, 3))}, shown=["b"]), r"unknown: \['b'\]"),
        (
            lambda: plots.posterior_predictive(np.zeros((5, 9)), np.zeros(8), name="cases"),
            "'cases'",
        ),
        (
            lambda: plots.pairs({"a": np.zeros(5)}, reference={"b": np.zeros(5)}),
            "columns of reference",
        ),
        (
            lambda: plots.posterior_predictive(np.full((5, 9), np.inf), np.zeros(9)),
            "finite simulations",
        ),
        (
            lambda: plots.posterior_predictive(np.full((5, 9), np.nan), np.zeros(9)),
            "45 of 45 values",
        ),
        (
            lambda: plots.posterior_predictive(tree(), name="deaths"),
            r"(?s)expected: 'cases'.*got: *'deaths'",
        ),
        (
            lambda: plots.posterior_predictive(np.zeros((5, 9)), np.zeros(9), times=np.zeros(3)),
            r"(?s)times \(steps,\).*times \(3,\)",
        ),
        (lambda: plots.posterior_predictive(np.zeros((5, 9, 2, 2))), r"draws \(5, 9, 2, 2\)"),
        (lambda: plots.forest({"a": np.zeros(5)}, prior={"b": np.zeros(5)}), "columns of prior"),
        (
            lambda: plots.forest({"a": np.zeros(5)}, prior={"a": np.zeros(0)}),
            r"(?s)prior of 'a'.*one value or more",
        ),
        (
            lambda: plots.pairs({"a": np.zeros(5)}, reference={"a": np.full(5, np.inf)}),
            "(?s)reference of 'a'.*5 of 5 values",
        ),
        (
            lambda: plots.posterior_predictive(np.zeros((5, 2)), times=np.array([0.0, np.nan])),
            "(?s)a known place of each step.*NaN",
        ),
    ],
)
def test_wrong_inputs_are_refused(call: Callable[[], Figure], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_a_label_that_is_no_formula_is_written_as_it_stands(tmp_path: Path) -> None:
    values = {"a": np.random.default_rng(1).normal(size=100)}
    figure = plots.marginals(values, labels=Labels({"a": r"$\lamda_$"}))
    assert plots.save(figure, tmp_path / "marginals.png").stat().st_size > 1000


def test_a_forest_shows_medians_and_intervals_in_prior_standard_deviations() -> None:
    generator = np.random.default_rng(1)
    draws = {"a": generator.normal(3.0, 1.0, size=(900, 2)), "b": generator.normal(size=900)}
    prior = {"a": generator.normal(1.0, 2.0, size=(500, 2)), "b": np.full(500, 0.0)}
    truth = {"a": np.array([3.0, 1.0]), "b": np.array(0.0)}
    ax = plots.forest(draws, prior=prior, truth=truth, labels=LABELS).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a[0]", "a[1]", "b"]
    low, high = ax.get_ylim()
    assert low > high
    for index, column in enumerate((draws["a"][:, 0], draws["a"][:, 1])):
        scaled = (column - prior["a"][:, index].mean()) / prior["a"][:, index].std()
        for lines, ends in zip(ax.collections, ([0.05, 0.95], [0.25, 0.75]), strict=True):
            assert lines.get_segments()[index][:, 0] == pytest.approx(np.quantile(scaled, ends))
        assert ax.lines[0].get_xdata()[index] == pytest.approx(np.median(scaled))
    assert ax.lines[1].get_xdata() == pytest.approx([1.0, 0.0, 0.0], abs=0.2)
    assert "prior standard deviations" in ax.get_xlabel()


@pytest.mark.parametrize("draw", [sbc_ecdf, sbc_histogram, marginals, forest, predictive, pairs])
def test_a_dark_style_of_the_caller_changes_nothing(
    draw: Callable[[int], Figure], tmp_path: Path
) -> None:
    expected = plots.save(draw(2), tmp_path / "light.png").read_bytes()
    with matplotlib.rc_context():
        matplotlib.style.use("dark_background")
        assert plots.save(draw(2), tmp_path / "dark.png").read_bytes() == expected


def test_a_truth_that_is_not_known_leaves_the_others_drawn() -> None:
    draws, prior = decades()
    truth = {"wide": np.nan, "narrow": 5.5}
    panel = plots.pairs(draws, prior=prior, truth=truth).axes[2]
    assert panel.get_xlabel() == "log$_{10}$ wide"
    draws |= {"other": draws["narrow"][::-1]}
    figure = plots.pairs(draws, truth=truth | {"other": 4.5})
    crosses = [
        places.tolist()
        for ax in figure.axes
        for marks in ax.collections
        if isinstance(marks, PathCollection)
        for places in [marks.get_offsets()]
        if len(places) == 1 and not np.ma.is_masked(places)
    ]
    assert crosses == [[[5.5, 4.5]]]
    marginals = plots.marginals(draws, truth=truth | {"other": 4.5})
    assert [len(ax.lines) for ax in marginals.axes] == [0, 1, 1]
    forest = plots.forest(draws, truth=truth | {"other": 4.5})
    np.testing.assert_array_equal(forest.axes[0].lines[-1].get_xdata(), [np.nan, 5.5, 4.5])
    unknown = dict.fromkeys(draws, np.nan)
    for draw in (plots.pairs, plots.marginals, plots.forest):
        figure = draw(draws, truth=unknown)
        legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
        assert "truth" not in legends


@pytest.mark.parametrize("truth", [-9.0, 0.5, 9.0])
def test_a_truth_that_all_runs_miss_is_in_the_panel(truth: float) -> None:
    values = np.random.default_rng(1).normal(size=(2, 500))
    runs = {"a": {"rate": values[0]}, "b": {"rate": values[1]}}
    prior = {"rate": 10.0 * values[0]}
    ax = plots.overlay(runs, prior=prior, truth={"rate": np.array(truth)}).axes[0]
    low, high = ax.get_xlim()
    assert low < truth < high
    assert ax.lines[-1].get_xdata()[0] == truth
    # Bins reach as far as the panel: the prior is drawn in all of it.
    heights, edges, _ = ax.patches[0].get_data()
    assert (edges[0], edges[-1]) == (low, high)
    assert (heights[[0, -1]] > 0.0).all()


def decades(seed: int = 1) -> tuple[Arrays, Arrays]:
    """Draws and prior of a parameter that ranges over decades, and of one that does not."""
    generator = np.random.default_rng(seed)
    draws = {
        "wide": np.exp(2.0 * generator.normal(size=900)),
        "narrow": generator.normal(5.0, 1.0, size=900),
    }
    return draws, {
        "wide": np.exp(4.0 * generator.normal(size=900)),
        "narrow": generator.normal(5.0, 2.0, size=900),
    }


def test_axes_are_logarithmic_where_the_prior_ranges_over_decades() -> None:
    draws, prior = decades()
    wide, narrow = plots.marginals(draws, prior=prior).axes
    assert (wide.get_xscale(), narrow.get_xscale()) == ("log", "linear")
    for ax, change in ((wide, np.log), (narrow, np.positive)):
        posterior = next(patch for patch in ax.patches if patch.get_label() == "posterior")
        heights, edges, _ = posterior.get_data()
        # Areas are shares of the draws on the axis that is drawn.
        assert np.sum(heights * np.diff(change(edges))) == pytest.approx(1.0, abs=0.01)
    # A posterior within one decade has a linear axis, whatever its prior.
    sharp = draws | {"wide": 2.0 + 0.1 * draws["narrow"]}
    assert plots.marginals(sharp, prior=prior).axes[0].get_xscale() == "linear"
    negative = draws | {"wide": -draws["wide"]}
    assert plots.marginals(negative).axes[0].get_xscale() == "linear"
    labels = [
        tick.get_text() for tick in plots.forest(draws, prior=prior).axes[0].get_yticklabels()
    ]
    assert labels == ["log wide", "narrow"]
    assert plots.pairs(draws, prior=prior, contours=False).axes[2].get_xlabel() == "log$_{10}$ wide"


def test_recovery_of_a_parameter_over_decades_has_logarithmic_axes() -> None:
    truth, draws, prior = normal(size=60, draws=99, event=(2,), seed=1)
    for values in (truth["mean"], draws["mean"], prior["mean"]):
        values[..., 1] = np.exp(4.0 * values[..., 1])
    first, second = plots.recovery(diagnostics.recovery(truth, draws, prior)).axes
    assert (first.get_xscale(), first.get_yscale()) == ("linear", "linear")
    assert (second.get_xscale(), second.get_yscale()) == ("log", "log")


def test_pairs_of_many_parameters_are_those_of_the_strongest_correlations() -> None:
    values = np.random.default_rng(1).normal(size=(400, 34))
    values[:, 33] = 0.2 * values[:, 33] - values[:, 20]
    values[:, 2] += 0.8 * values[:, 5]
    figure = plots.pairs({"a": values}, labels=Labels({"a": r"$\alpha$"}), contours=False)
    shown = [ax.get_xlabel() for ax in figure.axes[-8:]]
    assert {rf"$\alpha$[{index}]" for index in (2, 5, 20, 33)} <= set(shown)
    assert len(figure.axes) == 64
    title = " ".join(figure._suptitle.get_text().split())
    assert title.startswith("8 of 34 parameters, those of the strongest correlations, such as ")
    assert "$\\alpha$[20] and $\\alpha$[33] \N{MINUS SIGN}0.98" in title
    assert plots.pairs({"a": values[:, :8]}, contours=False)._suptitle is None


def test_bins_without_a_prior_do_not_leave_the_draws() -> None:
    draws = {"rate": np.random.default_rng(1).exponential(size=500)}
    assert plots.marginals(draws).axes[0].get_xlim()[0] >= 0.0
    both = draws | {"other": np.random.default_rng(2).normal(size=500)}
    panel = plots.pairs(both, contours=False).axes[0]
    assert panel.get_xlim()[0] >= 0.0
    assert panel.patches[0].get_data().edges[0] >= 0.0


def test_contraction_of_many_parameters_is_one_stacked_figure() -> None:
    result = diagnostics.recovery(*normal(size=60, draws=99, event=(14,), seed=1))
    left, right = draw_contraction(result, labels=LABELS).axes
    assert left.lines[0].get_xdata() == pytest.approx(
        np.median(1 - result.standard_deviation**2 / result.prior_variance, axis=0)
    )
    assert right.lines[0].get_xdata() == pytest.approx(np.median(result.z_score, axis=0))
    assert "90 % of correct posteriors" in [
        text.get_text() for text in left.figure.legends[0].get_texts()
    ]


def test_no_figure_stays_open_in_pyplot() -> None:
    pairs(2)
    marginals(2)
    pyplot = sys.modules["matplotlib.pyplot"]
    assert pyplot.get_fignums() == []


def test_formulas_are_not_broken_into_lines() -> None:
    truth, draws, _ = normal(size=60, draws=200, event=(4,), seed=4)
    formula = plots.ecdf(
        diagnostics.sbc(truth, draws, seed=1),
        labels=Labels({"mean": r"$\sum_{i = 1}^{n} \alpha_i x$"}),
    )
    assert r"$\sum_{i = 1}^{n} \alpha_i x$[0]" in formula.axes[0].get_title()


def test_parameters_without_dimension_have_no_unit_on_their_axis() -> None:
    draws = {"share": np.random.default_rng(1).beta(2.0, 3.0, size=200)}
    figure = plots.marginals(draws, labels=Labels(units={"share": "1"}))
    assert figure.axes[0].get_xlabel() == "share"


def test_bins_do_not_leave_the_support_of_the_prior() -> None:
    generator = np.random.default_rng(1)
    prior = {"rate": generator.exponential(size=2000)}
    draws = {"rate": generator.exponential(0.02, size=2000)}
    patches = plots.marginals(draws, prior=prior).axes[0].patches
    assert len(patches) >= 2
    for patch in patches:
        assert patch.get_data().edges[0] >= 0.0


def test_bands_are_opaque_and_as_their_swatches_show_them() -> None:
    bands = predictive(1).axes[0].collections[:3]
    colours = [band.get_facecolor()[0] for band in bands]
    assert [colour[3] for colour in colours] == [1.0, 1.0, 1.0]
    assert len({tuple(colour) for colour in colours}) == 3


def test_the_smallest_values_do_not_widen_a_logarithmic_axis() -> None:
    draws = np.random.default_rng(1).exponential(np.geomspace(0.1, 1000.0, 30), size=(200, 30))
    draws[:100, 0] = 0.0
    draws[100:, 0] = 1e-9
    ax = plots.posterior_predictive(draws, draws[0], logarithmic=True).axes[0]
    assert 1e-3 < ax.yaxis.get_transform().linthresh < 10.0


def test_dates_are_short() -> None:
    draws = np.random.default_rng(1).normal(size=(50, 60))
    times = np.datetime64("2020-03-01") + np.arange(60)
    figure = plots.posterior_predictive(draws, draws[0], times=times, time_label="day")
    figure.draw_without_rendering()
    boxes = [
        label.get_window_extent() for label in figure.axes[0].get_xticklabels() if label.get_text()
    ]
    assert 3 <= len(boxes) <= 9
    assert not any(first.overlaps(second) for first, second in itertools.pairwise(boxes))


def test_simulations_are_drawn_without_an_observation_and_channels_element_by_element() -> None:
    draws = np.random.default_rng(1).normal(size=(50, 3, 2))
    figure = plots.posterior_predictive(draws, series=False)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()][:3] == [
        "[0,0]",
        "[0,1]",
        "[1,0]",
    ]
    assert "observed" not in [text.get_text() for text in figure.legends[0].get_texts()]


def test_chosen_columns_are_drawn_in_their_order() -> None:
    truth, draws, prior = cases(5)
    ranks = diagnostics.sbc(truth, draws, seed=1)
    covered = diagnostics.coverage(truth, draws, seed=1)
    found = diagnostics.recovery(truth, draws, prior)
    first = one(5)["draws"]
    for draw in (
        lambda **chosen: plots.ecdf(ranks, **chosen),
        lambda **chosen: plots.sbc_histogram(ranks, **chosen),
        lambda **chosen: plots.coverage(covered, **chosen),
        lambda **chosen: plots.recovery(found, **chosen),
        lambda **chosen: draw_contraction(found, **chosen),
        lambda **chosen: plots.marginals(first, **chosen),
    ):
        figure = draw(shown=["mean[3]", "mean[1]"], labels=LABELS)
        texts = [ax.get_title() + ax.get_xlabel() for ax in figure.axes]
        assert len(texts) == 2
        assert "[3]" in texts[0]
        assert "[1]" in texts[1]
        assert figure.get_suptitle() == "3 more are not drawn"
        with pytest.raises(InputError, match=r"unknown: \['mean\[5\]'\]"):
            draw(shown=["mean[5]"])
    gain = diagnostics.information(truth, draws, prior)
    (ax,) = plots.information(gain, shown=["mean[2]"]).axes
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["mean[2]"]
    pairs = diagnostics.dependence(truth, draws, seed=1)
    matrix = plots.dependence(pairs, shown=["mean[4]", "mean[0]", "mean[2]"]).axes[0]
    assert [tick.get_text() for tick in matrix.get_yticklabels()] == ["mean[0]", "mean[2]"]
    shown = np.asarray(matrix.images[0].get_array().filled(np.nan))
    excess = dict(zip(pairs.pairs, pairs.excess, strict=True))
    np.testing.assert_allclose(shown[1, 0], excess["mean[0]", "mean[4]"])
    np.testing.assert_allclose(
        shown[2], [excess["mean[2]", "mean[4]"], excess["mean[0]", "mean[2]"]]
    )


def test_pairs_of_a_switch_that_is_nearly_certain() -> None:
    """The panel holds equal draws alone, which have no density."""
    generator = np.random.default_rng(1)
    switch = np.zeros(4_000)
    switch[:3] = 1.0
    figure = plots.pairs({"level": generator.normal(size=4_000), "switch": switch})
    assert len(figure.axes) == 4


def test_a_figure_has_so_many_panels_at_most() -> None:
    draws = np.random.default_rng(1).normal(size=(50, 6, 45))
    figure = plots.posterior_predictive(draws, draws[0], name="field")
    assert len(figure.axes) == 40
    assert figure._suptitle.get_text() == "the first 40 of 45"


def test_long_names_of_models_do_not_overlap() -> None:
    names = tuple(f"a growth model with delay {number}" for number in range(4))
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 4, 400)
    result = diagnostics.model_calibration(truth, generator.dirichlet(np.ones(4), 400), names)
    figure = plots.model_calibration(result)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[1].get_xticklabels()]
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))


def test_six_models_have_curves_of_their_own_and_a_model_without_data_sets_no_confusion() -> None:
    names = tuple("abcdef")
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 5, 400)
    result = diagnostics.model_calibration(truth, generator.dirichlet(np.ones(6), 400), names)
    assert np.isnan(result.confusion[5]).all()
    assert result.confusion[:5].sum(axis=1) == pytest.approx(1.0)
    assert "NaN" not in repr(result)
    left, right = plots.model_calibration(result).axes
    lines = [container[0] for container in left.containers]
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 6
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 6
    written = [text.get_text() for text in right.texts]
    assert written[-6:] == 6 * ["\N{EN DASH}"]
    assert "\N{EN DASH}" not in written[:-6]


def test_many_data_sets_are_drawn_as_a_density_of_contraction() -> None:
    generator = np.random.default_rng(1)
    truth = generator.normal(size=2_000)
    draws = 0.5 * truth[:, None] + np.sqrt(0.5) * generator.normal(size=(2_000, 50))
    prior = {"a": generator.normal(size=1_000)}
    figure = plots.contraction(diagnostics.recovery({"a": truth}, {"a": draws}, prior))
    [mesh] = figure.axes[0].collections[1:]
    assert 0.95 * len(truth) < np.ma.sum(mesh.get_array()) <= len(truth)


def test_ticks_of_days_name_the_month() -> None:
    days = np.datetime64("2020-03-02") + np.arange(14)
    cases = np.random.default_rng(1).poisson(9.0, size=(40, 14))
    figure = plots.posterior_predictive(cases, times=days)
    figure.draw_without_rendering()
    assert "3 Mar" in [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
