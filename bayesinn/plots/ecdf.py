"""Differences of distribution functions, with the band for correct posteriors.

``arviz_plots.plot_ecdf_pit`` simulates its band; the one of :func:`ecdf` and :func:`coverage` is
exact.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import Comparison, CoverageResult, UniformityResult
from bayesinn.plots.allowed import (
    column_error,
    draw_limits,
    ecdf_limits,
    grade_look,
    reaches,
    write_error,
)
from bayesinn.plots.arrays import spans_decades
from bayesinn.plots.panels import Panels
from bayesinn.plots.series import decades
from bayesinn.plots.style import BAND, DASHED, GREY, PLAIN, Canvas, band_look, styled

# Lines of allowed errors are dashed.
_ZERO = DASHED | {"linestyle": "-", "linewidth": 0.8, "color": GREY}
_RANK = "rank of truth / (draws+1)"


@styled
def ecdf(
    result: UniformityResult,
    *,
    labels: Labels = PLAIN,
    value: str = _RANK,
    shown: Sequence[str] | None = None,
    errors: pd.DataFrame | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the ECDF of SBC, TARP or the like minus uniform; ``value`` names the axis of values.

    With ``errors``, see :mod:`bayesinn.plots.allowed`, lines show what is allowed, and colours the
    grade. Without, a colour shows whether a curve leaves the band.

    A correct posterior stays within the grey band with the probability ``result.level``
    (Saeilynoja, Buerkner & Vehtari 2022). For ranks, a curve

    - above zero throughout: posteriors too high; below: too low
    - above, then below: too narrow; below, then above: too wide
    """
    points = np.pad(result.band.points, 1, constant_values=(0.0, 1.0))
    low, high = (
        np.pad(x / result.simulations - result.band.points, 1)
        for x in (result.band.lower, result.band.upper)
    )
    difference = np.pad(result.ecdf_difference, ((1, 1), (0, 0)))
    limits = ecdf_limits(errors, points)
    reach = 1.1 * max(np.max(np.abs(difference)), np.max(high), -np.min(low), *reaches(limits))
    panels = Panels(figure, result.columns, labels, stack=True, shown=shown)
    for index, ax in panels:
        ax.fill_between(points, low, high, label=f"{100 * result.level:.4g} % band", **BAND)
        ax.axhline(0.0, **_ZERO)
        draw_limits(ax, points, limits)
        name = "inside the band" if result.inside[index] else "outside the band"
        error = column_error(errors, result.columns[index])
        look = (
            band_look(result.inside[index], name, "")
            if error is None
            else grade_look(error["grade"])
        )
        ax.plot(points, difference[:, index], linewidth=1.6, **look)
        ax.set(xlim=(0.0, 1.0), ylim=(-reach, reach))
        panels.title(
            index, f"p = {result.p_value[index]:.2g}" if error is None else write_error(error)
        )
    return panels.finish(value, "ECDF difference")


@styled
def coverage(
    result: CoverageResult,
    *,
    labels: Labels = PLAIN,
    shown: Sequence[str] | None = None,
    errors: pd.DataFrame | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw observed minus nominal coverage of posterior intervals or regions, in percentage points.

    With ``errors``, see :mod:`bayesinn.plots.allowed`, lines show what is allowed, and colours the
    grade.

    Below zero: posteriors too narrow or shifted; above: too wide. A curve beyond five times the
    band leaves its panel. Titles name the largest difference, in percentage points.
    """
    nominal = 100.0 * result.nominal
    difference = 100.0 * (result.empirical - result.nominal[:, None])
    # where coverage is exact by definition
    points = np.pad(nominal, 1, constant_values=(0.0, 100.0))
    band = result.band.lower / result.simulations, result.band.upper / result.simulations
    low, high, *single = (
        np.pad(100.0 * (x - result.nominal), 1) for x in (*band, result.lower, result.upper)
    )
    limits = ecdf_limits(errors, points / 100.0)
    widest = max(np.max(high), -np.min(low), *(100.0 * end for end in reaches(limits)))
    reach = 1.1 * np.clip(np.max(np.abs(difference)), widest, 5.0 * widest)
    panels = Panels(figure, result.columns, labels, stack=True, shown=shown)
    for index, ax in panels:
        ax.fill_between(
            points, low, high, label=f"{100 * result.level:.4g} % band, all levels", **BAND
        )
        for bound in single:
            ax.plot(
                points,
                bound,
                ":",
                color=GREY,
                linewidth=0.9,
                label=f"{100 * result.level:.4g} % band, each level",
            )
        ax.axhline(0.0, **_ZERO)
        draw_limits(ax, points, limits, 100.0)
        size = 2 if panels.stacked else 3
        error = column_error(errors, result.columns[index])
        look = (
            band_look(result.inside[index], "observed")
            if error is None
            else grade_look(error["grade"])
        )
        ax.plot(nominal, difference[:, index], marker="o", markersize=size, **look)
        ax.set(xlim=(0, 100), ylim=(-reach, reach), xticks=range(0, 101, 25))
        note = f"largest error {np.max(np.abs(difference[:, index])):.1f}"
        panels.title(index, note if error is None else write_error(error))
    return panels.finish("nominal coverage [%]", "observed - nominal\n[percentage points]")


@styled
def comparison(
    result: Comparison,
    *,
    labels: Labels = PLAIN,
    shown: Sequence[str] | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the ECDF of each parameter's draws minus that of the reference draws.

    Draws from the same distribution stay within the grey band with the probability ``result.level``
    (Kolmogorov-Smirnov). A curve above zero throughout: draws too low; below: too high; above, then
    below: too wide; below, then above: too narrow. Its height is the probability on the wrong side
    of a value. Many parameters share an axis: the rank of the value among draws and reference
    together.
    """
    critical = result.ks_critical
    reach = 1.1 * max(critical, np.max(result.ks))
    panels = Panels(figure, result.columns, labels, stack=True, shown=shown)
    for index, ax in panels:
        ax.axhspan(-critical, critical, label=f"{100 * result.level:.4g} % band", **BAND)
        ax.axhline(0.0, **DASHED)
        points = (
            np.linspace(0.0, 1.0, len(result.points)) if panels.stacked else result.points[:, index]
        )
        # On an axis of values, a few far draws would stretch it.
        ends = [1, -2] if not panels.stacked and points[1] < points[-2] else [0, -1]
        low, high = points[ends]
        margin = 0.04 * (high - low) or 0.5 * abs(low) or 0.5
        low = low - margin
        high = high + margin
        if not panels.stacked and spans_decades(points):
            low = points[1] / 1.2
            high = points[-2] * 1.2
            decades(ax, "x", low, high)
        # An ECDF is a staircase, also of a discrete parameter; outside of all draws the difference
        # is zero.
        places = np.concatenate([[min(low, points[0])], points, [max(high, points[-1])]])
        steps = np.pad(result.ecdf_difference[:, index], 1)
        ax.step(
            places,
            steps,
            where="post",
            linewidth=1.4,
            **band_look(result.inside[index], "draws - reference"),
        )
        ax.set(xlim=(low, high), ylim=(-reach, reach))
        panels.title(
            index, f"KS = {result.ks[index]:.2g}, p = {result.p_value[index]:.2g}", unit=True
        )
    return panels.finish("rank of the value" if panels.stacked else "value", "ECDF difference")
