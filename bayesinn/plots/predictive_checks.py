"""Posterior predictive checks: statistics of the observation among those of its replications.

``arviz_plots.plot_ppc_tstat`` computes one statistic from data; the result here holds many, already
computed and judged.
"""

import numpy as np
from matplotlib.axes import Axes

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import PredictiveResult
from bayesinn.plots.histograms import bars, bin_edges
from bayesinn.plots.panels import MOST_PANELS, Panels, bare
from bayesinn.plots.style import DASHED, PLAIN, Canvas, band_look, styled
from bayesinn.plots.text import wrapped

#: Statistics in the unit of the observable; the others have no unit.
_WITH_UNIT = frozenset({"value", "mean", "standard deviation", "minimum", "maximum"})


@styled
def predictive_checks(
    result: PredictiveResult, *, labels: Labels = PLAIN, figure: Canvas | None = None
) -> Canvas:
    """Draw each statistic's histogram over replications, and a line for the observation.

    A line among the bars: the model can make such data. Flagged statistics are drawn in red. Of
    more than 40 statistics, those of the smallest p-values are drawn.
    """
    # Flagged statistics have the smallest p-values: all are held against the same level.
    smallest = np.argsort(result.p_value, kind="stable")[:MOST_PANELS]
    drawn = np.sort(smallest)
    panels = Panels(figure, [result.observables[index] for index in drawn], labels)
    for place, ax in enumerate(panels.axes):
        index = drawn[place]
        statistic = result.statistics[index]
        replicated = result.replicated[:, index]
        edges = bin_edges(replicated)
        bars(
            ax, replicated, edges, **band_look(not result.flagged[index], "replicated", ", flagged")
        )
        _draw_observed(ax, float(result.observed[index]), edges)
        bare(ax)
        panels.title(place, f"p = {result.p_value[index]:.2g}")
        unit = labels.unit(result.observables[index]) if statistic in _WITH_UNIT else ""
        panels.name(place, Labels(units={statistic: unit}).axis(statistic))
    return panels.finish(upwards="density", left_out=len(result.p_value) - len(drawn))


def _draw_observed(ax: Axes, observed: float, edges: np.ndarray) -> None:
    """Draw a line, or an arrow at the panel's edge where a line would flatten the histogram."""
    low = float(edges[0])
    high = float(edges[-1])
    right = observed > high
    reach = 3.0 * (high - low)
    far = not low - reach <= observed <= high + reach
    if not far:
        low = min(low, observed)
        high = max(high, observed)
        ax.axvline(observed, label="observed", **DASHED | {"linewidth": 1.6})
    margin = 0.05 * (high - low)
    ax.set_xlim(low - margin, high + margin)
    if far:
        text = f"observed: {observed:.3g}"
        text = f"{text} \N{RIGHTWARDS ARROW}" if right else f"\N{LEFTWARDS ARROW} {text}"
        x, side = (0.98, "right") if right else (0.02, "left")
        ax.text(
            x, 0.9, wrapped(text, 1.0, 8.0), transform=ax.transAxes, ha=side, va="top", fontsize=8
        )
