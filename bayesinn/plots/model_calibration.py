"""Calibration of model probabilities, and confusion of models."""

import numpy as np

from bayesinn.diagnostics import ModelCalibration
from bayesinn.plots.panels import (
    DASHED,
    PAGE,
    Canvas,
    canvas,
    curve_look,
    legend_below,
    styled,
    wrapped,
)

# Room for names of models below and beside the confusion, in inches, and points of their letters.
_ACROSS = 1.7
_BESIDE = 0.9
_POINTS = 7.0


@styled
def model_calibration(result: ModelCalibration, *, figure: Canvas | None = None) -> Canvas:
    """Draw the share of data sets that a model made against its probability, and the confusion.

    Bars are two standard errors. Correct probabilities lie on the diagonal.
    """
    figure = canvas(figure, PAGE, 3.4)
    left, right = figure.subplots(1, 2)
    left.plot([0.0, 1.0], [0.0, 1.0], **DASHED)
    for number, name in enumerate(result.names):
        colour, marker, line = curve_look(number)
        share = result.observed[:, number]
        # Not zero where the model made all data sets of a bin, or none: one more of each.
        size = result.counts[:, number] + 2.0
        smoothed = (share * result.counts[:, number] + 1.0) / size
        error = 2.0 * np.sqrt(smoothed * (1.0 - smoothed) / size)
        left.errorbar(
            result.predicted[:, number],
            share,
            error,
            color=colour,
            marker=marker,
            linestyle=line,
            markersize=4.5,
            label=name,
        )
    left.set(xlim=(0.0, 1.0), ylim=(-0.02, 1.02), xlabel="probability", ylabel="share of truths")
    left.set_title(f"calibration error {result.error:.3f}")
    count = len(result.names)
    right.imshow(result.confusion, cmap="Greys", vmin=0.0, vmax=1.0)
    for (row, column), share in np.ndenumerate(result.confusion):
        ink = "white" if share > 0.5 else "black"
        # Of a model that made no data set, nothing is known.
        text = "\N{EN DASH}" if np.isnan(share) else f"{share:.2f}"
        right.text(column, row, text, ha="center", va="center", color=ink)
    across = [wrapped(name, _ACROSS / count, _POINTS) for name in result.names]
    down = [wrapped(name, _BESIDE, _POINTS) for name in result.names]
    right.set_xticks(range(count), across, fontsize=_POINTS)
    right.set_yticks(range(count), down, fontsize=_POINTS)
    right.set(xlabel="most probable", ylabel="true model", title=f"accuracy {result.accuracy:.3f}")
    return legend_below(figure)
