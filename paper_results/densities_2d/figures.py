"""The figure of README.md, from pictures.npz.

``python -m docs.figures densities`` draws it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from bayesinn.plots.panels import BLACK, PAGE, SMALL, styled, wrapped

#: inches of the names of networks, and of a row of panels
_NAMES = 1.0
_ROW = 1.16


@styled
def draw(folder: Path) -> Figure:
    """Return a matrix: exact densities in the first row, and those of a network in each other."""
    with np.load(folder / "pictures.npz") as file:
        pictures = {tuple(key.split(": ")): file[key].astype(float) for key in file.files}
    rows = list(dict.fromkeys(network for network, *_ in pictures))
    columns = list(dict.fromkeys(density for _, density, *_ in pictures))
    figure = Figure(figsize=(PAGE, 0.9 + _ROW * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    norm = PowerNorm(0.5, vmin=0.0, vmax=1.0)
    for axes, network in zip(grid, rows, strict=True):
        axes[0].set_ylabel(
            wrapped(network, _NAMES, SMALL), rotation=0, ha="right", va="center", fontsize=SMALL
        )
        for ax, density in zip(axes, columns, strict=True):
            relative = pictures[network, density] / pictures["exact", density].max()
            ax.imshow(relative, origin="lower", norm=norm, cmap="Blues")
            ax.set(xticks=[], yticks=[], frame_on=False)
            if network != "exact":
                gap = f"{pictures[network, density, 'gap']:.3f} nats"
                ax.set_xlabel(gap, fontsize=SMALL, labelpad=2.0)
    for ax, density in zip(grid[0], columns, strict=True):
        ax.set_title(density, fontsize=SMALL + 1.0, color=BLACK)
    figure.colorbar(
        ScalarMappable(norm, "Blues"),
        ax=grid,
        location="bottom",
        aspect=50,
        extend="max",
        ticks=[0.0, 0.05, 0.25, 0.5, 1.0],
        label="density over the largest exact one; below panels: nats above the exact entropy",
    )
    return figure
