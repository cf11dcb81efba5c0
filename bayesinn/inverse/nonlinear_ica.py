"""Non-linear ICA with GIN: find the informative directions of data mixed by a non-linear map."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize
import scipy.stats

from bayesinn.bijections import (
    Bijection,
    Chain,
    Convolutional,
    Coupling,
    Perceptron,
    Permutation,
    Reshape,
    SpaceToDepth,
    Subnet,
)
from bayesinn.bijections.transforms import VolumePreserving
from bayesinn.core.errors import InputError
from bayesinn.flows import coupling
from bayesinn.inverse.latent_mixture import LatentMixture


def gin(
    blocks: int = 8,
    hidden: Sequence[int] = (128, 128),
    activation: str = "silu",
    clamp: float = 2.0,
) -> Bijection:
    """Return a chain of permutations and volume-preserving couplings, with log_det exactly zero.

    In a :class:`LatentMixture`, such a chain can shrink some latent elements only by stretching
    others. So the likelihood puts the variance into as few elements as the data have degrees of
    freedom. ``hidden`` are the units of each of a block's two subnets; ``clamp`` is explained, with
    references, in :class:`bayesinn.bijections.VolumePreserving`.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = gin(blocks=2, hidden=(8,)).forward(tf.ones((3, 4)))
    >>> log_det.numpy().tolist()
    [0.0, 0.0, 0.0]
    """
    transform = VolumePreserving(clamp=clamp)
    return coupling(
        blocks, hidden, transform, "permutation", actnorm=False, activation=activation
    ).chain


def gin_image(
    shape: Sequence[int],
    filters: Sequence[int] = (16, 32),
    blocks: int = 4,
    hidden: Sequence[int] = (256,),
    activation: str = "relu",
    clamp: float = 2.0,
) -> Bijection:
    """Return a volume-preserving chain for images that arrive as vectors.

    Each level halves the resolution and has convolutional blocks. Two blocks of dense networks at
    the end see the whole image, and leave a vector.

    Parameters
    ----------
    shape : sequence of int, (height, width, channels) of the images
    filters : sequence of int
        Channels of the hidden layers, one number for each level. Height and width must be divisible
        by ``2 ** len(filters)``.
    blocks : int, number of convolutional blocks in each level
    hidden, activation, clamp : as for :func:`gin`

    Examples
    --------
    >>> import tensorflow as tf
    >>> chain = gin_image((8, 8, 1), filters=(4,), blocks=1, hidden=(8,))
    >>> chain.forward(tf.ones((3, 64)))[0].shape
    TensorShape([3, 64])
    """
    transform = VolumePreserving(clamp=clamp)

    def stack(count: int, subnet: Subnet) -> list[Bijection]:
        parts = [(Permutation(), Coupling(transform, subnet=subnet)) for _ in range(count)]
        return [part for pair in parts for part in pair]

    chain: list[Bijection] = [Reshape(shape)]
    for count in filters:
        chain += [SpaceToDepth(), *stack(blocks, Convolutional((count,), activation=activation))]
    return Chain([*chain, Reshape(), *stack(2, Perceptron(hidden, activation))])


@dataclass(frozen=True)
class Spectrum:
    """The standard deviation of each latent element within a class, most informative first.

    ``values`` (d,) are root mean squares over classes, in decreasing order; ``order`` (d,) are the
    numbers of their latent elements.

    Examples
    --------
    >>> spectrum = Spectrum.of(np.array([[0.1, 2.0, 0.1], [0.1, 4.0, 0.2]]))
    >>> spectrum.values.round(2).tolist(), spectrum.order.tolist(), spectrum.informative
    ([3.16, 0.16, 0.1], [1, 2, 0], 1)
    """

    values: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, scales: np.ndarray) -> "Spectrum":
        """Return the spectrum of standard deviations (k, d), such as ``model.latent_scales``."""
        # Squares first: pooled codes of all classes would count the distances of their means as
        # scatter.
        values = np.sqrt(np.mean(np.square(np.asarray(scales, float)), axis=0))
        order = np.argsort(-values, kind="stable")
        return cls(values[order], order)

    @property
    def drops(self) -> np.ndarray:
        """Ratio of each value to the next, (d - 1,)."""
        return self.values[:-1] / self.values[1:]

    @property
    def informative(self) -> int:
        """Number of values before the largest drop."""
        return int(np.argmax(self.drops)) + 1 if len(self.drops) else 1

    def leading(self, codes: np.ndarray, count: int | None = None) -> np.ndarray:
        """Return the ``count`` most informative elements of codes (n, d).

        By default, all informative elements are returned.
        """
        return np.asarray(codes)[:, self.order[: self.informative if count is None else count]]


def latent_effects(model: LatentMixture, reach: float = 2.0) -> np.ndarray:
    """Return the RMS change of x (d,) as each latent element moves by ``reach`` sds from its mean.

    It is an average over the elements of x, classes and both directions. Effects can be compared
    one by one; values of a :class:`Spectrum` can't: stretching one latent element and shrinking
    another keeps volumes and, once the classes' scales follow, the likelihood.
    ``Spectrum.of(latent_effects(model)[None])`` sorts the effects.

    Examples
    --------
    >>> labels = np.repeat([0, 1], 200)
    >>> x = np.random.default_rng(1).normal(size=(400, 2)) * [5.0, 0.1] + labels[:, None]
    >>> model = LatentMixture(gin(blocks=1, hidden=(8,)), standardise=False)
    >>> effects = latent_effects(model.fit(x, labels, steps=2, seed=1, progress=False))
    >>> round(effects.max() / effects.min(), -1)
    np.float64(50.0)
    """
    total = np.zeros(model.latent_means.shape[1])
    for mean, scale in zip(model.latent_means, model.latent_scales, strict=True):
        centre = model.from_latent(mean[None])
        for step in (-reach, reach):
            moved = model.from_latent(mean + step * np.diag(scale))
            total += np.mean((moved - centre) ** 2, axis=tuple(range(1, moved.ndim)))
    return np.sqrt(total / (2 * len(model.latent_means)))


@dataclass(frozen=True)
class SourceMatch:
    """Agreement of learned codes with true sources, up to order, sign, scale and shift.

    For s sources: ``match`` (s,) is the code of each source, ``correlation`` and
    ``rank_correlation`` (s,) are the absolute Pearson and Spearman correlations, ``signs`` (s,) the
    signs of the former. The squared correlation is the share of variance that a line explains.
    """

    match: np.ndarray
    correlation: np.ndarray
    rank_correlation: np.ndarray
    signs: np.ndarray

    @property
    def mean_correlation(self) -> float:
        """The mean correlation coefficient (MCC)."""
        return float(self.correlation.mean())


def match_sources(codes: np.ndarray, sources: np.ndarray) -> SourceMatch:
    """Assign one code (n, c >= s) to each source (n, s): largest sum of absolute correlations.

    References
    ----------
    Hyvärinen and Morioka (2016), Time-contrastive learning and nonlinear ICA, arXiv:1605.06336.

    Examples
    --------
    >>> sources = np.random.default_rng(1).normal(size=(100, 2))
    >>> match = match_sources(
    ...     np.stack([-3.0 * sources[:, 1], sources[:, 0] + 1.0], axis=1), sources
    ... )
    >>> match.match.tolist(), match.signs.tolist(), round(match.mean_correlation, 6)
    ([1, 0], [1.0, -1.0], 1.0)
    """
    codes = np.asarray(codes, float)
    sources = np.asarray(sources, float)
    if (
        codes.ndim != 2
        or sources.ndim != 2
        or len(codes) != len(sources)
        or codes.shape[1] < sources.shape[1]
    ):
        raise InputError(
            "Arguments 'codes' and 'sources'",
            expected="arrays (n, c) and (n, s) of equal length, with at least as many codes as "
            "sources",
            got=f"shapes {codes.shape} and {sources.shape}",
            do="give the latent codes and the true sources of the same vectors",
        )
    correlations = _cross_correlation(sources, codes)
    ranks = _cross_correlation(
        *(scipy.stats.rankdata(values, axis=0) for values in (sources, codes))
    )
    rows, match = scipy.optimize.linear_sum_assignment(-np.abs(correlations))
    chosen = correlations[rows, match]
    return SourceMatch(match, np.abs(chosen), np.abs(ranks[rows, match]), np.sign(chosen))


def _cross_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Pearson correlations, (columns of first, columns of second); 0 for constants."""
    first, second = (
        (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-12) for x in (first, second)
    )
    return first.T @ second / len(first)
