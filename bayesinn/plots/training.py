"""Figures of training: losses, learning curves, several runs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesinn.core.arrays import numbers
from bayesinn.core.errors import InputError, check_type
from bayesinn.core.labels import Labels
from bayesinn.diagnostics.information import Advice
from bayesinn.plots.arrays import Draws, gather
from bayesinn.plots.histograms import bin_edges
from bayesinn.plots.panels import (
    BARS,
    BLUE,
    CURVES,
    DASHED,
    GREY,
    PLAIN,
    RED,
    Canvas,
    Panels,
    bare,
    canvas,
    legend_below,
    styled,
)


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
    _check_history(history)
    floors = [] if floor is None else [floor]
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
        ax.axhline(floor, label="best possible", **DASHED)
    ax.set_xscale("log", base=2)
    ticks = [*sizes, 2 * sizes[-1]]
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.set(xlabel="simulations", ylabel="held-out negative log density [nat]")
    return legend_below(figure)


@styled
def losses(
    histories: Mapping[str, pd.DataFrame], *, nats: bool = True, figure: Canvas | None = None
) -> Canvas:
    """Draw the losses of several trainings by name; those on held-out rows if there are any.

    Columns of a history are ``step``, ``loss`` and optionally ``val_loss``.
    """
    _check_count("histories", len(histories))
    figure = canvas(figure, 7.0, 4.1)
    ax = figure.subplots()
    late = []
    for history in histories.values():
        _check_history(history)
    for (name, history), (colour, marker, line) in zip(histories.items(), CURVES, strict=False):
        held_out = "val_loss" in history and history["val_loss"].notna().any()
        curve = history.dropna(subset="val_loss") if held_out else history
        values = curve["val_loss" if held_out else "loss"].to_numpy(float)
        text = f"{name}, on held-out rows" if held_out else name
        every = max(1, len(values) // 8)
        look: dict[str, Any] = {"linestyle": line, "marker": marker, "markevery": every}
        ax.plot(curve["step"], values, label=text, color=colour, markersize=4, **look)
        late.append(values[len(values) // 20 :])
    known = np.concatenate(late)
    known = known[np.isfinite(known)]
    if len(known):
        low = known.min()
        high = np.quantile(known, 0.99)
        margin = 0.08 * (high - low) or 1.0
        ax.set_ylim(low - margin, high + margin)
    ax.set(xlabel="step", ylabel="loss: negative log density [nat]" if nats else "loss")
    return legend_below(figure)


@styled
def overlay(
    draws: Mapping[str, Draws],
    *,
    prior: Draws | None = None,
    truth: Mapping[str, np.ndarray] | None = None,
    labels: Labels = PLAIN,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the posteriors of several runs for one observation over each other.

    ``draws`` maps the name of each run to a dict of name to array (draws, *event). Parameters that
    not all runs have are left out.

    >>> values = np.random.default_rng(1).normal(size=(2, 500))
    >>> len(overlay({"a": {"rate": values[0]}, "b": {"rate": values[1]}}).axes)
    1
    """
    _check_count("draws", len(draws))
    given = {name: gather(values).posterior for name, values in draws.items()}
    first, *others = given.values()
    common = [name for name in first if all(name in other for other in others)]
    if not common:
        raise InputError(
            "draws",
            expected="parameters that all runs have",
            got=str([list(values) for values in given.values()]),
            do="compare runs of one model",
        )
    before = {} if prior is None else gather(prior).posterior
    true = {} if truth is None else gather(first, truth=truth).truth
    panels = Panels(figure, common, labels)
    for index, (ax, column) in enumerate(zip(panels.axes, common, strict=True)):
        together = np.concatenate([values[column] for values in given.values()])
        edges = bin_edges(together)
        if column in true:
            edges = _extend(edges, float(true[column]))
        if column in before:
            ax.stairs(_density(before[column], edges), edges, label="prior", **BARS)
        for (name, values), (colour, _, line) in zip(given.items(), CURVES, strict=False):
            height = _density(values[column], edges)
            ax.stairs(height, edges, label=name, color=colour, linestyle=line, linewidth=1.6)
        if column in true:
            ax.axvline(float(true[column]), color="black", linewidth=1.0, label="truth")
        bare(ax, edges)
        panels.name(index)
    return panels.finish(upwards="density")


def _check_history(history: pd.DataFrame) -> None:
    do = "pass the history of a fitted posterior"
    check_type("training history", history, pd.DataFrame, "a table (pandas.DataFrame)", do)
    known = list(history.columns)
    if not {"step", "loss"} <= set(known) or history.empty:
        raise InputError(
            "training history",
            expected="columns 'step' and 'loss', 1 row or more",
            got=f"columns {known}, {len(history)} rows",
            do=do,
        )
    for name in {"step", "loss", "val_loss", "learning_rate"} & set(known):
        numbers(f"training history, column {name!r}", history[name], missing=True)


def _extend(edges: np.ndarray, value: float) -> np.ndarray:
    """Return edges with one more bin, if a value lies outside, that ends somewhat beyond it."""
    room = 0.05 * (edges[-1] - edges[0])
    below = [value - room] if value < edges[0] else []
    above = [value + room] if value > edges[-1] else []
    return np.concatenate([below, edges, above])


def _density(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return a histogram of all values, also of those outside of the edges."""
    return np.histogram(values, edges)[0] / (len(values) * np.diff(edges))


def _check_count(subject: str, count: int) -> None:
    if not 1 <= count <= len(CURVES):
        raise InputError(
            subject,
            expected=f"1 to {len(CURVES)} runs, which colours and lines tell apart",
            got=f"{count}",
            do="compare fewer at a time",
        )
