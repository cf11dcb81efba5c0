"""Figures of GIN on digits, from stored arrays."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bayesinn.plots.panels import legend_below
from bayesinn.plots.style import CURVES, styled


@styled
def draw_spectra(spectra: dict[str, np.ndarray]) -> Figure:
    """Sorted standard deviations of latent elements."""
    return _curves(spectra, "standard deviation")


@styled
def draw_effects(effects: dict[str, np.ndarray]) -> Figure:
    """How much pixels change with each element, in the order of their standard deviations.

    Running medians of 15 neighbours in rank.
    """
    smooth = {
        name: pd.Series(values).rolling(15, center=True, min_periods=1).median().to_numpy()
        for name, values in effects.items()
    }
    return _curves(smooth, "RMS change of a pixel")


def _curves(curves: dict[str, np.ndarray], label: str) -> Figure:
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    ax = figure.add_subplot()
    for (name, values), (colour, _, _) in zip(curves.items(), CURVES, strict=False):
        ax.plot(np.arange(1, len(values) + 1), values, color=colour, label=name, linewidth=1.2)
    ax.set(xscale="log", yscale="log", xlabel="latent element, by rank", ylabel=label)
    return legend_below(figure)


@styled
def draw_walks(walks: np.ndarray, ranks: tuple[int, ...]) -> Figure:
    """One row an element: the mean digit of each class, with the element at -2, 0 and 2 sd."""
    count, classes, steps, height, width = walks.shape
    figure = Figure(figsize=(7.4, 0.29 * count * 7.4 / 8.0), layout="constrained")
    grid = figure.subplots(count, 1, squeeze=False)[:, 0]
    for ax, rows, rank in zip(grid, walks, ranks, strict=True):
        strip = rows.transpose(2, 0, 1, 3).reshape(height, classes * steps * width)
        ax.imshow(strip, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        for edge in range(1, classes):
            ax.axvline(edge * steps * width - 0.5, color="white", linewidth=3.0)
        ax.set(xticks=[], yticks=[])
        ax.set_ylabel(str(rank), rotation=0, ha="right", va="center")
        ax.set_frame_on(False)
    figure.supylabel("latent element, by rank", fontsize=9.0)
    return figure
