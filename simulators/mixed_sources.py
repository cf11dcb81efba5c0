"""Artificial data with known sources, two informative, eight noise, mixed by an untrained network.

Source: P. Sorrenson, C. Rother, U. Koethe (2020), Disentanglement by nonlinear ICA with general
incompressible-flow networks (GIN), arXiv:2001.04872.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bayesinn.bijections import Affine, Bijection, Chain, Coupling, Orthogonal, Permutation
from bayesinn.bijections.transforms import VolumePreserving
from bayesinn.core import seeds
from bayesinn.core.errors import check_choice

CLASSES = 5
SOURCES = 2
NOISES = 8
_NOISE = 0.01
_BLOCKS = 8
_HIDDEN = (10, 10)
_CLAMP = 2.0
# Five classes on a circle of this radius are 17.6 apart, three times their largest common scatter.
_RADIUS = 15.0
_KINDS = ("overlapping", "separated", "equal scales")

Kind = Literal["overlapping", "separated", "equal scales"]


@dataclass(frozen=True)
class MixedSources:
    """Data whose sources are known.

    Attributes
    ----------
    x : array (n, 10), the observed vectors
    labels : array (n,), 0 to 4
    sources : array (n, 10), the two informative ones first
    means, scales : arrays (5, 10), mean and standard deviation of each source in each class
    mixing : Bijection, from sources to x
    """

    x: np.ndarray
    labels: np.ndarray
    sources: np.ndarray
    means: np.ndarray
    scales: np.ndarray
    mixing: Bijection

    @property
    def entropy(self) -> float:
        """Mean entropy of the sources given their class, in nats."""
        return float(
            np.log(self.scales).sum(axis=1).mean()
            + 0.5 * self.scales.shape[1] * (1.0 + np.log(2.0 * np.pi))
        )


def mixed_sources(
    points: int,
    seed: int = 0,
    kind: Kind = "overlapping",
    rotated: bool = False,
    volume_preserving: bool = False,
    draw: int = 0,
) -> MixedSources:
    """Draw labelled vectors of ten elements that have two degrees of freedom.

    In each of five classes the two sources are independent and normal. Eight more elements are
    noise with a standard deviation of 0.01. An untrained network of eight coupling blocks mixes all
    ten.

    Parameters
    ----------
    points : int
    seed : int
        Decides classes, mixing and points.
    kind : {"overlapping", "separated", "equal scales"}
        Means uniform in [-5, 5] and standard deviations in [0.5, 3], so that the classes overlap;
        means far apart on a circle; or one standard deviation for both sources in all classes. Then
        rotated sources are as likely as the true ones, and the data don't distinguish them.
    rotated : bool
        Whether the sources are rotated by 45 degrees before they are mixed. Otherwise they lie near
        the axes of x, and a network that starts at the identity may find them even where rotated
        ones are as likely.
    volume_preserving : bool
        Whether the mixing preserves volumes. Then x has the entropy of the sources, which a network
        of :func:`bayesinn.inverse.gin` can reach.
    draw : int
        Number of the data set: another number gives other points of the same classes and mixing,
        such as a test set.

    Returns
    -------
    MixedSources

    Examples
    --------
    >>> data = mixed_sources(100, seed=1)
    >>> data.x.shape, data.sources[:, 2:].std().round(3)
    ((100, 10), np.float64(0.01))
    """
    check_choice("Argument 'kind'", kind, _KINDS)
    generator = np.random.default_rng(seeds.entropy(seed, "prior"))
    means = generator.uniform(-5.0, 5.0, (CLASSES, SOURCES))
    scales = generator.uniform(0.5, 3.0, (CLASSES, SOURCES))
    if kind == "separated":
        angles = 2.0 * np.pi * np.arange(CLASSES) / CLASSES
        means = _RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if kind == "equal scales":
        scales = np.full((CLASSES, SOURCES), scales.mean())
    means = np.concatenate([means, np.zeros((CLASSES, NOISES))], axis=1)
    scales = np.concatenate([scales, np.full((CLASSES, NOISES), _NOISE)], axis=1)
    mixing = _mixing(rotated, volume_preserving, seed)
    drawing = np.random.default_rng(seeds.entropy(seed, "simulations", draw))
    labels = drawing.integers(CLASSES, size=points)
    sources = means[labels] + scales[labels] * drawing.standard_normal((points, SOURCES + NOISES))
    x = mixing.forward(sources.astype(np.float32))[0].numpy()
    return MixedSources(x, labels, sources, means, scales, mixing)


def _mixing(rotated: bool, volume_preserving: bool, seed: int) -> Bijection:
    transform = VolumePreserving(clamp=_CLAMP) if volume_preserving else Affine(clamp=_CLAMP)
    with seeds.seeded_initial_weights(seed):
        rotation = Orthogonal()
        chain: list[Bijection] = [rotation]
        for _ in range(_BLOCKS):
            chain += [Coupling(transform, hidden=_HIDDEN, activation="relu"), Permutation()]
        mixing = Chain(chain)
        mixing.build((SOURCES + NOISES,))
    generator = np.random.default_rng(seeds.entropy(seed, "weights"))
    matrix = np.eye(SOURCES + NOISES)
    if rotated:
        matrix[:SOURCES, :SOURCES] = np.array([[1.0, -1.0], [1.0, 1.0]]) / np.sqrt(2.0)
    rotation.matrix.assign(matrix)
    fan_in = 1
    for variable in mixing.trainable_variables:
        # PyTorch's initial kernels and biases, also in the last layer: near zero the map would be
        # trivial.
        if len(variable.shape) == 2:
            fan_in = variable.shape[0]
        variable.assign(generator.uniform(-1.0, 1.0, variable.shape) / np.sqrt(fan_in))
    return mixing
