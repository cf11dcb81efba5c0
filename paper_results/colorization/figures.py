"""Figures of colours of digits, from the arrays that run.py keeps."""

from __future__ import annotations

from pathlib import Path

import coloured_digits as exact
import numpy as np
from lab import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from bayesinn import plots
from bayesinn.plots.panels import BLACK, BLUE, PAGE, SMALL, legend_below, styled

#: Factors of latent codes along a walk.
TIMES = np.linspace(0.0, 1.5, 7)


def draw(folder: Path) -> None:
    """Draw and save all figures of the arrays in a folder."""
    with np.load(folder / "pictures.npz") as file:
        kept = dict(file)
    plots.save(samples(kept), folder / "samples.png")
    plots.save(modes(kept), folder / "modes.png")
    plots.save(saturation(kept), folder / "saturation.png")


def shown(grey: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Return grey pictures (..., 8, 8, 1) in colours (..., 8, 8, 2), as a screen shows them."""
    return to_rgb(np.concatenate([10.0 + 65.0 * grey, 100.0 * colour], axis=-1))


def samples(kept: dict[str, np.ndarray]) -> Figure:
    """Draw data, truth and draws of ten pictures."""
    grey = kept["grey"][:, None]
    colours = np.concatenate([kept["truth"][:, None], kept["draws"]], axis=1)
    pictures = shown(np.broadcast_to(grey, (*colours.shape[:-1], 1)), colours)
    first = shown(grey, np.zeros((*grey.shape[:-1], 2)))
    return plots.image_grid(
        np.concatenate([first, pictures], axis=1),
        rows=[f"picture of a {digit}" for digit in kept["digit"]],
        columns=["grey", "truth", *["draw"] * kept["draws"].shape[1]],
    )


@styled
def modes(kept: dict[str, np.ndarray]) -> Figure:
    """Draw the hues of draws, and the exact modes."""
    figure = Figure(figsize=(PAGE, 3.9), layout="constrained")
    grid = figure.subplots(2, 5, sharex=True, sharey=True)
    for number, ax in enumerate(grid.flat):
        hue = kept["hues"][number]
        digit = kept["digit"][number]
        ax.plot(*hue.T, ".", color=BLUE, markersize=2, zorder=1, label="a draw")
        for centre in exact.HUES[digit]:
            # Noise of pixels adds little to the width of a mode.
            look = {"fill": False, "color": BLACK, "label": "exact mode, 2 sd"}
            ax.add_patch(Circle(centre, 2.0 * exact.TAU, zorder=2, **look))
        share = exact.first_mode(hue[None], digit[None]).mean()
        text = (
            f"picture of a {digit}:\nfirst mode {share:.0%}\n(exact {exact.WEIGHTS[digit, 0]:.0%})"
        )
        ax.set_title(text, fontsize=SMALL)
        ax.set(xlim=(-0.65, 0.65), ylim=(-0.65, 0.65), aspect="equal")
    for ax in grid[-1]:
        ax.set_xlabel("hue a: green to red", fontsize=SMALL)
    for ax in grid[:, 0]:
        ax.set_ylabel("hue b: blue to yellow", fontsize=SMALL)
    return legend_below(figure)


def saturation(kept: dict[str, np.ndarray]) -> Figure:
    """Draw pictures of codes t z, and their chroma."""
    walks = kept["walks"]
    grey = np.broadcast_to(kept["grey"][: len(walks), None], (*walks.shape[:-1], 1))
    return plots.latent_walk(
        shown(grey, walks),
        TIMES,
        rows=[f"picture of a {digit}" for digit in kept["digit"][: len(walks)]],
        across="factor t of the latent code: 0 the mean, 1 a draw",
        effect=kept["chroma"],
        upwards="mean chroma",
    )
