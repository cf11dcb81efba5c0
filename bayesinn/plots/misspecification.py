"""Misspecification: MMD of observed summaries among those of simulated data; the test's power."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import PercentFormatter

from bayesinn.core.errors import InputError
from bayesinn.diagnostics import MisspecificationResult
from bayesinn.plots.panels import (
    BARS,
    BLUE,
    DASHED,
    PAGE,
    RED,
    Canvas,
    Panels,
    canvas,
    curve_look,
    legend_below,
    styled,
)


@styled
def misspecification(result: MisspecificationResult, *, figure: Canvas | None = None) -> Canvas:
    """Draw MMD^2 of the observed data sets among those of simulated ones."""
    panels = Panels(figure, [_sets(result.observed)], width=4.6, height=2.8)
    ax = panels.axes[0]
    ax.stairs(*np.histogram(result.null, 30), label="simulated", **BARS)
    ax.axvline(result.critical, label=f"{100 * result.level:.4g} % of simulated", **DASHED)
    ax.axvline(
        result.squared, color=BLUE if result.passed else RED, linewidth=2.0, label="observed"
    )
    panels.title(0, f"p = {result.p_value[0]:.2g}")
    return panels.finish("MMD² to simulated summaries", "repetitions")


@styled
def misspecification_power(
    power: pd.DataFrame, *, alternative: str = "alternative", figure: Canvas | None = None
) -> Canvas:
    """Draw how often data sets from alternatives are rejected, with two standard errors.

    ``alternative`` is the label of the axis, such as "shift of the prior mean [sd]".
    """
    needed = ["alternative", "size", "rejected", "standard_error", "level"]
    if power.empty or not set(needed) <= set(power.columns):
        raise InputError(
            "power",
            expected=f"rows with the columns {needed}",
            got=f"{len(power)} rows with the columns {list(power.columns)}",
            do="pass what misspecification_power returned",
        )
    names = list(power["alternative"].unique())
    sizes = power["size"].nunique()
    numbers = pd.api.types.is_numeric_dtype(power["alternative"].infer_objects())
    # Wide enough for all names, and for the legend.
    width = min(PAGE, max(4.6, 1.0 + 1.35 * sizes, 0.0 if numbers else 1.0 + 0.75 * len(names)))
    figure = canvas(figure, width, 3.8)
    ax = figure.add_subplot()
    rate = 1.0 - float(power["level"].iloc[0])
    ax.axhline(rate, label=f"{100 * rate:.2g} % if well specified", **DASHED)
    for index, (size, rows) in enumerate(power.groupby("size", sort=False)):
        rows = rows.sort_values("alternative") if numbers else rows
        # Sizes are drawn beside each other if alternatives have no scale of their own.
        beside = 0.12 * (index - 0.5 * (sizes - 1))
        places = rows["alternative"] if numbers else rows["alternative"].map(names.index) + beside
        colour, marker, line = curve_look(index)
        look: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "linestyle": line if numbers else "none",
        }
        points = places.to_numpy(float), rows["rejected"], 2.0 * rows["standard_error"]
        ax.errorbar(*points, markersize=4.5, label=_sets(size), **look)
    if not numbers:
        slanted = len(names) > 6 or max(len(str(name)) for name in names) > 9
        ax.set_xticks(
            range(len(names)),
            names,
            rotation=30 if slanted else 0,
            ha="right" if slanted else "center",
        )
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set(xlabel=alternative, ylabel="rejected", ylim=(-0.03, 1.05))
    return legend_below(figure)


def _sets(count: int) -> str:
    return f"{count} data set{'' if count == 1 else 's'}"
