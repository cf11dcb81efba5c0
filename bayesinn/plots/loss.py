"""Training: the loss, and the learning rate."""

import numpy as np
import pandas as pd

from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_number
from bayesinn.plots.panels import canvas, legend_below
from bayesinn.plots.style import BLUE, DASHED, GREY, RED, Canvas, styled


@styled
def loss(
    history: pd.DataFrame,
    *,
    floor: float | None = None,
    nats: bool = True,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the training history: ``step``, ``loss``, and optionally two more columns.

    These are ``val_loss`` and ``learning_rate``. ``floor`` is the best possible value, if known:
    for a loss in ``nats``, the expected entropy of the exact posterior. Flows without invertible
    layers have other losses.
    """
    if not {"step", "loss"} <= set(history.columns) or history.empty:
        raise InputError(
            "training history",
            expected="columns 'step' and 'loss', 1 row or more",
            got=f"columns {list(history.columns)}, {len(history)} rows",
            do="pass the history of a fitted posterior",
        )
    floors = (
        []
        if floor is None
        else [check_number("Argument 'floor'", floor, do="pass a finite number of nats")]
    )
    with_rate = "learning_rate" in history
    figure = canvas(figure, 7.0, 5.1 if with_rate else 4.1)
    ax, *below = figure.subplots(
        1 + with_rate, sharex=True, squeeze=False, height_ratios=[2, 1][: 1 + with_rate]
    )[:, 0]
    step = history["step"]
    value = history["loss"].astype(float)
    window = max(1, len(history) // 50)
    ax.plot(step, value, color=BLUE, alpha=0.3 if window > 1 else 1.0, linewidth=1.0, label="loss")
    if window > 1:
        middle = value.rolling(window, center=True, min_periods=1).median()
        ax.plot(step, middle, color=BLUE, linewidth=1.8, label=f"loss, running median of {window}")
    shown = [value]
    if "val_loss" in history:
        shown.append(history["val_loss"].dropna().astype(float))
        marker = "o" if len(shown[1]) <= 30 else ""
        ax.plot(
            step[shown[1].index],
            shown[1],
            color=RED,
            marker=marker,
            markersize=4,
            label="validation loss",
        )
    for best in floors:
        ax.axhline(best, label="best possible", **DASHED)
    # The first steps may be orders of magnitude above the rest, which is of interest.
    late = np.concatenate([series[len(series) // 20 :] for series in shown])
    late = late[np.isfinite(late)]
    if len(late):
        ends = [late.min(), np.quantile(late, 0.995), *floors]
        margin = 0.08 * (max(ends) - min(ends)) or 1.0
        ax.set_ylim(min(ends) - margin, max(ends) + margin)
    ax.set_ylabel("loss: negative log density [nat]" if nats else "loss")
    for rate in below:
        rate.plot(step, history["learning_rate"], color=GREY)
        rate.set(ylabel="learning rate", ylim=(0.0, None))
    figure.axes[-1].set_xlabel("step")
    return legend_below(figure)
