"""Moves of many particles at once that leave a tempered posterior invariant."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy.optimize import brentq
from scipy.special import gammaln, logsumexp

from bayesinn.core import seeds
from bayesinn.reference.smc_target import Population

# They take turns.
KINDS = ("coordinates", "differential evolution", "autoregressive")
# Shares of coordinates that a move of the first kind changes; 0 stands for a single one.
_SHARES = (0.0, 0.0, 0.1)
# Probability that a move of the first or second kind takes the full difference of two particles.
_FULL_DIFFERENCE = (0.5, 0.1)
_DEGREES_OF_FREEDOM = 5.0


class StudentT(NamedTuple):
    """A multivariate Student t distribution with five degrees of freedom.

    The columns of ``axes`` (d, d) are the principal axes, each as long as the sd along it.
    ``whitening`` is the transposed inverse of ``axes``.
    """

    mean: tf.Tensor
    axes: tf.Tensor
    whitening: tf.Tensor
    log_norm: tf.Tensor

    @classmethod
    def fit(cls, vector: np.ndarray) -> "StudentT":
        """Return the distribution with the mean of vectors (n, d), and their covariance as scale.

        It is wider than the normal distribution with this covariance.
        """
        vector = np.asarray(vector, np.float64)
        covariance = np.atleast_2d(np.cov(vector, rowvar=False))
        # Particles of a narrow posterior may agree in a coordinate up to rounding.
        covariance += np.diag(1e-4 * np.diag(covariance) + 1e-12)
        variances, directions = np.linalg.eigh(covariance)
        sds = np.sqrt(variances)
        nu = _DEGREES_OF_FREEDOM
        dimension = len(variances)
        log_norm = (
            gammaln(0.5 * (nu + dimension))
            - gammaln(0.5 * nu)
            - 0.5 * dimension * np.log(nu * np.pi)
        )
        values = (
            vector.mean(axis=0),
            directions * sds,
            directions / sds,
            log_norm - float(np.log(sds).sum()),
        )
        return cls(*(tf.constant(value, tf.float32) for value in values))

    def squared_distance(self, vector: tf.Tensor) -> tf.Tensor:
        """Return squared Mahalanobis distances (n,) of vectors (n, d) from the mean."""
        return tf.reduce_sum(tf.matmul(vector - self.mean, self.whitening) ** 2, axis=1)

    def log_prob(self, vector: tf.Tensor) -> tf.Tensor:
        """Return log densities (n,) of vectors (n, d)."""
        half = 0.5 * (_DEGREES_OF_FREEDOM + vector.shape[1])
        return self.log_norm - half * tf.math.log1p(
            self.squared_distance(vector) / _DEGREES_OF_FREEDOM
        )

    def sample(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        normal_seed, gamma_seed = seeds.split(seed, 2)
        normal = _normal((n, self.mean.shape[0]), normal_seed)
        half = 0.5 * _DEGREES_OF_FREEDOM
        precision = tf.random.stateless_gamma((n, 1), gamma_seed, half, half)
        return self.mean + tf.matmul(normal / tf.sqrt(precision), self.axes, transpose_b=True)


class Proposal(NamedTuple):
    """How moves are drawn: a step factor for each kind (3,), and a Student t.

    The Student t has the moments of all particles.
    """

    scales: tf.Tensor
    law: StudentT


def move(
    target: Callable[[tf.Tensor, Any], Population],
    population: Population,
    count: tf.Tensor,
    temperature: tf.Tensor,
    proposal: Proposal,
    seed: tf.Tensor,
    data: Any,
) -> tuple[Population, tf.Tensor]:
    """Make ``count`` Metropolis moves of each particle; return population and acceptance (3,).

    Each of the three kinds of moves has an acceptance of its own.

    Each half of the particles moves given the other (Goodman and Weare 2010, Ensemble samplers with
    affine invariance, CAMCoS 5): a particle's partners don't depend on itself, so that each move
    leaves the tempered posterior invariant. The proposal is fixed for all these moves; the
    influence of one particle on it falls with their number.

    The first kind changes one or a few coordinates, which suits parameters that the data say little
    about or that are rounded to whole numbers. Differential evolution (ter Braak 2006, Statistics
    and Computing 16) is a step of all coordinates along the difference of two other particles; the
    full difference leads from one mode to another. The autoregressive move (Grumitt, Karamanis and
    Seljak 2024, Inverse Problems 40), ``mean + rho (x - mean) + noise``, leaves a multivariate
    Student t fitted to the particles invariant, so that its steps needn't shrink with the
    dimension. Far from a normal posterior its steps get small, as in a random walk with the
    particles' covariance.
    """

    def one_half(
        step: tf.Tensor, half: Population, others: Population, accepted: tf.Tensor
    ) -> tuple[Any, ...]:
        kind = step // 2 % len(KINDS)
        draw_seed, accept_seed = seeds.split(seeds.fold_in(seed, step), 2)
        steps = (_coordinates, _differential_evolution, _autoregressive)
        branches = [
            lambda step=step: step(half.vector, others.vector, proposal, draw_seed)
            for step in steps
        ]
        vector, correction = tf.switch_case(kind, branches)
        new = target(vector, data)
        log_ratio = (
            new.log_prior
            - half.log_prior
            + temperature * (new.log_likelihood - half.log_likelihood)
        )
        accept = tf.math.log(_uniform(tf.shape(log_ratio), accept_seed)) < log_ratio + correction
        moved = Population(
            tf.where(accept[:, None], new.vector, half.vector),
            tf.where(accept, new.log_prior, half.log_prior),
            tf.where(accept, new.log_likelihood, half.log_likelihood),
        )
        rate = tf.reduce_mean(tf.cast(accept, tf.float32))
        return step + 1, others, moved, accepted + rate * tf.one_hot(kind, len(KINDS))

    # A loop over halves, which swap places, contains the likelihood once: it compiles in half the
    # time.
    halves = (
        Population(*part)
        for part in zip(*(tf.split(value, 2) for value in population), strict=True)
    )
    start = (tf.constant(0), *halves, tf.zeros(len(KINDS)))
    _, first, second, accepted = tf.while_loop(lambda step, *_: step < 2 * count, one_half, start)
    joined = Population(*(tf.concat(parts, axis=0) for parts in zip(first, second, strict=True)))
    turns = 2 * ((count + len(KINDS) - 1 - tf.range(len(KINDS))) // len(KINDS))
    return joined, accepted / tf.cast(tf.maximum(turns, 1), tf.float32)


# Each kind returns new vectors (n, d) for those of one half, and the log ratio (n,) of the
# proposal's densities.
Step = tuple[tf.Tensor, tf.Tensor]


def _coordinates(vector: tf.Tensor, others: tf.Tensor, proposal: Proposal, seed: tf.Tensor) -> Step:
    mask_seed, step_seed = seeds.split(seed, 2)
    share_seed, one_seed, coordinate_seed = seeds.split(mask_seed, 3)
    rows = tf.shape(vector)[0]
    dimension = vector.shape[1]
    drawn = _integers((rows,), share_seed, maxval=len(_SHARES))
    share = tf.gather(tf.constant(_SHARES), drawn)
    changed = _uniform((rows, dimension), coordinate_seed) < share[:, None]
    # At least one coordinate.
    one = tf.one_hot(_integers((rows,), one_seed, maxval=dimension), dimension)
    mask = tf.maximum(one, tf.cast(changed, tf.float32))
    count = tf.reduce_sum(mask, axis=1, keepdims=True)
    step = _difference(vector, others, count, proposal, 0, step_seed)
    symmetric = tf.zeros_like(vector[:, 0])
    return vector + mask * step, symmetric


def _differential_evolution(
    vector: tf.Tensor, others: tf.Tensor, proposal: Proposal, seed: tf.Tensor
) -> Step:
    count = tf.constant(float(vector.shape[1]))
    step = _difference(vector, others, count, proposal, 1, seed)
    symmetric = tf.zeros_like(vector[:, 0])
    return vector + step, symmetric


def _autoregressive(
    vector: tf.Tensor, others: tf.Tensor, proposal: Proposal, seed: tf.Tensor
) -> Step:
    """Draw the normal scale of a Student t, a mixture of normals; move within that normal."""
    scale_seed, noise_seed, gamma_seed = seeds.split(seed, 3)
    rows = tf.shape(vector)[0]
    dimension = vector.shape[1]
    law = proposal.law
    # A chi-squared number as a sum of squares, which XLA can compile.
    normals = _normal((rows, int(_DEGREES_OF_FREEDOM) + dimension), gamma_seed)
    distance = law.squared_distance(vector)
    variance = (_DEGREES_OF_FREEDOM + distance) / tf.reduce_sum(normals**2, axis=1)
    step = tf.minimum(proposal.scales[2] * _spread(vector, scale_seed), 1.0)
    noise = tf.matmul(_normal(tf.shape(vector), noise_seed), law.axes, transpose_b=True)
    moved = (
        law.mean
        + tf.sqrt(1.0 - step**2) * (vector - law.mean)
        + step * tf.sqrt(variance)[:, None] * noise
    )
    log_ratio = tf.math.log1p(law.squared_distance(moved) / _DEGREES_OF_FREEDOM)
    log_ratio -= tf.math.log1p(distance / _DEGREES_OF_FREEDOM)
    return moved, 0.5 * (_DEGREES_OF_FREEDOM + dimension) * log_ratio


def _difference(
    vector: tf.Tensor,
    others: tf.Tensor,
    count: tf.Tensor,
    proposal: Proposal,
    kind: int,
    seed: tf.Tensor,
) -> tf.Tensor:
    """Draw steps (n, d) along differences of two particles of the other half.

    Their scale suits moves of ``count`` coordinates.
    """
    scale_seed, full_seed, pair_seed, noise_seed = seeds.split(seed, 4)
    scale = proposal.scales[kind] * _spread(vector, scale_seed) * 2.38 / tf.sqrt(2.0 * count)
    scale = tf.where(_uniform(tf.shape(scale), full_seed) < _FULL_DIFFERENCE[kind], 1.0, scale)
    pairs = _integers((tf.shape(vector)[0], 2), pair_seed, maxval=tf.shape(others)[0])
    # Without noise, particles could only reach values that differ by what others differ by.
    noise = 1e-3 * tf.norm(proposal.law.axes, axis=1) * _normal(tf.shape(vector), noise_seed)
    return scale * (tf.gather(others, pairs[:, 0]) - tf.gather(others, pairs[:, 1])) + noise


def _spread(vector: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw factors (n, 1) from an eighth to two: no single step suits all parts of a posterior."""
    return 2.0 ** (4.0 * _uniform((tf.shape(vector)[0], 1), seed) - 3.0)


# Philox by name: what TensorFlow selects under XLA on a CPU is thirty times slower, and would cost
# more than most likelihoods.
_normal = functools.partial(tf.random.stateless_normal, alg="philox")
_uniform = functools.partial(tf.random.stateless_uniform, alg="philox")
_integers = functools.partial(_uniform, dtype=tf.int32)


# In nats. Larger steps of log densities in single precision change posteriors.
MOST_ROUNDING = 0.25
_SMALLEST_LOG_STEP = -100.0


def next_temperature(
    log_likelihood: np.ndarray, temperature: float, ess: float
) -> tuple[float, np.ndarray, float]:
    """Return the next temperature, normalised weights, and the log of their unnormalised mean.

    The effective sample size falls to the share ``ess`` of all particles, if the way is so long.
    """
    values = log_likelihood.astype(np.float64)

    def log_excess(step: float) -> float:
        """Return the log of the effective size after a step, relative to the one wanted."""
        log_size = 2.0 * logsumexp(step * values) - logsumexp(2.0 * step * values)
        return float(log_size - np.log(len(values) * ess))

    def of_log_step(log_step: float) -> float:
        return log_excess(np.exp(log_step))

    left = 1.0 - temperature
    step = left
    if log_excess(left) < 0.0:
        # Steps may be smaller than any absolute tolerance: log likelihoods of single draws may
        # differ by 1e14.
        step = float(np.exp(brentq(of_log_step, _SMALLEST_LOG_STEP, np.log(left))))
    upper = 1.0 if step == left else temperature + step
    total = logsumexp(step * values)
    return upper, np.exp(step * values - total), float(total - np.log(len(values)))


def systematic(weights: np.ndarray, uniform: float, count: int | None = None) -> np.ndarray:
    """Return rows, each as often as its expected number, rounded up or down; by default n of n."""
    count = len(weights) if count is None else count
    positions = (np.arange(count) + uniform) / count
    return np.minimum(np.searchsorted(np.cumsum(weights), positions), len(weights) - 1)


def relative_variance(roots: np.ndarray) -> float:
    """Return the relative variance of an evidence, from the first particles of the last ones.

    ``roots`` (n,) are the numbers of the first particles that the last ones descend from. The
    estimate of Lee and Whiteley (2018), without what multinomial resampling would add: it is a
    little too large for systematic resampling.

    Examples
    --------
    >>> relative_variance(np.arange(4)), relative_variance(np.array([3, 3, 3, 3]))
    (0.0, 0.75)
    """
    shares = np.bincount(roots) / len(roots)
    return float(np.sum(shares**2)) - 1.0 / len(roots)


def mean_correlation(start: np.ndarray, now: np.ndarray) -> float:
    """Return the mean correlation of vectors (n, d) with those at the start, over the elements."""
    first = start - start.mean(axis=0)
    second = now - now.mean(axis=0)
    scale = np.sqrt(np.sum(first**2, axis=0) * np.sum(second**2, axis=0))
    return float(np.mean(np.sum(first * second, axis=0) / np.maximum(scale, 1e-30)))


def rounding(log_density: np.ndarray) -> float:
    """Return the distance of neighbouring numbers in single precision at the highest density.

    Examples
    --------
    >>> rounding(np.array([-30.0, -1e8]))
    1.9073486328125e-06
    """
    return float(abs(np.spacing(np.float32(log_density.max()))))
