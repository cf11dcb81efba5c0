"""Figures of the artificial experiment, from arrays.npz."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from bayesinn.plots.panels import CURVES, PAGE, legend_below, styled, wrapped


@styled
def draw_spectra(stored: dict[str, np.ndarray]) -> Figure:
    """Sorted standard deviations of latent elements."""
    cases = _cases(stored)
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    ax = figure.add_subplot()
    for (name, arrays), (colour, marker, line) in zip(cases.items(), CURVES, strict=False):
        ranks = np.arange(1, len(arrays["spectrum"]) + 1)
        look = {"color": colour, "marker": marker, "markersize": 5, "linewidth": 1.2}
        ax.plot(ranks, arrays["spectrum"], line, label=name, **look)
    ax.set(yscale="log", xlabel="latent element, by rank", ylabel="standard deviation")
    ax.set_xticks(ranks)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    return legend_below(figure)


@styled
def draw_sources(stored: dict[str, np.ndarray]) -> Figure:
    """True sources, and beside them two leading codes of each case, turned and scaled to them.

    Colours and marks are classes.
    """
    cases = _cases(stored)
    figure = Figure(figsize=(PAGE, 3.2), layout="constrained")
    axes = figure.subplots(1, 1 + len(cases), sharex=True, sharey=True)
    sources = next(iter(cases.values()))["sources"]
    labels = next(iter(cases.values()))["labels"]
    _scatter(axes[0], sources, labels)
    axes[0].set(title="true sources", ylabel="second source")
    for ax, (name, arrays) in zip(axes[1:], cases.items(), strict=True):
        codes = arrays["codes"]
        codes = (codes - codes.mean(axis=0)) * sources.std(axis=0) / codes.std(axis=0)
        _scatter(ax, codes + sources.mean(axis=0), labels)
        ax.set_title(wrapped(name, 2.0, 9.0), fontsize=9)
    for ax in axes:
        ax.set_xlabel("first source")
    return legend_below(figure)


def _cases(stored: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Return arrays by case and name; they are stored as "case: name"."""
    cases: dict[str, dict[str, np.ndarray]] = {}
    for key, values in stored.items():
        case, _, name = key.partition(": ")
        cases.setdefault(case, {})[name] = values
    return cases


def _scatter(ax: Axes, points: np.ndarray, labels: np.ndarray) -> None:
    """Draw points (n, 2), a mark for each class."""
    for number, (colour, marker, _) in zip(np.unique(labels), CURVES, strict=False):
        own = points[labels == number]
        look = {"markersize": 2.5, "markeredgewidth": 0, "alpha": 0.7, "color": colour}
        ax.plot(*own.T, marker, label=f"class {number:.0f}", **look)
