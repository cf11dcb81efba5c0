"""Every figure draws with one, two and twelve columns, says what its axes are, and leaves matplotlib as it was."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bayesinn import diagnostics, plots
from bayesinn.errors import InputError
from bayesinn.naming import Labels
from tests.diagnostics.conjugate import Arrays, normal

LABELS = Labels({"mean": r"$\mu$"}, {"mean": "mm"})


def cases(count: int) -> tuple[Arrays, Arrays, Arrays]:
    return normal(size=60, draws=200, event=() if count == 1 else (count,), seed=count)


def sbc_histogram(count: int) -> Figure:
    return plots.sbc_histogram(diagnostics.sbc(*cases(count)[:2], seed=1), labels=LABELS)


def sbc_ecdf(count: int) -> Figure:
    return plots.sbc_ecdf(diagnostics.sbc(*cases(count)[:2], seed=1), labels=LABELS)


def coverage(count: int) -> Figure:
    return plots.coverage(diagnostics.coverage(*cases(count)[:2], seed=1), labels=LABELS)


def recovery(count: int) -> Figure:
    return plots.recovery(diagnostics.recovery(*cases(count)), labels=LABELS)


def one(count: int) -> dict[str, Arrays]:
    """Draws, prior and truth of a single observation."""
    truth, draws, prior = cases(count)
    first = {name: value[0] for name, value in draws.items()}
    return {"draws": first, "prior": prior, "truth": {name: value[0] for name, value in truth.items()}}


def marginals(count: int) -> Figure:
    return plots.marginals(**one(count), reference=one(count)["draws"], labels=LABELS)


def pairs(count: int) -> Figure:
    return plots.pairs(**one(count), labels=LABELS)


def predictive(count: int) -> Figure:
    draws = np.random.default_rng(1).poisson(20.0, size=(100, 30, count))
    return plots.posterior_predictive(draws, draws[0], name="mean", labels=LABELS, logarithmic=True)


def predictive_elements(count: int) -> Figure:
    draws = np.random.default_rng(1).normal(size=(100, count))
    return plots.posterior_predictive(draws, draws[0], name="mean", labels=LABELS, series=False)


def loss(count: int) -> Figure:
    steps = np.arange(1, 100 * count + 1)
    history = pd.DataFrame({"step": steps, "loss": 5.0 / steps, "val_loss": np.nan, "learning_rate": 1e-3})
    history.loc[history["step"] % 50 == 0, "val_loss"] = 1.0
    return plots.loss(history)


FIGURES = [
    sbc_histogram,
    sbc_ecdf,
    coverage,
    recovery,
    marginals,
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
    assert any(ax.get_ylabel() for ax in figure.axes)
    if draw not in (sbc_histogram, sbc_ecdf, coverage, loss, recovery):
        assert any(r"$\mu$" in text and "[mm]" in text for text in texts)
    if draw in (sbc_histogram, sbc_ecdf, coverage, recovery):
        assert len(figure.axes) == count
        assert all(r"$\mu$" in ax.get_title() for ax in figure.axes)


@pytest.mark.parametrize("draw", [sbc_ecdf, coverage, recovery, marginals, predictive])
@pytest.mark.parametrize("count", [1, 2])
def test_the_legend_fits_into_the_figure(draw: Callable[[int], Figure], count: int) -> None:
    figure = draw(count)
    figure.draw_without_rendering()
    extent = figure.legends[0].get_window_extent()
    assert extent.x0 >= 0
    assert extent.x1 <= figure.bbox.width


def test_thirty_four_columns_lie_in_a_grid() -> None:
    truth, draws, _ = normal(size=40, draws=20, event=(34,))
    figure = plots.sbc_ecdf(diagnostics.sbc(truth, draws, seed=1), labels=LABELS)
    assert len(figure.axes) == 34
    assert figure.get_figwidth() <= 16
    tops = {round(ax.get_subplotspec().get_position(figure).y1, 3) for ax in figure.axes}
    assert len(tops) == 7


def test_a_failing_column_is_drawn_in_red() -> None:
    truth, draws, _ = normal(event=(2,))
    draws["mean"][..., 1] *= 2.0
    figure = plots.sbc_ecdf(diagnostics.sbc(truth, draws, seed=1))
    colours = [ax.lines[-1].get_color() for ax in figure.axes]
    assert colours[0] != colours[1]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "ranks outside the band" in names


def test_own_figures_and_subfigures_are_drawn_into() -> None:
    truth, draws, _ = normal(size=50, draws=20)
    own = Figure(figsize=(8, 4), layout="constrained")
    left, right = own.subfigures(1, 2)
    assert plots.sbc_ecdf(diagnostics.sbc(truth, draws, seed=1), figure=left) is left
    assert plots.coverage(diagnostics.coverage(truth, draws, seed=1), figure=right) is right
    assert [len(part.axes) for part in (left, right, own)] == [1, 1, 2]
    assert plots.png(right).startswith(b"\x89PNG")


def test_figures_show_themselves_in_notebooks() -> None:
    assert loss(1)._repr_png_().startswith(b"\x89PNG")


def test_plots_import_neither_tensorflow_nor_pyplot() -> None:
    program = (
        "import sys; import bayesinn.plots;"
        "print([name for name in ('tensorflow', 'keras', 'matplotlib.pyplot') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_save_writes_150_dots_per_inch_and_metadata(tmp_path: Path) -> None:
    path = plots.save(Figure(figsize=(2, 1)), tmp_path / "figure.png", metadata={"Title": "a title"})
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


def test_pairs_draws_points_instead_of_contours() -> None:
    panel = plots.pairs(one(2)["draws"], contours=False).axes[2]
    assert len(panel.lines) == 1
    assert len(panel.collections) == 0


def test_constant_parameters_and_missing_observations_draw() -> None:
    constant = {"a": np.full(100, 2.0), "b": np.random.default_rng(1).normal(size=100)}
    plots.png(plots.marginals(constant))
    plots.png(plots.pairs(constant))
    draws = np.random.default_rng(1).normal(size=(50, 20))
    plots.png(plots.posterior_predictive(draws, np.full(20, np.nan)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.loss(pd.DataFrame({"step": [1]})), "(?s)columns 'step' and 'loss'.*fitted"),
        (lambda: plots.loss(pd.DataFrame({"step": [], "loss": []})), "0 rows"),
        (lambda: plots.marginals({}), "same 2 or more draws"),
        (lambda: plots.marginals({"a": np.zeros(5), "b": np.zeros(4)}), "same 2 or more draws"),
        (lambda: plots.marginals({"a": np.full(5, np.nan)}), "5 of 5 values NaN"),
        (lambda: plots.marginals({"a": np.zeros(5)}, prior={"b": np.zeros(5)}), "columns of prior"),
        (lambda: plots.pairs({"a": np.zeros((5, 13))}), "1 to 12 different columns"),
        (lambda: plots.pairs({"a": np.zeros((5, 3))}, shown=["b"]), r"unknown: \['b'\]"),
        (lambda: plots.posterior_predictive(np.zeros((5, 9)), np.zeros(8), name="cases"), "'cases'"),
        (lambda: plots.posterior_predictive(np.full((5, 9), np.inf), np.zeros(9)), "finite simulations"),
        (lambda: plots.posterior_predictive(np.zeros((5, 9)), np.zeros(9), times=np.zeros(3)), "one for each step"),
        (lambda: plots.posterior_predictive(np.zeros((5, 9, 2)), np.zeros((9, 2)), series=False), "flatten"),
    ],
)
def test_wrong_inputs_are_refused(call: Callable[[], Figure], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
