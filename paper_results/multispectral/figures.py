"""Figures of the study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from bank import Arrays
from matplotlib.figure import Figure

from bayesinn import plots


def compare_methods(
    shown: dict[str, Arrays], spectrum: int, truth: dict[str, float], file: Path
) -> None:
    """Draw oxygenation, and blood by scattering of the first layer, of one spectrum by method."""
    figure = Figure((2.6 * len(shown), 5.0), layout="constrained")
    axes = figure.subplots(2, len(shown), sharex="row", sharey="row", squeeze=False)
    for (name, draws), (above, below) in zip(shown.items(), axes.T, strict=True):
        oxygenation = draws["s_O2"][spectrum]
        above.hist(oxygenation, bins=np.linspace(-0.2, 1.2, 57), density=True, color="C0")
        above.axvline(truth["s_O2"], color="black", linewidth=1.0)
        above.set(title=name, xlabel="$s_{O_2}$")
        few = slice(1_000)
        below.plot(
            draws["v_hb1"][spectrum][few],
            draws["a_mie1"][spectrum][few],
            ".",
            markersize=2.0,
            alpha=0.4,
        )
        below.plot(truth["v_hb1"], truth["a_mie1"], "k+", markersize=12)
        below.set(xlabel="$v_{Hb,1}$", xlim=(-0.03, 0.13), ylim=(-15.0, 65.0))
    axes[0, 0].set_ylabel("density")
    axes[1, 0].set_ylabel("$a_{Mie,1}$ [1/cm]")
    plots.save(figure, file)


def compare_cameras(spread: dict[str, np.ndarray], table: pd.DataFrame, file: Path) -> None:
    """Draw widths of oxygenation posteriors, and information, of cameras with 3, 8 and 27 bands."""
    figure = Figure((9.0, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.boxplot(list(spread.values()), tick_labels=list(spread), showfliers=False)
    left.set(xlabel="bands", ylabel="width of the 68 % interval of $s_{O_2}$", ylim=(0.0, None))
    oxygenation = table.xs("s_O2", level=1)
    places = np.arange(len(oxygenation))
    right.bar(places - 0.2, oxygenation["all parameters [nats]"], 0.4, label="all parameters")
    right.bar(places + 0.2, oxygenation["information [nats]"], 0.4, label="$s_{O_2}$")
    right.set(
        xlabel="bands",
        ylabel="information [nats]",
        xticks=places,
        xticklabels=list(oxygenation.index),
    )
    right.legend()
    plots.save(figure, file)


def show_map(truth: np.ndarray, median: np.ndarray, width: np.ndarray, file: Path) -> None:
    """Draw true oxygenation, posterior median, and width of the 68 % interval of each pixel."""
    figure = Figure((10.0, 3.2), layout="constrained")
    panels = {
        "truth": (truth, 0.0, 1.0),
        "posterior median": (median, 0.0, 1.0),
        "width of 68 %": (width, 0.0, None),
    }
    for ax, (title, (values, low, high)) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        drawn = ax.imshow(
            values, vmin=low, vmax=high, cmap="viridis" if title == "width of 68 %" else "RdBu_r"
        )
        ax.set(title=title, xticks=[], yticks=[])
        figure.colorbar(drawn, ax=ax)
    plots.save(figure, file)
