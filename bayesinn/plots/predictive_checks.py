"""Posterior predictive checks: statistics of the observation among those of its replications."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from bayesinn.core.labels import Labels
from bayesinn.diagnostics.predictive import PredictiveResult
from bayesinn.plots.style import BLACK, BLUE, PLAIN, RED, Canvas, legend_below, outer, panels, styled

#: Statistics in the observable's own unit; the others have none.
_WITH_UNIT = frozenset({"value", "mean", "standard deviation", "minimum", "maximum"})


@styled
def predictive_checks(result: PredictiveResult, *, labels: Labels = PLAIN, figure: Canvas | None = None) -> Canvas:
    """Draw each statistic's histogram over replications, and a line for the observation.

    A line among the bars: the model can make such data. Flagged statistics are drawn in red.

    Parameters
    ----------
    result : PredictiveResult
    labels : Labels
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.diagnostics.predictive import predictive_checks as check
    >>> data = np.random.default_rng(1).normal(size=(1001, 20))
    >>> result = check({"size": data[1:]}, {"size": data[0]})
    >>> len(predictive_checks(result).axes)
    7
    """
    figure, axes, across = panels(figure, len(result.statistics))
    for index, ax in enumerate(axes):
        name, statistic = result.observables[index], result.statistics[index]
        observed, replicated = float(result.observed[index]), result.replicated[:, index]
        flagged = bool(result.flagged[index])
        edges = _edges(replicated)
        colour, entry = (RED, "replicated, flagged") if flagged else (BLUE, "replicated")
        heights = np.histogram(replicated, edges)[0] / (len(replicated) * np.diff(edges))
        ax.stairs(heights, edges, fill=True, color=colour, alpha=0.5, label=entry)
        _draw_observed(ax, observed, edges)
        ax.set_ylim(bottom=0.0)
        ax.set_yticks([])
        ax.locator_params(axis="x", nbins=5)
        ax.spines["left"].set_visible(False)
        ax.set_title(f"{labels.label(name)}   p = {result.p_value[index]:.2g}")
        unit = labels.unit(name) if statistic in _WITH_UNIT else ""
        ax.set_xlabel(f"{statistic} [{unit}]" if unit else statistic)
        ax.set_ylabel("density" if outer(index, len(axes), across)[0] else "")
    legend_below(figure, axes)
    return figure


def _edges(values: np.ndarray) -> np.ndarray:
    """Edges of bins: one bin a value where there are few (shares, counts), otherwise 30 over nearly all draws."""
    distinct = np.unique(values)
    if len(distinct) == 1:
        # One bar in the middle of a wide panel.
        return distinct[0] + 0.05 * max(abs(float(distinct[0])), 1.0) * np.arange(-5.5, 6.0)
    gap = float(np.min(np.diff(distinct)))
    if np.ptp(distinct) <= 60.0 * gap:
        return distinct[0] + gap * (np.arange(round(np.ptp(distinct) / gap) + 2) - 0.5)
    low, high = np.quantile(values, [0.001, 0.999])
    return np.linspace(low, high, 31) if high > low else np.linspace(distinct[0], distinct[-1], 31)


def _draw_observed(ax: Axes, observed: float, edges: np.ndarray) -> None:
    """A line, or an arrow at the panel's edge where a line would squeeze the histogram flat."""
    low, high = float(edges[0]), float(edges[-1])
    width = high - low
    far = observed < low - 3.0 * width or observed > high + 3.0 * width
    if not far:
        low, high = min(low, observed), max(high, observed)
        ax.axvline(observed, color=BLACK, linewidth=1.6, linestyle="--", label="observed")
    margin = 0.05 * (high - low)
    ax.set_xlim(low - margin, high + margin)
    if far:
        right = observed > high
        ax.annotate(
            f"observed: {observed:.3g}",
            xy=(0.99 if right else 0.01, 0.9),
            xytext=(0.9 if right else 0.1, 0.9),
            xycoords="axes fraction",
            ha="right" if right else "left",
            va="center",
            fontsize=9,
            arrowprops={"arrowstyle": "->", "color": BLACK},
        )
