"""Figures of the summary-space test."""

from __future__ import annotations

import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.misspecification import MisspecificationResult
from bayesinn.plots.misspecification import misspecification, misspecification_power
from bayesinn.plots.panels import BLUE, RED


def result(p_value: float) -> MisspecificationResult:
    null = np.random.default_rng(1).gamma(3.0, 0.01, size=500)
    squared = float(np.quantile(null, 1.0 - p_value)) if p_value > 0.01 else 0.4
    return MisspecificationResult(
        ("summaries",), np.array([p_value]), 0.99, squared, null, 20, 1000
    )


def power(names: list, sizes: tuple[int, ...] = (1, 5, 20)) -> pd.DataFrame:
    rows = [
        {
            "alternative": name,
            "size": size,
            "rejected": min(1.0, 0.05 + 0.02 * index * size),
            "standard_error": 0.02,
        }
        for index, name in enumerate(names)
        for size in sizes
    ]
    return pd.DataFrame(rows).assign(level=0.95)


def drawn(figure: Figure) -> Figure:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()
    extent = figure.legends[0].get_window_extent()
    assert extent.x0 >= 0
    assert extent.x1 <= figure.bbox.width
    return figure


@pytest.mark.parametrize(("p_value", "colour"), [(0.3, BLUE), (0.002, RED)])
def test_the_observed_value_is_marked(p_value: float, colour: str) -> None:
    before = dict(matplotlib.rcParams)
    ax = drawn(misspecification(result(p_value))).axes[0]
    assert dict(matplotlib.rcParams) == before
    observed = next(line for line in ax.lines if line.get_label() == "observed")
    assert observed.get_color() == colour
    assert observed.get_xdata()[0] == result(p_value).squared
    assert f"p = {p_value:.2g}" in ax.get_title()
    assert "MMD" in ax.get_xlabel()
    assert ax.get_ylabel()


@pytest.mark.parametrize("sizes", [(1,), (1, 5, 20), (1, 2, 5, 10, 20, 50)])
def test_a_curve_for_each_number_of_data_sets(sizes: tuple[int, ...]) -> None:
    shifts = [2.0, 0.0, 1.0]
    figure = drawn(misspecification_power(power(shifts, sizes), alternative="shift [sd]"))
    ax = figure.axes[0]
    assert len(ax.containers) == len(sizes)
    assert all(list(container[0].get_xdata()) == sorted(shifts) for container in ax.containers)
    looks = {(curve[0].get_color(), curve[0].get_marker()) for curve in ax.containers}
    assert len(looks) == len(sizes)
    assert ax.get_xlabel() == "shift [sd]"
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"5 % if well specified", "1 data set"} <= set(names)


@pytest.mark.parametrize("count", [1, 4, 12])
def test_named_alternatives_stand_beside_each_other(count: int) -> None:
    names = [f"alternative {index}" for index in range(count)]
    ax = drawn(misspecification_power(power(names))).axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == names


def test_a_figure_may_be_given() -> None:
    own = Figure(figsize=(8, 4), layout="constrained")
    left, right = own.subfigures(1, 2)
    assert misspecification(result(0.3), figure=left) is left
    assert misspecification_power(power([0.0, 1.0]), figure=right) is right


@pytest.mark.parametrize("table", [pd.DataFrame(), pd.DataFrame({"size": [1]})])
def test_wrong_tables_are_refused(table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="misspecification_power returned"):
        misspecification_power(table)
