"""Information gain: what the data tell about each parameter, over data sets."""

from __future__ import annotations

import numpy as np

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import InformationResult
from bayesinn.plots.style import BLACK, BLUE, GREY, PLAIN, Canvas, canvas, legend_below, styled


@styled
def information(result: InformationResult, *, labels: Labels = PLAIN, figure: Canvas | None = None) -> Canvas:
    """Draw the information gain of each parameter: mean, and the central 50 and 90 % of data sets.

    At zero the data say nothing about a parameter; each nat makes the posterior e times narrower than the prior.

    Parameters
    ----------
    result : InformationResult
    labels : Labels
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.diagnostics import information as measure
    >>> values = np.random.default_rng(1).normal(size=(300, 101))
    >>> truth, draws = {"rate": values[:, 0]}, {"rate": 0.5 * values[:, 1:]}
    >>> len(information(measure(truth, draws, truth)).axes)
    1
    """
    count = len(result.columns)
    figure = canvas(figure, 6.4, 0.9 + max(0.28 * count, 0.6))
    ax = figure.add_subplot(1, 1, 1)
    rows = np.arange(count)
    low, lower, upper, high = np.quantile(result.gain, [0.05, 0.25, 0.75, 0.95], axis=0)
    ax.hlines(rows, low, high, color=GREY, linewidth=1.2, label="90 % of data sets")
    ax.hlines(rows, lower, upper, color=BLUE, linewidth=4.5, alpha=0.55, label="50 % of data sets")
    ax.plot(result.mean, rows, color=BLACK, marker="o", markersize=4.5, linestyle="none", label="mean")
    ax.axvline(0.0, color=BLACK, linewidth=0.8, linestyle="--")
    ax.set_yticks(rows, [labels.label(name) for name in result.columns])
    ax.set_ylim(count - 0.5, -0.5)
    ax.set_xlabel("information gain [nats]")
    legend_below(figure, [ax])
    return figure
