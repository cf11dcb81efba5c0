"""Intervals of many parameters, one below the other.

They are not drawn by ArviZ: ``arviz_plots.plot_forest`` cuts long labels off, and shifts a second
set of draws only in figures that it opens itself.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.diagnostics import InformationResult
from bayesinn.plots.arrays import Draws, choose, gather
from bayesinn.plots.panels import MANY, PAGE, canvas, legend_below
from bayesinn.plots.style import BLACK, BLUE, DASHED, ORANGE, PLAIN, POINTS, Canvas, styled, tint
from bayesinn.plots.text import wrapped

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
