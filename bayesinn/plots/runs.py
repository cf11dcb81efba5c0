"""Several trainings, or posteriors of one observation, in one figure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.plots.arrays import Draws, gather
from bayesinn.plots.histograms import bin_edges
from bayesinn.plots.panels import Panels, bare, canvas, legend_below
from bayesinn.plots.style import BARS, CURVES, PLAIN, Canvas, styled


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
