"""Learning curve: held-out nats against the number of simulations."""

import numpy as np

from bayesinn.core.validation import check_number
from bayesinn.diagnostics.learning_curve import Advice
from bayesinn.plots.panels import canvas, legend_below
from bayesinn.plots.style import BLUE, DASHED, RED, Canvas, styled


@styled
def learning_curve(
    result: Advice, *, floor: float | None = None, figure: Canvas | None = None
) -> Canvas:
    """Draw held-out nats by number of simulations, and the expected nats at twice the last size.

    Bars are standard errors; that of the expected point is its 90 % interval. ``floor`` is the best
    possible value, if known: the expected entropy of the exact posterior, in nats.
    """
    figure = canvas(figure, 5.5, 4.1)
    table = result.table
    ax = figure.subplots()
    sizes = table["simulations"].to_numpy()
    nats = table["nats"].to_numpy()
    ax.errorbar(
        sizes,
        nats,
        table["error"],
        color=BLUE,
        marker="o",
        markersize=4,
        capsize=3,
        label="held out",
    )
    gain = result.gain
    last = nats[-1]
    if np.isfinite(gain.nats):
        reach = [[gain.upper - gain.nats], [gain.nats - gain.lower]]
        name = "expected of twice as many, 90 %"
        ax.errorbar(
            2 * sizes[-1],
            last - gain.nats,
            reach,
            color=RED,
            marker="s",
            markersize=4,
            capsize=3,
            label=name,
        )
    if floor is not None:
        best = check_number("Argument 'floor'", floor, do="pass a finite number of nats")
        ax.axhline(best, label="best possible", **DASHED)
    ax.set_xscale("log", base=2)
    ticks = [*sizes, 2 * sizes[-1]]
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.set(xlabel="simulations", ylabel="held-out negative log density [nat]")
    return legend_below(figure)
