"""Figures of the artificial experiment, from stored arrays."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from bayesinn.plots.panels import legend_below
from bayesinn.plots.style import CURVES, styled
from bayesinn.plots.text import wrapped

_CLASSES = ListedColormap([colour for colour, _, _ in CURVES])
_ACROSS = 4


@styled
def draw_spectra(spectra: dict[str, np.ndarray]) -> Figure:
    """Sorted standard deviations of latent elements, GIN's in front."""
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    ax = figure.add_subplot()
    for index, (name, values) in enumerate(spectra.items()):
        colour, marker, _ = CURVES[index % len(CURVES)]
        line = "-" if index < len(CURVES) else "--"
        ranks = np.arange(1, len(values) + 1)
        ax.plot(
            ranks,
            values,
            line,
            color=colour,
            label=name,
            marker=marker,
            markersize=4,
            linewidth=1.0,
        )
    ax.set(yscale="log", xlabel="latent element, by rank", ylabel="standard deviation")
    ax.set_xticks(ranks)
    return legend_below(figure)


@styled
def draw_sources(cases: dict[str, list[np.ndarray]]) -> Figure:
    """True sources and, below, two leading codes turned and scaled to them; colours are classes."""
    across = min(_ACROSS, len(cases))
    down = -(-len(cases) // across)
    figure = Figure(figsize=(7.4, 4.2 * down), layout="constrained")
    grid = figure.subplots(2 * down, across, squeeze=False)
    for ax in grid.flat:
        ax.set(xticks=[], yticks=[], frame_on=False)
    for index, (name, (sources, codes, labels)) in enumerate(cases.items()):
        row, column = divmod(index, across)
        scale = sources.std(axis=0) / codes.std(axis=0)
        codes = (codes - codes.mean(axis=0)) * scale + sources.mean(axis=0)
        above, below = grid[2 * row : 2 * row + 2, column]
        for ax, points in ((above, sources), (below, codes)):
            ax.scatter(*points.T, c=labels, cmap=_CLASSES, s=2, linewidths=0)
            ax.set_frame_on(True)
        correlation = np.mean(
            [np.corrcoef(a, b)[0, 1] for a, b in zip(sources.T, codes.T, strict=True)]
        )
        above.set_title(wrapped(name, 1.6, 9.5), fontsize=9.5)
        below.set_xlabel(f"correlation {correlation:.3f}")
        if column == 0:
            above.set_ylabel("true sources")
            below.set_ylabel("latent codes")
    return figure
