"""Marginal posteriors of one observation.

``arviz_plots.plot_prior_posterior`` thins draws and scales the prior's histogram to the bins shown; here each histogram
is a density of all its draws. A kernel density estimate would leak beyond the prior's support.
"""

from collections.abc import Mapping

import numpy as np

from bayesinn.core.labels import Labels
from bayesinn.plots.arrays import Draws, gather
from bayesinn.plots.histograms import bin_edges, marginal
from bayesinn.plots.panels import Panels
from bayesinn.plots.style import PLAIN, Canvas, styled


@styled
def marginals(
    draws: Draws,
    *,
    prior: Draws | None = None,
    reference: Draws | None = None,
    truth: Mapping[str, np.ndarray] | None = None,
    labels: Labels = PLAIN,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the histogram of each parameter's posterior, given one observation."""
    given = gather(draws, prior, reference, truth)
    panels = Panels(figure, list(given.posterior), labels)
    for index, (ax, (column, values)) in enumerate(zip(panels.axes, given.posterior.items(), strict=True)):
        window = _window(values, given.prior.get(column), given.truth.get(column))
        marginal(ax, bin_edges(values, *window), given, column)
        panels.name(index)
    return panels.finish(upwards="density")


def _window(values: np.ndarray, prior: np.ndarray | None, truth: np.ndarray | None) -> tuple[float, float]:
    """Return the range to show: the prior's, but not so wide that the posterior shrinks below a fifth of the panel."""
    low, high = np.quantile(values, [0.001, 0.999])
    width = (high - low) or max(abs(float(low)), 1.0) * 1e-3
    start, end = low - 0.15 * width, high + 0.15 * width
    if prior is not None:
        prior_low, prior_high = np.quantile(prior, [0.001, 0.999])
        start = min(start, max(prior_low, low - 2.0 * width))
        end = max(end, min(prior_high, high + 2.0 * width))
        # Neither beyond the prior's support.
        start = max(start, min(prior.min(), values.min()))
        end = min(end, max(prior.max(), values.max()))
    if truth is not None:
        start, end = min(start, float(truth) - 0.1 * width), max(end, float(truth) + 0.1 * width)
    return float(start), float(end)
