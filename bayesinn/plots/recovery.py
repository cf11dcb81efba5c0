"""Figures of recovery: posteriors against the truth, and intervals of many parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.diagnostics import InformationResult, RecoveryResult
from bayesinn.diagnostics.likelihood import FitResult
from bayesinn.plots.arrays import Draws, choose, gather, spans_decades
from bayesinn.plots.calibration import column_error, grade_look, write_error
from bayesinn.plots.histograms import bin_edges
from bayesinn.plots.panels import (
    BARS,
    BLACK,
    BLUE,
    DASHED,
    GREY,
    MANY,
    ORANGE,
    PAGE,
    PLAIN,
    POINTS,
    RED,
    Canvas,
    Panels,
    canvas,
    curve_look,
    legend_below,
    styled,
    tint,
    wrapped,
)
from bayesinn.plots.predictive import decades

# Intervals of many parameters, one below the other.
#
# They are not drawn by ArviZ: ``arviz_plots.plot_forest`` cuts long labels off, and shifts a
# second set of draws only in figures that it opens itself.

#: label, values (n, rows), medians (rows,) and colour of one set
Intervals = tuple[str, np.ndarray, np.ndarray, str]
# inches of names, and points of their letters
_NAMES = 2.0
_POINTS = 9.0
_MOST_ROWS = 300


@styled
def forest(
    draws: Draws,
    *,
    prior: Draws | None = None,
    reference: Draws | None = None,
    truth: Mapping[str, np.ndarray] | None = None,
    labels: Labels = PLAIN,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the median and the central 50 and 90 % of each parameter, given one observation.

    With prior draws, values are in prior standard deviations from the prior mean: one axis for
    parameters of any unit. Parameters whose prior ranges over decades are then drawn as logarithms.
    """
    given = gather(draws, prior, reference, truth)
    if len(given.posterior) > _MOST_ROWS:
        expected = f"at most {_MOST_ROWS} parameters, of one observation"
        got = f"{len(given.posterior):,}"
        do = "pass some of them; draws (n_obs, draws, *event) of several observations are drawn by "
        do += "bi.plots.observations"
        raise InputError("draws", expected=expected, got=got, do=do)
    logs = [name for name in given.posterior if given.prior and given.spans_decades(name)]
    posterior, before, exact, true = given.logarithms(logs)
    shift = np.array([np.mean(before[name]) if before else 0.0 for name in posterior])
    scale = np.array([np.std(before[name]) or 1.0 if before else 1.0 for name in posterior])
    names = [labels.label(name) if before else labels.axis(name) for name in posterior]
    names = [
        f"log {text}" if name in logs else text for name, text in zip(posterior, names, strict=True)
    ]
    sets = []
    for name, values, colour in (("posterior", posterior, BLUE), ("reference", exact, ORANGE)):
        if values:
            stacked = (np.stack([values[column] for column in posterior], axis=-1) - shift) / scale
            sets.append(
                (f"{name}: median, 50 and 90 %", stacked, np.median(stacked, axis=0), colour)
            )
    figure, (ax,) = rows(figure, names, [sets])
    if true:
        truths = np.array([true.get(name, np.nan) for name in posterior], float)
        places = (truths - shift) / scale
        ax.plot(
            places,
            range(len(places)),
            "|",
            color=BLACK,
            markersize=12,
            markeredgewidth=1.8,
            label="truth",
        )
    if before:
        ax.axvline(0.0, label="prior mean", **DASHED)
    ax.set_xlabel("prior standard deviations from the prior mean" if before else "value")
    return legend_below(figure)


@styled
def information(
    result: InformationResult,
    *,
    labels: Labels = PLAIN,
    shown: Sequence[str] | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the information gain of each parameter: mean, and the central 50 and 90 % of data sets.

    At zero, the data contain no information about a parameter. Each nat makes the posterior e times
    narrower than the prior.
    """
    chosen = choose(result.columns, shown)
    names = [labels.label(result.columns[index]) for index in chosen]
    gain = result.gain[:, chosen]
    mean = result.mean[chosen]
    figure, (ax,) = rows(figure, names, [[("mean, 50 and 90 % of data sets", gain, mean, BLUE)]])
    ax.axvline(0.0, **DASHED)
    ax.set_xlabel("information gain [nats]")
    return legend_below(figure)


@styled
def designs(
    table: pd.DataFrame,
    *,
    labels: Labels = PLAIN,
    shown: Sequence[str] | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw what designs are expected to tell, as ``bi.guidance.rank_designs`` returns it.

    Bars are two standard errors of how far a design is behind the best; those of the best are of
    its information. Designs of one number lie along it, others below each other, the best first. Of
    many parameters, the first 12 are drawn, unless ``shown`` names others.
    """
    names = list(table.columns[: table.columns.get_loc("information")])
    along = len(names) == 1
    if along:
        table = table.sort_values(names[0])
    texts = [
        wrapped(
            ", ".join(f"{labels.label(name)} {row[name]:.4g}" for name in names), _NAMES, _POINTS
        )
        for _, row in table.iterrows()
    ]
    shrinks = {
        column.removeprefix("shrinks "): table[column].to_numpy()
        for column in table.filter(regex="^shrinks ")
    }
    chosen = [list(shrinks)[index] for index in choose(list(shrinks), shown)[:MANY]]
    legend = 0.1 + 0.2 * len(chosen)
    each = 0.08 + 0.16 * max(1 + text.count("\n") for text in texts)
    figure = canvas(figure, PAGE, legend + (3.0 if along else 0.9 + max(each * len(texts), 0.6)))
    left, right = figure.subplots(1, 2, sharex=along, sharey=not along)
    places = table[names[0]].to_numpy(float) if along else np.arange(float(len(table)))

    def draw(ax: Axes, values: np.ndarray, look: tuple[str, str, str], **options: Any) -> None:
        colour, marker, line = look
        options |= {"color": colour, "marker": marker, "markersize": 4.5}
        options["linestyle"] = line if along else "none"
        ax.errorbar(*((places, values) if along else (values, places)), **options)

    error = np.where(table["behind"] == 0.0, table["error"], table["behind_error"])
    bars = {"yerr" if along else "xerr": 2.0 * error}
    draw(left, table["information"].to_numpy(), (BLACK, "o", "-"), **bars)
    for number, name in enumerate(chosen):
        draw(right, shrinks[name], curve_look(number), label=labels.label(name))
    for ax, text in (
        (left, "expected information [nats]"),
        (right, "log ratio of sds, before to after"),
    ):
        across = wrapped(labels.axis(names[0]), 2.6, 10.0)
        ax.set(**({"xlabel": across, "ylabel": text} if along else {"xlabel": text}))
    if not along:
        left.set_yticks(places, texts, fontsize=_POINTS)
        left.set_ylim(len(table) - 0.5, -0.5)
    return legend_below(figure)


def rows(
    figure: Canvas | None, names: Sequence[str], panels: Sequence[Sequence[Intervals]]
) -> tuple[Canvas, list[Axes]]:
    """Draw a row for each name, in one or more panels, each of one or more sets of intervals.

    The names are the same for all panels.
    """
    written = [wrapped(name, _NAMES, _POINTS) for name in names]
    count = len(names)
    sets = max(map(len, panels))
    # As high as the names, or as all sets need.
    room = 0.12 + 0.07 * sets if count >= MANY else 0.18 + 0.1 * sets
    each = max(0.16 * (1 + max(name.count("\n") for name in written)), room)
    figure = canvas(figure, 6.4 if len(panels) == 1 else PAGE, 0.9 + max(each * count, 0.6))
    axes = list(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0])
    for ax, chosen in zip(axes, panels, strict=True):
        for index, (label, values, middles, colour) in enumerate(chosen):
            places = np.arange(count) + 0.36 * (index - 0.5 * (len(chosen) - 1))
            low, lower, upper, high = np.quantile(values, [0.05, 0.25, 0.75, 0.95], axis=0)
            ax.hlines(places, low, high, color=colour, linewidth=1.2)
            ax.hlines(places, lower, upper, color=tint(colour, 0.55), linewidth=4.5)
            ax.plot(middles, places, color=colour, markersize=4.5, label=label, **POINTS)
    axes[0].set_yticks(range(count), written, fontsize=_POINTS)
    axes[0].set_ylim(count - 0.5, -0.5)
    return figure, axes


#: z-scores beyond are drawn at the edge, so that a few do not squeeze the others flat
MOST_DEVIATIONS = 5.0
_GUIDE = 2.0
# From so many data sets on, points cover each other: cells show how many there are.
_MOST_POINTS = 500
_CELLS = (40, 30)
_DENSITY = LinearSegmentedColormap.from_list("density", [tint(BLUE, 0.15), BLUE])


@styled
def recovery(
    result: RecoveryResult,
    *,
    labels: Labels = PLAIN,
    most: int = 300,
    shown: Sequence[str] | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the posterior of each data set, as median and interval, against the truth.

    Only the first ``most`` data sets are drawn, so that intervals stay apart; numbers in titles use
    all of them. Axes are logarithmic if truths range over decades, and have no numbers if there are
    many panels.
    """
    panels = Panels(figure, result.columns, labels, height=2.6, shown=shown)
    values = (result.truth, result.median, result.lower, result.upper)
    small = panels.across > 3
    thin = 0.6 if small else 0.9
    for index, ax in panels:
        truth, median, lower, upper = (value[:most, index] for value in values)
        ax.vlines(
            truth,
            lower,
            upper,
            color=BLUE,
            alpha=0.25,
            linewidth=thin,
            label=f"{100 * result.interval:.0f} % interval",
        )
        ax.plot(truth, median, markersize=3.0 * thin, color=BLUE, label="median", **POINTS)
        ends = [min(truth.min(), median.min()), max(truth.max(), median.max())]
        ax.plot(ends, ends, label="median = truth", **DASHED)
        squared = float(result.r_squared[index])
        note = f"$R^2$ = {squared:.2f}" if squared > -10.0 else f"$R^2$ = {squared:.1g}"
        note += "" if small else f", r = {result.correlation[index]:.2f}"
        panels.title(index, note, unit=not small)
        if small:
            ax.tick_params(
                which="both", left=False, bottom=False, labelleft=False, labelbottom=False
            )
        # A few very long intervals leave the panel: they would squeeze all others flat.
        low = min(truth.min(), np.quantile(lower, 0.02))
        high = max(truth.max(), np.quantile(upper, 0.98))
        if spans_decades(result.truth[:, index]) and low > 0.0:
            for which, start, end in (("x", truth.min(), truth.max()), ("y", low, high)):
                decades(ax, which, start / 1.2, 1.2 * end)
            continue
        margin = 0.05 * (high - low) or 1.0
        ax.set_ylim(low - margin, high + margin)
    return panels.finish("truth", "posterior")


@styled
def contraction(
    result: RecoveryResult,
    *,
    labels: Labels = PLAIN,
    shown: Sequence[str] | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the z-score of each data set against the contraction of its posterior.

    The sensitivity plot of Schad, Betancourt & Vasishth 2021, "Toward a principled Bayesian
    workflow in cognitive science", arXiv:1904.12765. Contraction is 1 - posterior variance / prior
    variance, each of as many draws; the z-score is (posterior mean - truth) / posterior standard
    deviation.

    - Between the dashed lines: on the right, data identify the parameter; on the left, they say
      little.
    - Many beyond them: on the right, posteriors overfit, sure and wrong; on the left, the prior
      conflicts with the truth. Of correct and nearly normal posteriors, 5 % lie there.

    Arrows are points outside of the panel. More than 500 data sets are drawn as a density. For many
    parameters, intervals of both numbers are drawn in one row each.
    """
    varies = np.where(result.prior_variance > 0.0, result.prior_variance, np.nan)
    shrunk = 1.0 - result.standard_deviation**2 / varies
    deviation = result.z_score
    chosen = choose(result.columns, shown)
    if len(chosen) >= MANY:
        return _stacked(result, shrunk, chosen, labels, figure)
    # Zero, or less where more than a few posteriors of a parameter are wider than the prior.
    varying = shrunk[:, np.all(np.isfinite(shrunk), axis=0)]
    start = float(np.clip(np.min(np.quantile(varying, 0.01, axis=0), initial=0.0), -1.0, 0.0))
    margin = 0.03 * (1.0 - start)
    reach = 1.1 * MOST_DEVIATIONS
    panels = Panels(figure, result.columns, labels, shown=shown)
    for index, ax in panels:
        for height in (-_GUIDE, _GUIDE):
            ax.axhline(height, label=f"z = \N{PLUS-MINUS SIGN}{_GUIDE:.0f}", **DASHED)
        ax.axhline(0.0, color=GREY, linewidth=0.6)
        ax.vlines(0.0, -reach, reach, color=GREY, linewidth=0.6)
        _draw_points(ax, shrunk[:, index], deviation[:, index], start)
        # The words above take the room of 1.3 more deviations.
        ax.set(
            xlim=(start - margin, 1.0 + margin), ylim=(-reach, reach + 1.3), yticks=range(-4, 5, 2)
        )
        panels.title(
            index,
            f"beyond {_GUIDE:.0f}: {100 * np.mean(np.abs(deviation[:, index]) > _GUIDE):.0f} %",
        )
        for x, side, word in ((0.02, "left", "prior conflict"), (0.98, "right", "overfit")):
            ax.text(
                x, 0.99, word, transform=ax.transAxes, ha=side, va="top", color=GREY, fontsize=8.0
            )
    return panels.finish(
        "posterior contraction\n0: nothing learnt\n1: all known", "posterior z-score"
    )


def _stacked(
    result: RecoveryResult,
    shrunk: np.ndarray,
    chosen: Sequence[int],
    labels: Labels,
    figure: Canvas | None,
) -> Canvas:
    """Draw medians and intervals of contraction and z-score over data sets, a row a parameter."""
    names = [labels.label(result.columns[index]) for index in chosen]
    # Quantiles between infinite values would be NaN.
    deviation = np.clip(result.z_score, -2.0 * MOST_DEVIATIONS, 2.0 * MOST_DEVIATIONS)
    sets = [
        [("median, 50 and 90 % of data sets", values, np.median(values, axis=0), BLUE)]
        for values in (shrunk[:, chosen], deviation[:, chosen])
    ]
    figure, axes = rows(figure, names, sets)
    lowest = np.nanmin(np.quantile(shrunk, 0.05, axis=0), initial=0.0)
    axes[0].set(
        xlim=(max(-1.05, lowest - 0.05), 1.05),
        xlabel="posterior contraction\n0: nothing learnt, 1: known",
    )
    axes[0].axvline(0.0, **DASHED)
    for bound in (-1.645, 1.645):
        axes[1].axvline(bound, label="90 % of correct posteriors", **DASHED)
    widest = np.nanmax(np.abs(np.quantile(deviation, [0.05, 0.95], axis=0)))
    reach = max(MOST_DEVIATIONS / 2.0, min(MOST_DEVIATIONS, widest))
    axes[1].set(xlim=(-1.05 * reach, 1.05 * reach), xlabel="posterior z-score")
    return legend_below(figure)


def _draw_points(ax: Axes, across: np.ndarray, upwards: np.ndarray, start: float) -> None:
    known = np.isfinite(across) & ~np.isnan(upwards)
    if not known.any():
        ax.text(
            0.5, 0.5, "does not vary", transform=ax.transAxes, ha="center", va="center", color=GREY
        )
    left = across < start
    above = upwards > MOST_DEVIATIONS
    below = upwards < -MOST_DEVIATIONS
    x = np.maximum(across, start)
    y = np.clip(upwards, -MOST_DEVIATIONS, MOST_DEVIATIONS)
    beyond = f"|z| above {MOST_DEVIATIONS:.0f}"
    inside = ~(left | above | below)
    if np.count_nonzero(inside & known) > _MOST_POINTS:
        density = ax.hist2d(
            x[inside & known],
            y[inside & known],
            bins=_CELLS,
            range=((start, 1.0), (-MOST_DEVIATIONS, MOST_DEVIATIONS)),
            cmin=1,
            cmap=_DENSITY,
            norm="log",
        )[-1]
        # The legend has no entry for a mesh of cells.
        ax.plot([], [], "s", color=tint(BLUE, 0.7), label="data sets: the darker, the more")
        density.set_zorder(0.5)
        inside = np.zeros_like(inside)
    for marker, size, colour, alpha, name, chosen in (
        ("o", 3.5, BLUE, 0.45, "data set", inside),
        ("<", 4.5, BLUE, 0.45, f"contraction below {start:.2g}", left & ~(above | below)),
        ("^", 4.5, RED, 1.0, beyond, above),
        ("v", 4.5, RED, 1.0, beyond, below),
    ):
        if (chosen := chosen & known).any():
            look = POINTS | {"marker": marker, "markersize": size, "color": colour, "alpha": alpha}
            ax.plot(x[chosen], y[chosen], label=name, rasterized=True, **look)


# Share of the data sets on either side that lie beyond the panel: some are off by hundreds of nats.
_BEYOND = 0.05


@styled
def fit_to_data(
    result: FitResult,
    *,
    labels: Labels = PLAIN,
    errors: pd.DataFrame | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the log likelihood of truths minus the median of their draws, and its own median.

    The median, with its interval, is zero if the posterior is correct. With ``errors``, see
    :mod:`bayesinn.plots.calibration`, dotted lines show what is allowed, and a colour the grade.
    """
    deviation = result.deviations[0]
    error = column_error(errors, result.columns[0])
    panels = Panels(figure, result.columns, labels, width=4.6, height=2.3)
    ax = panels.axes[0]
    gap = result.gap[np.isfinite(result.gap)]
    ends = (deviation.lower[0], deviation.estimate[0], deviation.upper[0])
    limit = 0.0 if error is None else float(error["tolerance"])
    low, high = np.quantile(gap, [_BEYOND, 1.0 - _BEYOND])
    low = min(low, -1.3 * limit, *ends)
    high = max(high, 1.3 * limit, *ends)
    edges = bin_edges(gap, low, high)
    counts = np.histogram(gap, edges)[0]
    ax.stairs(counts, edges, label="data sets", **BARS)
    ax.axvline(0.0, **DASHED | {"linestyle": "-", "linewidth": 0.8, "color": GREY})
    look: dict[str, Any] = {"color": BLUE, "linestyle": "-", "label": "median and interval"}
    if error is not None:
        look = grade_look(error["grade"])
        look["label"] = f"median and interval, {look['label']}"
        for end in (-limit, limit):
            ax.axvline(end, color=BLACK, linestyle=":", label="allowed")
    top = float(np.max(counts))
    ax.errorbar(
        [ends[1]],
        [1.12 * top],
        xerr=[[ends[1] - ends[0]], [ends[2] - ends[1]]],
        marker="o",
        capsize=4.0,
        linewidth=2.0,
        **look,
    )
    ax.set(xlim=(edges[0], edges[-1]), ylim=(0.0, 1.25 * top))
    note = f"p = {result.p_value[0]:.2g}" if error is None else write_error(error)
    panels.title(0, note)
    return panels.finish("truth minus draws [nats]", "data sets")
