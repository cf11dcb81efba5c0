"""Photographs of CIFAR-10 as brightness and colours, and the flow of the latter given the former.

A picture of 32 x 32 pixels is turned to CIE Lab. As in most cameras and files, colours have half the
resolution: the mean of a and b over each block of 2 x 2 pixels, (16, 16, 2). Brightness keeps all
of its pixels, those of a block side by side as channels, (16, 16, 4). Both are in hundreds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from lab import to_lab, to_rgb
from sklearn.datasets import load_sample_images

import bayesinn as bi
from bayesinn import bijections as bj, flows

COLOURS = (16, 16, 2)
GREY = (16, 16, 4)
DIMENSION = 16 * 16 * 2
MAPS = ("maps1", "maps2", "maps3")
_AT_ONCE = 5_000


def load(folder: Path | None, quick: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures (n, 32, 32, 3) of whole numbers to train on, and to test.

    CIFAR-10 comes from ``cifar10.npz`` in a folder, or from Keras. The quick mode takes two
    photographs of scikit-learn in pieces, one to train on and one to test.
    """
    if quick:
        return tuple(_pieces(image) for image in load_sample_images().images)
    if folder is None:
        (train, _), (test, _) = keras.datasets.cifar10.load_data()
        return train, test
    with np.load(folder / "cifar10.npz") as file:
        return file["x_train"], file["x_test"]


def coloured(pictures: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return colours and brightness of pictures, whose levels are spread evenly over their steps."""
    generator = np.random.default_rng(seed)
    colours = []
    greys = []
    for start in range(0, len(pictures), _AT_ONCE):
        part = pictures[start : start + _AT_ONCE]
        values = to_lab((part + generator.random(part.shape, np.float32)) / np.float32(256.0))
        blocks = values.reshape(-1, 16, 2, 16, 2, 3).swapaxes(2, 3) / 100.0
        colours.append(blocks[..., 1:].mean(axis=(3, 4)).astype(np.float32))
        greys.append(blocks[..., 0].reshape(-1, *GREY).astype(np.float32))
    return {"colour": np.concatenate(colours), "grey": np.concatenate(greys)}


def shown(grey: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Return pictures (..., 32, 32, 3) of brightness and colours, as a screen shows them."""
    blocks = grey.reshape(*grey.shape[:-1], 2, 2)
    brightness = np.moveaxis(blocks, -2, -3).reshape(*grey.shape[:-3], 32, 32, 1)
    doubled = colour.repeat(2, axis=-3).repeat(2, axis=-2)
    brightness = np.broadcast_to(brightness, (*doubled.shape[:-1], 1))
    return to_rgb(100.0 * np.concatenate([brightness, doubled], axis=-1))


def network(train: dict[str, np.ndarray], quick: bool) -> bi.AmortizedPosterior:
    """Return the posterior of colours given brightness, not yet trained."""
    levels = MAPS[:1] if quick else MAPS
    width = 8 if quick else 32
    stages = (8,) if quick else (48, 64, 64)
    prior = bi.Samples(train["colour"][:2_000], noise=0.01)
    model = bi.from_arrays({"colour": prior}, {"grey": GREY}, name="photographs")
    return bi.AmortizedPosterior(
        model,
        summary={"grey": bi.summaries.ConvImage(32, stages, maps=width)},
        flow=_flow(levels, width, 1 if quick else 4),
        networks=1,
    )


def _flow(levels: Sequence[str], width: int, dense: int) -> flows.Flow:
    """Return a flow that goes from averages to details, one channel after another at each level.

    A level has two averages and six differences. Each coupling transforms all channels but the
    first few, which it sees, and which stay. Averages go on to the next level.
    """
    subnet = bj.Convolutional((width, width))
    parts: list[bj.Bijection] = []
    for maps in levels:
        couplings = [
            bj.Coupling(
                bj.Affine(clamp=3.0), subnet=subnet, dual=False, split=first / 8, reads=maps
            )
            for first in range(2, 8)
        ]
        parts.append(bj.Chain([bj.Haar(rebalance=0.5), bj.ActNorm(), *couplings]))
    bent = bj.Composed([bj.Affine(), bj.Spline()])
    coarsest: list[bj.Bijection] = [bj.Reshape()]
    for _ in range(dense):
        coarsest += [bj.ActNorm(), bj.LULinear(), bj.Coupling(bent, hidden=(64, 64))]
    parts.append(bj.Chain(coarsest))
    scales = bj.MultiScale(parts, finished=0.75)
    return flows.InvertibleFlow(bj.Chain([bj.Reshape(COLOURS), scales]))


def _pieces(image: np.ndarray) -> np.ndarray:
    """Cut a photograph into pictures of 32 x 32 pixels."""
    height = len(image) // 32 * 32
    width = image.shape[1] // 32 * 32
    rows = image[:height, :width].reshape(height // 32, 32, width // 32, 32, 3)
    return rows.swapaxes(1, 2).reshape(-1, 32, 32, 3)
