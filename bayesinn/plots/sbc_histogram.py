"""SBC rank histograms."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import SBCResult
from bayesinn.plots.panels import Panels
from bayesinn.plots.style import BAND, BARS, DASHED, GREY, PLAIN, Canvas, styled, tint, verdict


@styled
def sbc_histogram(
    result: SBCResult,
    *,
    labels: Labels = PLAIN,
    shown: Sequence[str] | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the rank histogram of each parameter, relative to uniform ranks.

    Bars of a correct posterior are near 1. High ends: posteriors too narrow; high middle: too wide;
    a slope: shifted. The grey area holds each single bar with the probability ``result.level``
    (Talts et al. 2018, arXiv:1804.06788).
    """
    expected = result.expected_counts
    share = expected / result.simulations
    # Bins differ by one rank where L + 1 does not divide; one common area for all is easier to
    # read.
    ends = np.divide(stats.binom.interval(result.level, result.simulations, share), expected)
    low = float(np.min(ends))
    high = float(np.max(ends))
    heights = result.counts / expected[:, None]
    edges = result.edges / (result.draws + 1)
    panels = Panels(figure, result.columns, labels, stack=True, shown=shown)
    for index, ax in panels:
        colour, name = verdict(result.inside[index], "ranks", " outside the ECDF band").values()
        ax.axhspan(low, high, label=f"{100 * result.level:.4g}% of bars if uniform", **BAND)
        look = BARS | {"facecolor": tint(colour, 0.55), "edgecolor": colour, "label": name}
        ax.stairs(heights[:, index], edges, **look)
        ax.hlines([low, high], 0.0, 1.0, color=GREY, linewidth=0.8)
        ax.axhline(1.0, **DASHED)
        ax.set(xlim=(0.0, 1.0), ylim=(0.0, 1.08 * max(float(np.max(heights)), high)))
        panels.title(index, f"$\\chi^2$ p = {result.chi_square_p_value[index]:.2g}")
    return panels.finish("rank of truth / (draws+1)", "count / expected")
