"""Marginal posteriors of one observation.

``arviz_plots.plot_prior_posterior`` thins draws and scales the prior's histogram to the bins shown;
here each histogram is a density of all its draws. A kernel density estimate would leak beyond the
prior's support.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from bayesinn.core.labels import Labels
from bayesinn.plots.arrays import Draws, Given, gather
from bayesinn.plots.histograms import bin_edges, marginal
from bayesinn.plots.panels import Panels
from bayesinn.plots.series import decades
from bayesinn.plots.style import PLAIN, Canvas, styled


@styled
def marginals(
    draws: Draws,
    *,
    prior: Draws | None = None,
    reference: Draws | None = None,
    truth: Mapping[str, np.ndarray] | None = None,
    labels: Labels = PLAIN,
    shown: Sequence[str] | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the histogram of each parameter's posterior, given one observation.

    Axes are logarithmic if the prior ranges over decades and the panel over more than one.
    """
    given = gather(draws, prior, reference, truth)
    columns = list(given.posterior)
    panels = Panels(figure, columns, labels, shown=shown)
    for index, ax in panels:
        column = columns[index]
        edges, logarithmic = _edges(given, column)
        if logarithmic:
            decades(ax, "x", edges[0], edges[-1])
        marginal(ax, edges, given, column)
        panels.name(index)
    return panels.finish(upwards="density")


def _edges(given: Given, column: str) -> tuple[np.ndarray, bool]:
    """Return edges of bins, and whether they are equal on a logarithmic axis."""
    values = given.posterior[column]
    others = [given.prior.get(column), given.truth.get(column)]
    if given.spans_decades(column):
        low, high = _window(
            np.log(values), *(None if other is None else np.log(other) for other in others)
        )
        if high - low > np.log(10.0):
            return np.exp(bin_edges(np.log(values), low, high)), True
    return bin_edges(values, *_window(values, *others)), False


def _window(
    values: np.ndarray, prior: np.ndarray | None, truth: np.ndarray | None
) -> tuple[float, float]:
    """Return the range to show: the prior's, unless the posterior fills less than a fifth of it."""
    low, high = np.quantile(values, [0.001, 0.999])
    width = (high - low) or max(abs(float(low)), 1.0) * 1e-3
    start = low - 0.15 * width
    end = high + 0.15 * width
    drawn = values
    if prior is not None:
        drawn = np.concatenate([values, prior])
        prior_low, prior_high = np.quantile(prior, [0.001, 0.999])
        # As far as the prior reaches, within two widths of the posterior.
        start = min(start, max(prior_low, low - 2.0 * width))
        end = max(end, min(prior_high, high + 2.0 * width))
    if low < high:
        # Not beyond the support, as far as draws show it.
        start = max(start, drawn.min())
        end = min(end, drawn.max())
    if truth is not None:
        start = min(start, float(truth) - 0.1 * width)
        end = max(end, float(truth) + 0.1 * width)
    return float(start), float(end)
