"""Intervals of many parameters, one below the other.

``arviz_plots.plot_forest`` cuts long labels off, and shifts a second set of draws only in figures that it opens itself.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import InformationResult
from bayesinn.plots.arrays import Draws, gather
from bayesinn.plots.panels import canvas, legend_below
from bayesinn.plots.style import BLACK, BLUE, DASHED, ORANGE, PLAIN, POINTS, Canvas, styled, tint


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

    With prior draws, values are prior standard deviations from the prior mean: one axis for parameters of any unit.
    """
    posterior, before, exact, true = gather(draws, prior, reference, truth)
    shift = np.array([np.mean(before[name]) if before else 0.0 for name in posterior])
    scale = np.array([np.std(before[name]) or 1.0 if before else 1.0 for name in posterior])
    names = [labels.label(name) if before else labels.axis(name) for name in posterior]
    sets = []
    for name, values, colour in (("posterior", posterior, BLUE), ("reference", exact, ORANGE)):
        if values:
            stacked = (np.stack([values[column] for column in posterior], axis=-1) - shift) / scale
            sets.append((f"{name}: median, 50 and 90 %", stacked, np.median(stacked, axis=0), colour))
    figure, ax = _rows(figure, names, sets)
    if true:
        places = (np.array([true[name] for name in posterior], float) - shift) / scale
        ax.plot(places, range(len(places)), "|", color=BLACK, markersize=12, markeredgewidth=1.8, label="truth")
    if before:
        ax.axvline(0.0, label="prior mean", **DASHED)
    ax.set_xlabel("prior standard deviations from the prior mean" if before else "value")
    return legend_below(figure)


@styled
def information(result: InformationResult, *, labels: Labels = PLAIN, figure: Canvas | None = None) -> Canvas:
    """Draw the information gain of each parameter: mean, and the central 50 and 90 % of data sets.

    At zero the data say nothing about a parameter; each nat makes the posterior e times narrower than the prior.
    """
    names = [labels.label(name) for name in result.columns]
    figure, ax = _rows(figure, names, [("mean, 50 and 90 % of data sets", result.gain, result.mean, BLUE)])
    ax.axvline(0.0, **DASHED)
    ax.set_xlabel("information gain [nats]")
    return legend_below(figure)


def _rows(
    figure: Canvas | None, names: Sequence[str], sets: Sequence[tuple[str, np.ndarray, np.ndarray, str]]
) -> tuple[Canvas, Axes]:
    """Draw a row for each name from sets of a label, values (n, rows), middles (rows,) and a colour."""
    count = len(names)
    figure = canvas(figure, 6.4, 0.9 + max((0.18 + 0.1 * len(sets)) * count, 0.6))
    ax = figure.add_subplot()
    for index, (label, values, middles, colour) in enumerate(sets):
        rows = np.arange(count) + 0.36 * (index - 0.5 * (len(sets) - 1))
        low, lower, upper, high = np.quantile(values, [0.05, 0.25, 0.75, 0.95], axis=0)
        ax.hlines(rows, low, high, color=colour, linewidth=1.2)
        ax.hlines(rows, lower, upper, color=tint(colour, 0.55), linewidth=4.5)
        ax.plot(middles, rows, color=colour, markersize=4.5, label=label, **POINTS)
    ax.set_yticks(range(count), names)
    ax.set_ylim(count - 0.5, -0.5)
    return figure, ax
