"""Figures of colours of digits, from the arrays that run.py keeps."""

from __future__ import annotations

from pathlib import Path

import coloured_digits as exact
import numpy as np
from lab import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from bayesinn import plots

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
        rows=[f"a {digit}" for digit in kept["digit"]],
        columns=["grey", "truth", *["draw"] * kept["draws"].shape[1]],
    )


def modes(kept: dict[str, np.ndarray]) -> Figure:
    """Draw the hues of draws, and the exact modes."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    for number, ax in enumerate(figure.subplots(2, 5, sharex=True, sharey=True).ravel()):
        hue = kept["hues"][number]
        digit = kept["digit"][number]
        ax.plot(*hue.T, ".", color="#0072B2", markersize=2, zorder=1)
        for centre in exact.HUES[digit]:
            # Noise of pixels adds little to the width of a mode.
            ax.add_patch(Circle(centre, 2.0 * exact.TAU, fill=False, color="#222222", zorder=2))
        share = exact.first_mode(hue[None], digit[None]).mean()
        ax.set_title(f"a {digit}: {share:.2f} ({exact.WEIGHTS[digit, 0]:.2f})", fontsize=8)
        ax.set(xlim=(-0.65, 0.65), ylim=(-0.65, 0.65), aspect="equal")
        ax.tick_params(labelsize=7)
    figure.supxlabel("a", fontsize=9)
    figure.supylabel("b", fontsize=9)
    return figure


def saturation(kept: dict[str, np.ndarray]) -> Figure:
    """Draw pictures of codes t z, and their chroma."""
    walks = kept["walks"]
    grey = np.broadcast_to(kept["grey"][: len(walks), None], (*walks.shape[:-1], 1))
    return plots.latent_walk(
        shown(grey, walks),
        TIMES,
        rows=[f"a {digit}" for digit in kept["digit"][: len(walks)]],
        across="factor t of the latent code",
        effect=kept["chroma"],
        upwards="mean chroma",
    )
