"""SBC rank histograms."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import SBCResult
from bayesinn.plots.allowed import (
    column_error,
    draw_limits,
    grade_look,
    histogram_limits,
    write_error,
)
from bayesinn.plots.panels import Panels
from bayesinn.plots.style import BAND, BARS, GREY, PLAIN, Canvas, band_look, styled, tint


@styled
def sbc_histogram(
    result: SBCResult,
    *,
    labels: Labels = PLAIN,
    shown: Sequence[str] | None = None,
    errors: pd.DataFrame | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the rank histogram of each parameter, relative to uniform ranks.

    Bars of a correct posterior are near 1. High ends: posteriors too narrow; high middle: too wide;
    a slope: shifted. The grey area holds each single bar with the probability ``result.level``
    (Talts et al. 2018, arXiv:1804.06788).

    With ``errors``, see :mod:`bayesinn.plots.allowed`, curves show the histograms with the largest
    allowed shift and spread, and colours the grade.
    """
    expected = result.expected_counts
    share = expected / result.simulations
    # Bins differ by one rank if their number does not divide L + 1; one common area is easier to
    # read.
    ends = np.divide(stats.binom.interval(result.level, result.simulations, share), expected)
    low = float(np.min(ends))
    high = float(np.max(ends))
    heights = result.counts / expected[:, None]
    edges = result.edges / (result.draws + 1)
    limits = histogram_limits(errors, edges)
    middles = 0.5 * (edges[1:] + edges[:-1])
    top = max(float(np.max(heights)), high, *(float(np.max(limit.high)) for limit in limits))
    panels = Panels(figure, result.columns, labels, stack=True, shown=shown)
    for index, ax in panels:
        error = column_error(errors, result.columns[index])
        look = band_look(result.inside[index], "ranks", " outside the ECDF band")
        look = look if error is None else grade_look(error["grade"])
        colour = look["color"]
        ax.axhspan(low, high, label=f"{100 * result.level:.4g} % of bars if uniform", **BAND)
        bars = {"facecolor": tint(colour, 0.55), "edgecolor": colour, "label": look["label"]}
        ax.stairs(heights[:, index], edges, **BARS | bars)
        ax.hlines([low, high], 0.0, 1.0, color=GREY, linewidth=0.8)
        ax.axhline(1.0, color=GREY, linewidth=0.8)
        ax.set(xlim=(0.0, 1.0), ylim=(0.0, 1.08 * top))
        draw_limits(ax, middles, limits)
        note = f"$\\chi^2$ p = {result.chi_square_p_value[index]:.2g}"
        panels.title(index, note if error is None else write_error(error))
    return panels.finish("rank of truth / (draws+1)", "count / expected")
