"""Recovery: posterior medians and intervals against the truth."""

import numpy as np

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import RecoveryResult
from bayesinn.plots.panels import Panels
from bayesinn.plots.style import BLUE, DASHED, PLAIN, POINTS, Canvas, styled


@styled
def recovery(
    result: RecoveryResult, *, labels: Labels = PLAIN, most: int = 300, figure: Canvas | None = None
) -> Canvas:
    """Draw the posterior of each data set, as median and interval, against the truth.

    Only the first ``most`` data sets are drawn, so that intervals stay apart; numbers in titles use all of them.
    """
    panels = Panels(figure, result.columns, labels, width=2.8, height=2.9)
    values = (result.truth, result.median, result.lower, result.upper)
    for index, ax in enumerate(panels.axes):
        truth, median, lower, upper = (value[:most, index] for value in values)
        ax.vlines(truth, lower, upper, color=BLUE, alpha=0.25, linewidth=0.9, label=f"{result.interval:.0%} interval")
        ax.plot(truth, median, markersize=3, color=BLUE, label="median", **POINTS)
        ends = [min(truth.min(), median.min()), max(truth.max(), median.max())]
        ax.plot(ends, ends, label="median = truth", **DASHED)
        note = f"$R^2$ = {result.r_squared[index]:.2f}, r = {result.correlation[index]:.2f}"
        panels.title(index, note, unit=True)
        # A few very long intervals run out of the panel instead of squeezing all others flat.
        low, high = min(truth.min(), np.quantile(lower, 0.02)), max(truth.max(), np.quantile(upper, 0.98))
        margin = 0.05 * (high - low) or 1.0
        ax.set_ylim(low - margin, high + margin)
    return panels.finish("truth", "posterior")
