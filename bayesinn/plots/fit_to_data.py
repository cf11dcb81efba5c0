"""How much better truths explain their data than draws do, in nats."""

from typing import Any

import numpy as np
import pandas as pd

from bayesinn.core.labels import Labels
from bayesinn.diagnostics.likelihood import FitResult
from bayesinn.plots.allowed import column_error, grade_look, write_error
from bayesinn.plots.histograms import bin_edges
from bayesinn.plots.panels import Panels
from bayesinn.plots.style import BARS, BLACK, BLUE, DASHED, GREY, PLAIN, Canvas, styled

# Share of the data sets on either side that lie beyond the panel: some are off by hundreds of nats.
_BEYOND = 0.05


@styled
def fit_to_data(
    result: FitResult,
    *,
    labels: Labels = PLAIN,
    errors: pd.DataFrame | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the log likelihood of truths minus the median of their draws, and its own median.

    The median, with its interval, is zero if the posterior is correct. With ``errors``, see
    :mod:`bayesinn.plots.allowed`, dotted lines show what is allowed, and a colour the grade.
    """
    deviation = result.deviations[0]
    error = column_error(errors, result.columns[0])
    panels = Panels(figure, result.columns, labels, width=4.6, height=2.3)
    ax = panels.axes[0]
    gap = result.gap[np.isfinite(result.gap)]
    ends = (deviation.lower[0], deviation.estimate[0], deviation.upper[0])
    limit = 0.0 if error is None else float(error["tolerance"])
    low, high = np.quantile(gap, [_BEYOND, 1.0 - _BEYOND])
    low = min(low, -1.3 * limit, *ends)
    high = max(high, 1.3 * limit, *ends)
    edges = bin_edges(gap, low, high)
    counts = np.histogram(gap, edges)[0]
    ax.stairs(counts, edges, label="data sets", **BARS)
    ax.axvline(0.0, **DASHED | {"linestyle": "-", "linewidth": 0.8, "color": GREY})
    look: dict[str, Any] = {"color": BLUE, "linestyle": "-", "label": "median and interval"}
    if error is not None:
        look = grade_look(error["grade"])
        look["label"] = f"median and interval, {look['label']}"
        for end in (-limit, limit):
            ax.axvline(end, color=BLACK, linestyle=":", label="allowed")
    top = float(np.max(counts))
    ax.errorbar(
        [ends[1]],
        [1.12 * top],
        xerr=[[ends[1] - ends[0]], [ends[2] - ends[1]]],
        marker="o",
        capsize=4.0,
        linewidth=2.0,
        **look,
    )
    ax.set(xlim=(edges[0], edges[-1]), ylim=(0.0, 1.25 * top))
    note = f"p = {result.p_value[0]:.2g}" if error is None else write_error(error)
    panels.title(0, note)
    return panels.finish("truth minus draws [nats]", "data sets")
