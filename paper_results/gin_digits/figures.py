"""Figures of GIN on digits, from stored arrays."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from bayesinn.plots.panels import CURVES, PAGE, legend_below, styled

#: Ranks of the elements whose walks are kept, and of those that are drawn.
WALKS = (1, 2, 3, 4, 6, 8, 12, 22, 50, 200)
SHOWN = (1, 2, 4, 8, 22, 200)


@styled
def draw_spectra(stored: dict[str, np.ndarray]) -> Figure:
    """Sorted standard deviations of latent elements."""
    return _curves(_named(stored, "spectrum"), "standard deviation")


@styled
def draw_effects(stored: dict[str, np.ndarray]) -> Figure:
    """How much pixels change with each element, in the order of their standard deviations.

    Running medians of 15 neighbours in rank.
    """
    smooth = {
        name: pd.Series(values).rolling(15, center=True, min_periods=1).median().to_numpy()
        for name, values in _named(stored, "effect").items()
    }
    return _curves(smooth, "RMS change of a pixel")


def _named(stored: dict[str, np.ndarray], part: str) -> dict[str, np.ndarray]:
    """Return one array of each case; they are stored as "case: part"."""
    split = {key: key.partition(": ") for key in stored}
    return {case: stored[key] for key, (case, _, name) in split.items() if name == part}


@styled
def _curves(curves: dict[str, np.ndarray], label: str) -> Figure:
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    ax = figure.add_subplot()
    for (name, values), (colour, _, line) in zip(curves.items(), CURVES, strict=False):
        ranks = np.arange(1, len(values) + 1)
        ax.plot(ranks, values, line, color=colour, label=name, linewidth=1.4)
    ax.set(xscale="log", yscale="log", xlabel="latent element, by rank", ylabel=label)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    return legend_below(figure)


@styled
def draw_walks(stored: dict[str, np.ndarray]) -> Figure:
    """Return for each element the change of the mean digit of each class, at -2 and 2 sd.

    The first row has the mean digits themselves. Red pixels become brighter, blue ones darker.
    """
    [walks] = _named(stored, "walks").values()
    ranks = WALKS[: len(walks)]
    chosen = [place for place, rank in enumerate(ranks) if rank in SHOWN]
    low, middle, high = walks.astype(float).transpose(2, 0, 1, 3, 4)
    classes = walks.shape[1]
    rows = [middle[chosen[0]], *(high[place] - low[place] for place in chosen)]
    names = ["mean digit", *(f"element {ranks[place]}" for place in chosen)]
    figure = Figure(figsize=(PAGE, 0.7 * len(rows) + 0.9), layout="constrained")
    grid = figure.subplots(len(rows), classes, squeeze=False)
    for axes, name, pictures in zip(grid, names, rows, strict=True):
        change = name != "mean digit"
        look = {"cmap": "RdBu_r", "vmin": -255, "vmax": 255} if change else {"cmap": "gray"}
        images = [ax.imshow(picture, **look) for ax, picture in zip(axes, pictures, strict=True)]
        for ax in axes:
            ax.set(xticks=[], yticks=[], frame_on=False)
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    bar = figure.colorbar(
        images[0],
        ax=grid,
        location="bottom",
        aspect=50,
        label="change of a pixel from 2 sd below the mean of an element to 2 sd above",
    )
    bar.set_ticks([-255, 0, 255], labels=["white to black", "none", "black to white"])
    return figure
