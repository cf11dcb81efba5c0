"""SBC rank histograms."""

from __future__ import annotations

import numpy as np
from scipy import stats

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import SBCResult
from bayesinn.plots.style import BLACK, BLUE, LIGHT_GREY, PLAIN, RED, Canvas, legend_below, outer, panels, styled


@styled
def sbc_histogram(result: SBCResult, *, labels: Labels = PLAIN, figure: Canvas | None = None) -> Canvas:
    """Draw the rank histogram of each parameter, relative to uniform ranks.

    Bars near 1 are right. High ends: posteriors too narrow; high middle: too wide; a slope: shifted. The grey area
    holds each single bar with the probability ``result.level`` (Talts et al. 2018, arXiv:1804.06788).

    Parameters
    ----------
    result : SBCResult
    labels : Labels
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.diagnostics import sbc
    >>> values = np.random.default_rng(1).normal(size=(2, 300, 99))
    >>> figure = sbc_histogram(sbc({"rate": values[0, :, 0]}, {"rate": values[1]}, seed=1))
    >>> len(figure.axes)
    1
    """
    expected = result.expected_counts
    share = expected / result.simulations
    tail = 0.5 * (1.0 - result.level)
    # Bins differ by one rank where L + 1 does not divide; one common area for all is easier to read.
    low = float(np.min(stats.binom.ppf(tail, result.simulations, share) / expected))
    high = float(np.max(stats.binom.isf(tail, result.simulations, share) / expected))
    edges = result.edges / (result.draws + 1)
    figure, axes, across = panels(figure, len(result.columns))
    top = 1.08 * max(float(np.max(result.counts / expected[:, None])), high)
    for index, (ax, column) in enumerate(zip(axes, result.columns, strict=True)):
        ax.axhspan(low, high, color=LIGHT_GREY, linewidth=0, label=f"{result.level:.0%} of bars if uniform")
        colour = BLUE if result.inside[index] else RED
        name = "ranks" if result.inside[index] else "ranks outside the ECDF band"
        ax.stairs(result.counts[:, index] / expected, edges, fill=True, color=colour, alpha=0.55, label=name)
        ax.stairs(result.counts[:, index] / expected, edges, color=colour, linewidth=1.0)
        ax.axhline(1.0, color=BLACK, linewidth=1.0, linestyle="--")
        ax.set(xlim=(0.0, 1.0), ylim=(0.0, top))
        ax.set_title(f"{labels.label(column)}   $\\chi^2$ p = {result.chi_square_p_value[index]:.2g}")
        left, bottom = outer(index, len(axes), across)
        ax.set_xlabel("rank of truth / (draws + 1)" if bottom else "")
        ax.set_ylabel("count / expected" if left else "")
    legend_below(figure, axes)
    return figure
