"""Misspecification: the MMD of observed to simulated summaries among those of simulated data, and the test's power."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.ticker import PercentFormatter

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.misspecification import MisspecificationResult
from bayesinn.plots.style import (
    BLACK,
    BLUE,
    GREY,
    LIGHT_GREY,
    ORANGE,
    RED,
    Canvas,
    canvas,
    legend_below,
    panels,
    styled,
)

# Colour, marker and line tell sizes apart, also in grey.
_LOOKS = ((BLUE, "o", "-"), (ORANGE, "s", "--"), (RED, "^", "-."), (BLACK, "D", ":"), (GREY, "v", "-"))


@styled
def misspecification(result: MisspecificationResult, *, figure: Canvas | None = None) -> Canvas:
    """Draw MMD^2 of the observed data sets among those of simulated ones.

    Parameters
    ----------
    result : MisspecificationResult
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.diagnostics.misspecification import misspecification as measure
    >>> points = np.random.default_rng(1).normal(size=(500, 2))
    >>> len(misspecification(measure(points[:10], points[10:], seed=1)).axes)
    1
    """
    figure, (ax,), _ = panels(figure, 1, width=4.6, height=2.8)
    ax.hist(result.null, bins=30, color=LIGHT_GREY, edgecolor=GREY, linewidth=0.6, label="simulated")
    ax.axvline(result.critical, color=BLACK, linewidth=1.0, linestyle="--", label=f"{result.level:.0%} of simulated")
    colour = BLUE if result.passed else RED
    ax.axvline(result.squared, color=colour, linewidth=2.0, label="observed")
    plural = "" if result.observed == 1 else "s"
    ax.set_title(f"{result.observed} data set{plural}   p = {result.p_value[0]:.2g}")
    ax.set_xlabel("MMD² to simulated summaries")
    ax.set_ylabel("repetitions")
    legend_below(figure, [ax])
    return figure


@styled
def misspecification_power(
    power: pd.DataFrame, *, alternative: str = "alternative", figure: Canvas | None = None
) -> Canvas:
    """Draw how often data sets made in other ways are rejected, with two standard errors.

    Parameters
    ----------
    power : DataFrame, as :func:`bayesinn.diagnostics.misspecification.misspecification_power` returns it
    alternative : str
        What the alternatives are, for the axis: "shift of the prior mean [sd]".
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        Columns are missing, or there are no rows.

    Examples
    --------
    >>> import pandas as pd
    >>> table = {"alternative": [0.0, 1.0], "size": 5, "rejected": [0.05, 0.9], "standard_error": 0.02, "level": 0.95}
    >>> len(misspecification_power(pd.DataFrame(table)).axes)
    1
    """
    needed = ["alternative", "size", "rejected", "standard_error", "level"]
    if power.empty or not set(needed) <= set(power.columns):
        raise InputError(
            "power",
            expected=f"rows with the columns {needed}",
            got=f"{len(power)} rows with the columns {list(power.columns)}",
            do="pass what misspecification_power returned",
        )
    names = list(dict.fromkeys(power["alternative"]))
    numbers = all(isinstance(name, int | float | np.number) for name in names)
    sizes = list(dict.fromkeys(power["size"]))
    # Wide enough for all names, and for the legend.
    width = max(4.6, 1.0 + 1.35 * len(sizes), 0.0 if numbers else 1.0 + 0.75 * len(names))
    figure = canvas(figure, width, 3.8)
    ax = figure.add_subplot()
    rate = 1.0 - float(power["level"].iloc[0])
    ax.axhline(rate, color=BLACK, linewidth=0.8, linestyle="--", label=f"{rate:.2g} if well specified")
    for index, size in enumerate(sizes):
        rows = power[power["size"] == size]
        if numbers:
            rows = rows.sort_values("alternative")
        # Sizes beside each other where alternatives have no scale of their own.
        places = rows["alternative"] if numbers else rows["alternative"].map(names.index) + _beside(index, len(sizes))
        colour, marker, line = _LOOKS[index % len(_LOOKS)]
        ax.errorbar(
            places.to_numpy(float),
            rows["rejected"],
            yerr=2.0 * rows["standard_error"],
            color=colour,
            marker=marker,
            markersize=4.5,
            linestyle=line if numbers else "none",
            linewidth=1.4,
            elinewidth=1.0,
            label=f"{size} data set{'' if size == 1 else 's'}",
        )
    if not numbers:
        slanted = len(names) > 6 or max(len(str(name)) for name in names) > 9
        ax.set_xticks(range(len(names)), names, rotation=30 if slanted else 0, ha="right" if slanted else "center")
    ax.set_ylim(-0.03, 1.05)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_xlabel(alternative)
    ax.set_ylabel("rejected")
    legend_below(figure, [ax])
    return figure


def _beside(index: int, count: int) -> float:
    return 0.12 * (index - 0.5 * (count - 1))
