"""Figures of calibration: ECDFs, ranks, dependence, L-C2ST, and which errors are allowed.

``arviz_plots.plot_ecdf_pit`` simulates its band; the one of :func:`ecdf` and :func:`coverage` is
exact.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from scipy import special, stats

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.diagnostics import (
    Comparison,
    CoverageResult,
    DependenceResult,
    LocalC2STResult,
    SBCResult,
    UniformityResult,
)
from bayesinn.plots.arrays import Draws, choose, gather, spans_decades
from bayesinn.plots.histograms import bars, equal_bins, outline
from bayesinn.plots.panels import (
    BAND,
    BARS,
    BLACK,
    DASHED,
    GRADES,
    GREY,
    PAGE,
    PLAIN,
    Canvas,
    Panels,
    band_look,
    bare,
    canvas,
    inches,
    styled,
    tint,
    wrapped,
)
from bayesinn.plots.predictive import decades

# What errors are allowed, in figures of calibration: lines at tolerances, colours by grade.
#
# ``errors`` is a table with the columns ``measure``, ``column``, ``estimate``, ``unit``,
# ``tolerance`` and ``grade``, the largest share of its tolerance first, as a finding has it.

#: The worst grade first.
WORST_FIRST = ("outside", "flagged", "undecided", "no upper bound", "within", "")
SYMBOLS = {
    "within": "✓",
    "undecided": "?",
    "no upper bound": "?",
    "outside": "✗",
    "flagged": "?",
    "": "",
}
POINTS = "percentage points"
# Over a panel there is little room.
_SHORT = {
    "error of spread": "spread",
    "error of correlation": "correlation",
    "coverage error": "error",
    "one-sided coverage error": "one-sided",
    "distance from uniform": "distance",
}


class Limits(NamedTuple):
    """Two curves between which an error is allowed, and what they are called."""

    name: str
    low: np.ndarray
    high: np.ndarray
    line: str


def column_error(errors: pd.DataFrame | None, column: str) -> pd.Series | None:
    """Return the error that decides a column's grade; None where nothing was judged."""
    rows = None if errors is None else errors[errors["column"] == column]
    if rows is None or rows.empty:
        return None
    return rows.loc[min(rows.index, key=lambda row: WORST_FIRST.index(rows.loc[row, "grade"]))]


def grade_look(grade: str) -> dict[str, Any]:
    """Return colour, line and label of a curve by its grade."""
    colour, _, line = GRADES[grade]
    names = {"": "not judged", "within": "within tolerance", "outside": "outside tolerance"}
    name = names.get(grade, grade)
    return {"color": colour, "linestyle": line, "label": name}


def write_error(error: pd.Series) -> str:
    """Write an error beside what is allowed.

    >>> write_error(
    ...     pd.Series(
    ...         {
    ...             "measure": "error of spread",
    ...             "estimate": -2.04,
    ...             "unit": "%",
    ...             "tolerance": 5.0,
    ...             "grade": "within",
    ...         }
    ...     )
    ... )
    '✓ spread −2 of 5 %'
    """
    name = _SHORT.get(error["measure"], error["measure"])
    size = f"{error['estimate']:.2g}".replace("-", "\N{MINUS SIGN}")
    unit = "points" if error["unit"] == POINTS else error["unit"]
    text = f"{SYMBOLS[error['grade']]} {name} {size} of {error['tolerance']:g} {unit}".strip()
    return f"{text}, no upper bound" if error["grade"] == "no upper bound" else text


def ecdf_limits(errors: pd.DataFrame | None, points: np.ndarray) -> list[Limits]:
    """Return allowed differences from a uniform ECDF at ``points`` (n,) from 0 to 1.

    A shift and an error of spread are drawn as the ECDF that normal posteriors with such errors
    have. Errors in nats have no place in such a figure.
    """
    if errors is None or errors.empty:
        return []
    name, curves = _ecdfs(errors, points)
    found = [_envelope(name, curves - points)] if name else []
    tolerances = errors.loc[errors["unit"] == POINTS, "tolerance"].unique()
    for tolerance in tolerances:
        ends = np.full(len(points), tolerance / 100.0)
        found.append(Limits(f"allowed: {tolerance:g} points", -ends, ends, ":"))
    return found


def histogram_limits(errors: pd.DataFrame | None, edges: np.ndarray) -> list[Limits]:
    """Return allowed heights (bins,) of a histogram of ranks, 1 if they are uniform."""
    if errors is None or errors.empty:
        return []
    name, curves = _ecdfs(errors, edges)
    return [_envelope(name, np.diff(curves) / np.diff(edges))] if name else []


def _ecdfs(errors: pd.DataFrame, points: np.ndarray) -> tuple[str, np.ndarray]:
    """Return a name, and ECDFs (4, n) of ranks with the allowed shift and spread, both ways."""
    tolerances = errors.drop_duplicates("measure").set_index("measure")["tolerance"]
    shift = tolerances.get("shift", 0.0)
    spread = tolerances.get("error of spread", 0.0) / 100.0
    parts = []
    if shift:
        parts.append(f"shift {shift:g} sd")
    if spread:
        parts.append(f"spread {100 * spread:g} %")
    written = ", ".join(parts)
    score = special.ndtri(points)
    # An error of 100 % or more allows truths that scatter as little as can be: a step.
    least = max(1.0 - spread, np.finfo(float).eps)
    most = 1.0 + spread
    curves = [special.ndtr((score - mean) / sd) for mean in (-shift, shift) for sd in (least, most)]
    return f"allowed: {written}" if written else "", np.stack(curves)


def _envelope(name: str, curves: np.ndarray) -> Limits:
    return Limits(name, np.min(curves, axis=0), np.max(curves, axis=0), "-.")


def draw_limits(ax: Axes, points: np.ndarray, limits: Sequence[Limits], scale: float = 1.0) -> None:
    """Draw the allowed differences into a panel."""
    for limit in limits:
        for curve in (limit.low, limit.high):
            ax.plot(points, scale * curve, limit.line, color=BLACK, linewidth=1.0, label=limit.name)


def reaches(limits: Sequence[Limits]) -> Iterator[float]:
    """Yield the largest allowed difference of each kind."""
    for limit in limits:
        yield float(np.max(limit.high))


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

    With ``errors``, see :class:`Limits`, lines show what is allowed, and colours the
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

    With ``errors``, see :class:`Limits`, lines show what is allowed, and colours the
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
def ecdf_difference(
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

    With ``errors``, see :class:`Limits`, curves show the histograms with the largest
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


_MOST_PARAMETERS = 30  # names of more would not fit on a page
_MOST_NUMBERS = 12  # numbers in the cells of more parameters would be too small to read
# Frame of a pair, by the grade of its error.
_FRAMES = {"outside": "-", "undecided": "--", "no upper bound": "--", "within": "", "": ""}
_OUTLINE: dict[str, Any] = {"fill": False, "edgecolor": BLACK, "linewidth": 1.6}
_REACH = 5.0  # excess, in standard errors, beyond which colours no longer change


@styled
def dependence(
    result: DependenceResult,
    *,
    labels: Labels = PLAIN,
    shown: Sequence[str] | None = None,
    errors: pd.DataFrame | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw a matrix of pairs: blue if the posterior's correlation is too low, red if too high.

    Failing pairs are framed. Of more than 30 parameters, those of the most extreme pairs are drawn,
    unless ``shown`` names others. Numbers are excesses in standard errors; for a correct posterior
    they lie between -2 and 2, 19 times in 20. With ``errors``, see :class:`Limits`,
    they are errors of the correlation. Lines in the colour bar then show what is allowed, and
    frames the grade: solid if a pair is outside tolerance, dashed if it is undecided.
    """
    names = _chosen(result, shown)
    size = len(names)
    points = 9.0 if size <= 20 else 7.5
    written = [wrapped(labels.label(name), 1.3, points) for name in names]
    cell = min(0.75, 5.2 / size)
    # Columns have numbers if their names would need too much room.
    numbered = max(inches(text, points) for text in written) > 0.95 * cell
    lines = max(text.count("\n") + 1 for text in written)
    height = max(3.6, 0.6 + max(cell, (1.25 * lines + 0.3) * points / 72.0) * (size - 1))
    figure = canvas(figure, PAGE if size > 4 else 5.2, height)
    ax = figure.add_subplot()
    matrix = np.full((size, size), np.nan)
    places = {name: place for place, name in enumerate(names)}
    found = _shown_errors(result, errors)
    for pair, value, frame in zip(result.pairs, found.values, found.frames, strict=True):
        if not places.keys() >= set(pair):
            continue
        column, row = sorted(places[name] for name in pair)
        matrix[row, column] = value
        if frame:
            corner = (column - 0.47, row - 0.47)
            ax.add_patch(Rectangle(corner, 0.94, 0.94, linestyle=frame, **_OUTLINE))
        if size <= _MOST_NUMBERS:
            text = f"{value:+.{found.digits}f}".replace("-", "\N{MINUS SIGN}")
            colour = BLACK if abs(value) < 0.6 * found.reach else "white"
            ax.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)
    # The last parameter has no column of its own, the first no row.
    colours = TwoSlopeNorm(0.0, -found.reach, found.reach)
    image = ax.imshow(matrix[:, :-1], cmap=found.colours, norm=colours, aspect="auto")
    ax.set_ylim(size - 0.5, 0.5)
    rows = [f"{text}  {index}" if numbered else text for index, text in enumerate(written, 1)]
    ax.set_xticks(
        range(size - 1), map(str, range(1, size)) if numbered else written[:-1], fontsize=points
    )
    ax.set_yticks(range(1, size), rows[1:], fontsize=points)
    if numbered:
        ax.set_xlabel(wrapped(f"1: {labels.label(names[0])}", 3.0, points), fontsize=points)
    bar = figure.colorbar(
        image, ax=ax, extend="both", shrink=min(1.0, 4.0 / height), aspect=18, label=found.title
    )
    for end in found.allowed:
        bar.ax.axhline(end, color=BLACK, linewidth=1.4)
    return figure


class _Errors(NamedTuple):
    """Value and frame of each pair, and their look."""

    values: np.ndarray
    frames: list[str]
    reach: float  # beyond which colours no longer change
    digits: int
    title: str
    colours: str  # red where the posterior's correlation is too high
    allowed: tuple[float, ...] = ()


def _shown_errors(result: DependenceResult, errors: pd.DataFrame | None) -> _Errors:
    """Return the errors of correlations if they are known, or the excess of each pair."""
    if errors is None or errors.empty:
        frames = ["" if inside else "-" for inside in result.inside]
        title = "excess of true products [standard errors]"
        return _Errors(result.excess, frames, _REACH, 1, title, "RdBu")
    found = errors.set_index("column").loc[list(result.columns)]
    values = found["estimate"].to_numpy(float)
    frames = [_FRAMES[grade] for grade in found["grade"]]
    allowed = float(found["tolerance"].iloc[0])
    title = f"error of correlation (lines: allowed, \N{PLUS-MINUS SIGN}{allowed:g})"
    return _Errors(values, frames, 2.0 * allowed, 2, title, "RdBu_r", (-allowed, allowed))


def _chosen(result: DependenceResult, shown: Sequence[str] | None) -> list[str]:
    """Return the parameters to draw; by default, if there are many, those of the worst pairs."""
    names = [result.parameters[index] for index in choose(result.parameters, shown)]
    if shown is not None or len(names) <= _MOST_PARAMETERS:
        return names
    worst = np.argsort(-np.abs(result.excess), kind="stable")
    ordered = dict.fromkeys(name for pair in worst for name in result.pairs[pair])
    kept = list(ordered)[:_MOST_PARAMETERS]
    return [name for name in names if name in kept]


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
    better than chance. With ``errors``, see :class:`Limits`, a dotted line shows what
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
