"""Training: the loss, and the learning rate."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bayesinn.core.errors import InputError
from bayesinn.plots.style import BLACK, BLUE, GREY, RED, Canvas, canvas, legend_below, styled


@styled
def loss(history: pd.DataFrame, *, floor: float | None = None, figure: Canvas | None = None) -> Canvas:
    """Draw the training history.

    Parameters
    ----------
    history : DataFrame
        Columns ``step`` and ``loss`` (nats per data set); optional ``val_loss`` and ``learning_rate``.
    floor : float, optional
        The best that is possible, where it is known: the expected entropy of the exact posterior, in nats.
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        A column is missing, there are no rows, or the floor is not finite.

    Examples
    --------
    >>> history = pd.DataFrame({"step": [1, 2, 3], "loss": [3.0, 2.0, 1.5]})
    >>> len(loss(history, floor=1.4).axes)
    1
    """
    missing = sorted({"step", "loss"} - set(history.columns))
    if missing or history.empty:
        raise InputError(
            "training history",
            expected="columns 'step' and 'loss', and at least one row",
            got=f"columns {list(history.columns)}, {len(history)} rows",
            do="pass the history of a posterior that has been fitted",
        )
    if floor is not None and not math.isfinite(floor):
        raise InputError(
            "floor of the loss", expected="a finite number of nats", got=repr(floor), do="leave out an unknown floor"
        )
    with_rate = "learning_rate" in history
    figure = canvas(figure, 7.0, 5.1 if with_rate else 4.1)
    top = figure.add_subplot(3, 1, (1, 2)) if with_rate else figure.add_subplot(1, 1, 1)
    _draw_loss(top, history, floor)
    last = top
    if with_rate:
        last = figure.add_subplot(3, 1, 3, sharex=top)
        last.plot(history["step"], history["learning_rate"], color=GREY)
        last.set_ylabel("learning rate")
        last.set_ylim(bottom=0.0)
        top.tick_params(labelbottom=False)
    last.set_xlabel("step")
    legend_below(figure, [top])
    return figure


def _draw_loss(ax: Axes, history: pd.DataFrame, floor: float | None) -> None:
    step, value = history["step"].to_numpy(), history["loss"].to_numpy(dtype=float)
    window = max(1, len(history) // 50)
    smooth = window > 1
    ax.plot(step, value, color=BLUE, alpha=0.3 if smooth else 1.0, linewidth=1.0, label="loss")
    if smooth:
        middle = history["loss"].rolling(window, center=True, min_periods=1).median()
        ax.plot(step, middle, color=BLUE, linewidth=1.8, label=f"loss, running median of {window}")
    shown = [value]
    if "val_loss" in history:
        validated = history.dropna(subset="val_loss")
        marker = "o" if len(validated) <= 30 else ""
        ax.plot(
            validated["step"], validated["val_loss"], color=RED, marker=marker, markersize=4, label="validation loss"
        )
        shown.append(validated["val_loss"].to_numpy(dtype=float))
    if floor is not None:
        ax.axhline(floor, color=BLACK, linewidth=1.0, linestyle="--", label="best possible")
    # The first steps may be orders of magnitude above the rest, where everything of interest happens.
    late = np.concatenate([series[len(series) // 20 :] for series in shown])
    late = late[np.isfinite(late)]
    if len(late):
        low, high = late.min(), np.quantile(late, 0.995)
        if floor is not None:
            low, high = min(low, floor), max(high, floor)
        margin = 0.08 * (high - low) or 1.0
        ax.set_ylim(low - margin, high + margin)
    ax.set_ylabel("loss: negative log density [nat]")
