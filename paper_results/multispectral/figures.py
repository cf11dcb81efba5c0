"""Figures of the study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from bank import Arrays
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesinn import plots
from bayesinn.plots.panels import BARS, BLUE, DASHED, GREY, ORANGE, PAGE, RED, styled, wrapped

_OXYGENATION = "oxygenation $s_{O_2}$"


@styled
def compare_methods(
    reference: Arrays, shown: dict[str, Arrays], truth: dict[str, float], file: Path
) -> None:
    """Draw the posterior of one spectrum by each method, over that of the reference."""
    figure = Figure((PAGE, 4.4), layout="constrained")
    axes = figure.subplots(2, len(shown), sharex="row", sharey="row", squeeze=False)
    for (name, draws), (above, below) in zip(shown.items(), axes.T, strict=True):
        above.set_title(wrapped(name, 1.3, 9.0), fontsize=9)
        _oxygenation(above, reference, draws, truth)
        _blood_and_scattering(below, reference, draws, truth)
    axes[0, 0].set_ylabel("density")
    axes[1, 0].set_ylabel("scattering $a_{Mie,1}$ [1/cm]")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    plots.save(figure, file)


def _oxygenation(ax: Axes, reference: Arrays, draws: Arrays, truth: dict[str, float]) -> None:
    bins = np.linspace(-0.2, 1.0, 49)
    ax.hist(reference["s_O2"], bins=bins, density=True, **BARS, label="reference")
    outline = {"histtype": "step", "color": BLUE, "linewidth": 1.5}
    ax.hist(draws["s_O2"], bins=bins, density=True, **outline, label="method")
    ax.plot([0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0], **DASHED, label="prior")
    ax.axvline(truth["s_O2"], color=RED, linewidth=1.5, label="truth")
    ax.set(xlabel=_OXYGENATION, xlim=(-0.2, 1.05))


def _blood_and_scattering(
    ax: Axes, reference: Arrays, draws: Arrays, truth: dict[str, float]
) -> None:
    few = slice(1_000)
    for values, color in ((reference, GREY), (draws, BLUE)):
        style = {"color": color, "markersize": 2.0, "alpha": 0.4, "markeredgewidth": 0.0}
        ax.plot(values["v_hb1"][few], values["a_mie1"][few], ".", **style)
    ax.plot(truth["v_hb1"], truth["a_mie1"], "+", color=RED, markersize=12, markeredgewidth=2.0)
    ax.set(xlabel="blood $v_{Hb,1}$", xlim=(-0.03, 0.13), ylim=(0.0, 65.0))


@styled
def compare_cameras(
    spread: dict[str, np.ndarray], prior_width: float, table: pd.DataFrame, file: Path
) -> None:
    """Draw the widths of oxygenation posteriors, and the information, of each camera."""
    figure = Figure((PAGE, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    names = list(spread)
    median = {"color": BLUE, "linewidth": 2.0}
    left.boxplot(list(spread.values()), tick_labels=names, showfliers=False, medianprops=median)
    left.axhline(prior_width, **DASHED)
    left.annotate(
        "prior", (0.5, prior_width), (4, 4), textcoords="offset points", xycoords="data", ha="left"
    )
    label = f"width of the central 68 % of\n{_OXYGENATION}"
    left.set(xlabel="bands of the camera", ylabel=label, ylim=(0.0, 0.8))
    oxygenation = table.xs("s_O2", level=1)
    places = np.arange(len(oxygenation))
    together = oxygenation["all parameters [nats]"]
    alone = oxygenation["information [nats]"]
    right.bar(places - 0.2, together, 0.4, color=BLUE, label="all 13 parameters")
    right.bar(places + 0.2, alone, 0.4, color=ORANGE, label=_OXYGENATION)
    right.set(xlabel="bands of the camera", ylabel="information of one spectrum [nats]")
    right.set_xticks(places, names)
    plots.panels.legend_below(figure)
    plots.save(figure, file)


@styled
def show_map(truth: np.ndarray, median: np.ndarray, width: np.ndarray, file: Path) -> None:
    """Draw oxygenation, its posterior median, the error of that, and the width of each posterior."""
    figure = Figure((PAGE, 6.2), layout="constrained")
    axes = figure.subplots(2, 2)
    for ax, title, name, values, (low, high), colours in (
        (axes[0, 0], "truth", _OXYGENATION, truth, (0.0, 1.0), "RdBu_r"),
        (axes[0, 1], "posterior median", _OXYGENATION, median, (0.0, 1.0), "RdBu_r"),
        (axes[1, 0], "error", "median - truth", median - truth, (-0.3, 0.3), "PuOr"),
        (axes[1, 1], "width", "width of the central 68 %", width, (0.0, 0.4), "viridis"),
    ):
        picture = ax.imshow(values, vmin=low, vmax=high, cmap=colours)
        ax.set(title=title, xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        extend = "neither" if name == _OXYGENATION else "both" if low < 0.0 else "max"
        figure.colorbar(picture, ax=ax, label=name, extend=extend, shrink=0.85)
    plots.save(figure, file)
