"""Figures of colours of photographs, from the arrays that cifar10.py keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from figures import TIMES
from matplotlib.figure import Figure
from photographs import shown

from bayesinn import plots


def draw(folder: Path) -> None:
    """Draw and save all figures of the arrays in a folder."""
    with np.load(folder / "photographs.npz") as file:
        kept = {name: values.astype(np.float32) for name, values in file.items()}
    plots.save(samples(kept), folder / "photographs.png")
    plots.save(saturation(kept), folder / "photographs_saturation.png")
    plots.save(transfer(kept), folder / "photographs_transfer.png")


def samples(kept: dict[str, np.ndarray]) -> Figure:
    """Draw data, truth, the answer of a deterministic network, and draws."""
    draws = kept["draws"]
    single = [np.zeros_like(kept["truth"]), kept["truth"], kept["deterministic"]]
    colours = np.concatenate([np.stack(single, axis=1), draws], axis=1)
    return plots.image_grid(
        shown(kept["grey"][:, None], colours),
        columns=["grey", "truth", "least\nsquares", *["draw"] * draws.shape[1]],
    )


def saturation(kept: dict[str, np.ndarray]) -> Figure:
    """Draw pictures of codes t z, and their chroma."""
    walks = kept["walks"]
    return plots.latent_walk(
        shown(kept["grey"][: len(walks), None], walks),
        TIMES,
        rows=[f"photograph {number}" for number in range(1, len(walks) + 1)],
        across="factor t of the latent code: 0 the mean, 1 a draw",
        effect=kept["chroma"][: len(walks)],
        upwards="mean chroma",
    )


def transfer(kept: dict[str, np.ndarray]) -> Figure:
    """Draw each picture, and the others in its colours."""
    moved = kept["moved"]
    grey = kept["grey"][: len(moved)]
    originals = shown(grey, kept["truth"][: len(moved)])[:, None]
    numbers = range(1, len(moved) + 1)
    return plots.image_grid(
        np.concatenate([originals, shown(grey[None], moved)], axis=1),
        rows=[f"latent code of photograph {number}" for number in numbers],
        columns=["photograph", *[f"applied to {number}" for number in numbers]],
    )
