"""Figures of the page, from what run.py keeps.

python paper_results/image_densities/figures.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bayesinn import plots
from bayesinn.plots.panels import CURVES, PAGE, SMALL, legend_below, styled

HERE = Path(__file__).parent
_TITLES = {"digits": "digits", "mnist": "MNIST", "cifar10": "CIFAR-10"}
_ACROSS = 10
_MOST = 40


def main() -> None:
    """Draw what there is."""
    plots.save(draw_pictures(), HERE / "draws.png")
    plots.save(draw_curves(pd.read_csv(HERE / "curves.csv")), HERE / "learning.svg")


@styled
def draw_pictures() -> Figure:
    """Return test pictures, and beside them draws of each model."""
    files = {name: HERE / f"draws_{name}.npz" for name in _TITLES}
    stored = {name: dict(np.load(file)) for name, file in files.items() if file.exists()}
    across = max(len(arrays) for arrays in stored.values())
    figure = Figure(figsize=(PAGE, 1.85 * len(stored)), layout="constrained")
    grid = figure.subplots(len(stored), across, squeeze=False)
    for row, name in zip(grid, stored, strict=True):
        for ax in row:
            ax.set_axis_off()
        arrays = stored[name]
        order = ["data", *(key for key in arrays if key != "data")]
        for ax, key in zip(row, order, strict=False):
            ax.imshow(mosaic(arrays[key], by_class=name == "digits"), cmap="gray_r")
            title = "test pictures" if key == "data" else key.removesuffix(" / draws")
            ax.set_title(f"{_TITLES[name]}: {title}", fontsize=SMALL)
    return figure


def mosaic(pictures: np.ndarray, by_class: bool) -> np.ndarray:
    """Return pictures (n, height, width, channels) side by side; a column a class, or in rows."""
    pictures = pictures[:_MOST].astype(float) / pictures.max()
    # White lines between them.
    blank = float(pictures.shape[-1] == 3)
    gap = [(0, 0), (0, 1), (0, 1), (0, 0)]
    pictures = np.pad(pictures, gap, constant_values=blank)
    height, width, channels = pictures.shape[1:]
    if by_class:
        pictures = pictures.reshape(_ACROSS, -1, *pictures.shape[1:]).swapaxes(0, 1)
    rows = pictures.reshape(-1, _ACROSS, height, width, channels).swapaxes(1, 2)
    image = rows.reshape(-1, _ACROSS * width, channels)
    return image if channels == 3 else image[..., 0]


@styled
def draw_curves(table: pd.DataFrame) -> Figure:
    """Return bits a dimension over processor minutes, a panel for each data set."""
    # A single report is no curve.
    names = [name for name in _TITLES if (table["data"] == name).sum() > 1]
    figure = Figure(figsize=(PAGE, 3.2), layout="constrained")
    models = list(table.loc[table["data"].isin(names), "model"].unique())
    for ax, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for model, rows in table[table["data"] == name].groupby("model", sort=False):
            colour, marker, _ = CURVES[models.index(model)]
            for kind, line in (("training", "--"), ("held out", "-")):
                look = {"color": colour, "marker": marker, "markersize": 3, "linewidth": 1.2}
                ax.plot(rows["minutes"], rows[kind], line, label=f"{model}, {kind}", **look)
        low = table.loc[table["data"] == name, ["training", "held out"]].min().min()
        ax.set(title=_TITLES[name], xlabel="processor minutes", ylim=(low - 0.05, low + 1.2))
    figure.axes[0].set_ylabel("bits a dimension")
    return legend_below(figure)


if __name__ == "__main__":
    main()
