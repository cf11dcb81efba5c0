"""Moves of many particles at once that leave a tempered posterior as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.reference.smc_target import Population

KINDS = ("coordinates", "differential evolution", "autoregressive")
"""The kinds of moves, which take turns."""

# The shares of coordinates that a move of the first kind changes; 0 stands for a single one.
_SHARES = (0.0, 0.0, 0.1)
# How often a move of the first and second kind takes the full difference of two particles.
_FULL_DIFFERENCE = (0.5, 0.1)
_DEGREES_OF_FREEDOM = 5


class Proposal(NamedTuple):
    """How moves are drawn.

    ``scales`` (3,) has a factor for each kind. ``mean`` (d,) is the particles', ``axes`` (d, d) has the principal
    axes of their covariance as columns, as long as the particles' standard deviation, and ``whitening`` (d, d) its
    inverse, transposed.
    """

    scales: tf.Tensor
    mean: tf.Tensor
    axes: tf.Tensor
    whitening: tf.Tensor


class Moves:
    """Rounds of Metropolis moves of a population, in one graph.

    The particles are in two halves, and each half moves given the other: a particle's partners in differential
    evolution don't depend on itself, so that each move leaves the tempered posterior as it is. What
    :class:`Proposal` takes from all particles is fixed for a round, and depends on each one by a part in their number.

    The kinds are steps of one or a few coordinates, which suit parameters that the data say little about or that are
    rounded to whole numbers; differential evolution, a step of all coordinates along the difference of two other
    particles, sometimes all of it, as from one mode to another; and an autoregressive move, ``mean + rho (x - mean) +
    noise``, which leaves a multivariate Student t fitted to the particles as it is, so that its steps needn't shrink
    with the dimension: far from a normal posterior it makes small steps, a random walk with the particles' covariance.

    Parameters
    ----------
    target : Target, or another function of vectors and what is given

    References
    ----------
    C. J. F. ter Braak (2006), A Markov chain Monte Carlo version of the genetic algorithm Differential Evolution,
    Statistics and Computing 16; J. Goodman, J. Weare (2010), Ensemble samplers with affine invariance, Communications
    in Applied Mathematics and Computational Science 5(1), for the two halves; R. D. P. Grumitt, M. Karamanis,
    U. Seljak (2024), Sequential Kalman tuning of the t-preconditioned Crank-Nicolson algorithm, Inverse Problems 40,
    for the autoregressive move.
    """

    def __init__(self, target: Callable[[tf.Tensor, Any], Population]) -> None:
        self._target = target

    def __call__(
        self,
        population: Population,
        count: tf.Tensor,
        temperature: tf.Tensor,
        proposal: Proposal,
        seed: tf.Tensor,
        data: Any,
    ) -> tuple[Population, tf.Tensor]:
        """Move each particle ``count`` times.

        Parameters
        ----------
        population : of an even number of particles
        count : scalar int32
        temperature : scalar, the exponent of the likelihood
        proposal : Proposal
        seed : tensor (2,)
        data : one observation, as the target takes it

        Returns
        -------
        population : Population
        accepted : tensor (3,), shares by kind
        """

        # A loop over halves, which swap places, holds the likelihood once: it compiles in half the time.
        def one_half(step: tf.Tensor, moving: Population, others: Population, accepted: tf.Tensor) -> tuple[Any, ...]:
            kind = step // 2 % len(KINDS)
            own_seed = seeds.fold_in(seed, step)
            moved, rate = self._move(moving, others.vector, kind, temperature, proposal, own_seed, data)
            return step + 1, others, moved, accepted + rate * tf.one_hot(kind, len(KINDS))

        halves = (Population(*part) for part in zip(*(tf.split(value, 2) for value in population), strict=True))
        start = (tf.constant(0), *halves, tf.zeros(len(KINDS)))
        _, first, second, accepted = tf.while_loop(lambda step, *_: step < 2 * count, one_half, start)
        joined = Population(*(tf.concat(parts, axis=0) for parts in zip(first, second, strict=True)))
        turns = 2 * ((count + len(KINDS) - 1 - tf.range(len(KINDS))) // len(KINDS))
        return joined, accepted / tf.cast(tf.maximum(turns, 1), tf.float32)

    def _move(
        self,
        half: Population,
        others: tf.Tensor,
        kind: tf.Tensor,
        temperature: tf.Tensor,
        proposal: Proposal,
        seed: tf.Tensor,
        data: Any,
    ) -> tuple[Population, tf.Tensor]:
        draw_seed, accept_seed = seeds.split(seed, 2)
        branches = [
            lambda: _coordinates(half.vector, others, proposal, draw_seed),
            lambda: _differential_evolution(half.vector, others, proposal, draw_seed),
            lambda: _autoregressive(half.vector, proposal, draw_seed),
        ]
        vector, correction = tf.switch_case(kind, branches)
        new = self._target(vector, data)
        log_ratio = new.log_prior - half.log_prior + temperature * (new.log_likelihood - half.log_likelihood)
        uniform = _uniform(tf.shape(log_ratio), accept_seed)
        accept = tf.math.log(uniform) < log_ratio + correction
        chosen = Population(
            tf.where(accept[:, None], new.vector, half.vector),
            tf.where(accept, new.log_prior, half.log_prior),
            tf.where(accept, new.log_likelihood, half.log_likelihood),
        )
        return chosen, tf.reduce_mean(tf.cast(accept, tf.float32))


def _coordinates(
    vector: tf.Tensor, others: tf.Tensor, proposal: Proposal, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    mask_seed, seed = seeds.split(seed, 2)
    mask, count = _mask(vector, mask_seed)
    return vector + mask * _step(vector, others, count, proposal, 0, seed), tf.zeros_like(vector[:, 0])


def _differential_evolution(
    vector: tf.Tensor, others: tf.Tensor, proposal: Proposal, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    count = tf.constant(float(vector.shape[1]))
    return vector + _step(vector, others, count, proposal, 1, seed), tf.zeros_like(vector[:, 0])


def _autoregressive(vector: tf.Tensor, proposal: Proposal, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The t is a normal of random scale: draw that scale given the particle, then move within the normal."""
    scale_seed, noise_seed, gamma_seed = seeds.split(seed, 3)
    rows, dimension = tf.shape(vector)[0], vector.shape[1]
    # A chi-squared number as a sum of squares, which XLA can compile.
    normals = _normal((rows, _DEGREES_OF_FREEDOM + dimension), gamma_seed)
    distance = squared_distance(vector, proposal.mean, proposal.whitening)
    variance = (_DEGREES_OF_FREEDOM + distance) / tf.reduce_sum(normals**2, axis=1)
    step = tf.minimum(proposal.scales[2] * _spread(vector, scale_seed), 1.0)
    noise = tf.matmul(_normal(tf.shape(vector), noise_seed), proposal.axes, transpose_b=True)
    moved = (
        proposal.mean + tf.sqrt(1.0 - step**2) * (vector - proposal.mean) + step * tf.sqrt(variance)[:, None] * noise
    )
    moved_distance = squared_distance(moved, proposal.mean, proposal.whitening)
    log_ratio = tf.math.log1p(moved_distance / _DEGREES_OF_FREEDOM)
    log_ratio -= tf.math.log1p(distance / _DEGREES_OF_FREEDOM)
    return moved, 0.5 * (_DEGREES_OF_FREEDOM + dimension) * log_ratio


def squared_distance(vector: tf.Tensor, mean: tf.Tensor, whitening: tf.Tensor) -> tf.Tensor:
    """Squared Mahalanobis distance from the mean (n,)."""
    return tf.reduce_sum(tf.matmul(vector - mean, whitening) ** 2, axis=1)


def _step(
    vector: tf.Tensor, others: tf.Tensor, count: tf.Tensor, proposal: Proposal, kind: int, seed: tf.Tensor
) -> tf.Tensor:
    """Along the difference of two particles of the other half, for moves of so many coordinates (n, d)."""
    scale_seed, full_seed, pair_seed, noise_seed = seeds.split(seed, 4)
    scale = proposal.scales[kind] * _spread(vector, scale_seed) * 2.38 / tf.sqrt(2.0 * count)
    scale = tf.where(_uniform(tf.shape(scale), full_seed) < _FULL_DIFFERENCE[kind], 1.0, scale)
    pairs = _integers((tf.shape(vector)[0], 2), pair_seed, tf.shape(others)[0])
    # Without noise, particles could only reach values that differ by what others differ by.
    noise = 1e-3 * tf.norm(proposal.axes, axis=1) * _normal(tf.shape(vector), noise_seed)
    return scale * (tf.gather(others, pairs[:, 0]) - tf.gather(others, pairs[:, 1])) + noise


def _mask(vector: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Which coordinates move (n, d), at least one, and how many (n, 1)."""
    share_seed, one_seed, seed = seeds.split(seed, 3)
    rows, dimension = tf.shape(vector)[0], vector.shape[1]
    number = _integers((rows,), share_seed, len(_SHARES))
    share = tf.gather(tf.constant(_SHARES), number)[:, None]
    one = tf.one_hot(_integers((rows,), one_seed, dimension), dimension)
    mask = tf.maximum(one, tf.cast(_uniform((rows, dimension), seed) < share, tf.float32))
    return mask, tf.reduce_sum(mask, axis=1, keepdims=True)


def _spread(vector: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Steps of all sizes, from an eighth to twice the scale (n, 1): no one size suits all parts of a posterior."""
    return 2.0 ** (4.0 * _uniform((tf.shape(vector)[0], 1), seed) - 3.0)


# Philox by name: what TensorFlow selects under XLA on a CPU is thirty times slower, and would cost more than most
# likelihoods.
def _normal(shape: Any, seed: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_normal(shape, seed, alg="philox")


def _uniform(shape: Any, seed: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform(shape, seed, alg="philox")


def _integers(shape: Any, seed: tf.Tensor, below: int | tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform(shape, seed, maxval=below, dtype=tf.int32, alg="philox")
