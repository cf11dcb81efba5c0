"""The local classifier two-sample test: its statistic at each observation; where errors are."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.diagnostics import LocalC2STResult
from bayesinn.plots.allowed import column_error, grade_look, write_error
from bayesinn.plots.arrays import Draws, gather
from bayesinn.plots.histograms import bars, equal_bins, outline
from bayesinn.plots.panels import Panels, bare
from bayesinn.plots.style import BARS, BLACK, DASHED, PLAIN, Canvas, band_look, styled

# further below the largest value, differences mean nothing and only squeeze the rest
_DECADES = 1e-7


@styled
def local_c2st(
    result: LocalC2STResult,
    *,
    labels: Labels = PLAIN,
    errors: pd.DataFrame | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the statistic at each observation among those of correct posteriors.

    A line to the right of the grey bars: there, the classifier tells truths from posterior draws
    better than chance. With ``errors``, see :mod:`bayesinn.plots.allowed`, a dotted line shows what
    is allowed, and colours the grade. Without, a colour shows whether the test fails.
    """
    # The same scales for all panels, to compare observations.
    # Errors are distances in percentage points, beyond the one that chance makes.
    allowed = np.zeros(0)
    if errors is not None and len(errors):
        points = float(errors["tolerance"].iloc[0])
        allowed = np.median(result.null, axis=0) + (points / 100.0) ** 2
    largest = (np.max(values, initial=1e-12) for values in (result.statistic, result.null, allowed))
    top = 2.0 * float(max(largest))
    null = np.maximum(result.null, _DECADES * top)
    statistic = np.maximum(result.statistic, _DECADES * top)
    edges = np.geomspace(0.5 * min(float(np.min(null)), float(np.min(statistic))), top, 31)
    heights = [np.histogram(values, edges)[0] for values in null.T]
    panels = Panels(figure, result.columns, labels, stack=True)
    for index, ax in enumerate(panels.axes):
        ax.stairs(heights[index], edges, label="correct posteriors", **BARS)
        ax.axvline(
            np.quantile(null[:, index], result.level),
            label=f"{100 * result.level:.4g} % of them",
            **DASHED,
        )
        error = column_error(errors, result.columns[index])
        note = f"p = {result.p_value[index]:.2g}"
        look = band_look(result.inside[index], "this posterior", ", failing")
        if error is not None:
            look = grade_look(error["grade"])
            look["label"] = f"this posterior, {look['label']}"
            note = write_error(error)
        if len(allowed):
            ax.axvline(allowed[index], color=BLACK, linestyle=":", label="allowed")
        ax.axvline(statistic[index], linewidth=2.0, **look)
        ax.set(xscale="log", xlim=(edges[0], top), ylim=(0.0, 1.05 * np.max(heights)))
        ax.locator_params(axis="x", numticks=5)
        if not panels.stacked:
            ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        panels.title(index, note)
    return panels.finish("mean (probability - 1/2)$^2$", "trials")


@styled
def local_c2st_marginals(
    result: LocalC2STResult,
    draws: Draws,
    *,
    observation: int = 0,
    labels: Labels = PLAIN,
    shown: Sequence[str] | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw where one observation's posterior is wrong: draws, without and with classifier weights.

    The weights, probability / (1 - probability), estimate the correct density divided by this one.
    The histograms agree if the test passes. ``draws`` are the inverse flow's results for
    ``result.evaluation``.
    """
    posterior = gather(draws).posterior
    size = len(next(iter(posterior.values())))
    if not 0 <= observation < len(result.columns) or size != len(result.evaluation):
        do = "pass what the inverse flow makes of result.evaluation"
        raise InputError(
            "observation and draws",
            expected=f"an observation from 0 to {len(result.columns) - 1}, and "
            f"{len(result.evaluation)} draws",
            got=f"observation {observation}, {size} draws",
            do=f"{do}, given this observation",
        )
    weights = result.probability[observation] / (1.0 - result.probability[observation])
    columns = list(posterior)
    panels = Panels(figure, columns, labels, shown=shown)
    for index, ax in panels:
        values = posterior[columns[index]]
        # All draws lie in the prior's support: so must the bins.
        low, high = np.quantile(values, [0.002, 0.998])
        around = low + 0.5 * max(abs(low), 2.0) * np.array([-1.0, 1.0])
        edges = equal_bins(values, low, high, 25) if low < high else around
        bars(ax, values, edges, "this posterior")
        outline(ax, values, edges, "as the classifier would correct it", weights=weights)
        bare(ax, edges)
        panels.name(index)
    return panels.finish(upwards="density")
