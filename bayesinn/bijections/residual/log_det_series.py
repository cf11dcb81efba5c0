"""Estimates of log det(I + J) from a few products of vectors with J.

One estimate is a truncated power series; the other is unbiased.
"""

import math
from dataclasses import dataclass

import keras
import numpy as np
import scipy
import tensorflow as tf

from bayesinn.bijections.residual.linearization import Linearization
from bayesinn.core.configuration import Registered
from bayesinn.core.validation import check_number

# Rarer terms are left out: one that counts a million times does more harm than good. With slopes of
# 0.9 everywhere and five exact terms this changes the expectation by 0.02 per element for
# Geometric(0.5), by 0.07 for Poisson(2.0), and by far less for slopes that vary.
_RAREST = 1e-6


@dataclass(frozen=True)
class Geometric(Registered):
    """The number N >= 1 of further terms in a random series, P(N >= j) = (1 - stop)^(j - 1).

    ``stop`` is the chance to stop after each term. The variance is finite for Jacobians with norm
    below sqrt(1 - stop).
    """

    stop: float = 0.5

    def __post_init__(self) -> None:
        check_number(
            "Geometric, argument 'stop'",
            self.stop,
            above=0,
            below=1,
            do="take 0.5; smaller gives longer series with less noise",
        )

    def survival(self) -> np.ndarray:
        """Return P(N >= j) for j = 1, 2, ..., as far as terms are ever drawn, (most,)."""
        most = 1 + math.floor(math.log(_RAREST) / math.log1p(-self.stop))
        return (1.0 - self.stop) ** np.arange(most)


@dataclass(frozen=True)
class Poisson(Registered):
    """The number N >= 0 of further terms in a random series: Poisson with mean ``rate``."""

    rate: float = 2.0

    def __post_init__(self) -> None:
        check_number("Poisson, argument 'rate'", self.rate, above=0, do="take 2.0")

    def survival(self) -> np.ndarray:
        """Return P(N >= j) for j = 1, 2, ..., as far as terms are ever drawn, (most,)."""
        most = int(scipy.stats.poisson.isf(_RAREST, self.rate))
        return scipy.stats.poisson.sf(np.arange(most), self.rate)


Law = Geometric | Poisson


def roulette_weights(uniform: tf.Tensor, law: Law, exact: int) -> tf.Tensor:
    """Return the weights, each with mean one, of a series of random length (Russian roulette).

    The first ``exact`` terms always count once. A uniform random number () in double precision
    decides the number N of further terms, and term j of these counts 1/P(N >= j) times; see Chen et
    al. (2019), arXiv:1906.02735. The weights (exact + most,), in double precision, are zero from
    where the series ends.
    """
    survival = law.survival()
    drawn = tf.where(uniform < survival, 1.0 / survival, 0.0)
    return tf.concat([tf.ones((exact,), drawn.dtype), drawn], axis=0)


def series_log_det(linear: Linearization, probes: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Estimate log det(I + J) = tr J - tr J^2 / 2 + tr J^3 / 3 - ..., one random vector per row.

    The random vectors serve to estimate the traces.

    The norm of J must be below one. The probes (n, d) are vectors v with mean zero and covariance
    one, or unit vectors for traces without noise. Weights (terms,) of one give the truncated
    series, those of :func:`roulette_weights` an unbiased estimate; the series ends before the first
    zero.

    The gradient is not that of the value but the Neumann series v^T (I - J + J^2 - ...) dJ v with
    the same weights. It has the same mean, and needs no more memory than one product with J,
    however long the series. The series is of the first reference of :class:`Residual`, weights and
    gradient are of the second.
    """
    detached = linear.detached()
    value, summed = _sum_series(detached, probes, tf.cast(weights, probes.dtype))
    surrogate = tf.reduce_sum(tf.stop_gradient(summed) * linear.jacobian_vector(probes), axis=-1)
    # The value of one, the gradient of the other.
    return tf.stop_gradient(value) + (surrogate - tf.stop_gradient(surrogate))


def _sum_series(
    linear: Linearization, probes: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the weighted sums of (-1)^(k+1)/k v^T J^k v, (n,), and of (-1)^k v^T J^k, (n, d)."""
    terms = tf.math.count_nonzero(weights, dtype=tf.int32)
    most = weights.shape[0]
    signed = weights * tf.constant(np.resize([1.0, -1.0], most), weights.dtype)

    def add(
        number: tf.Tensor, vectors: tf.Tensor, value: tf.Tensor, summed: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        summed += signed[number] * vectors
        vectors = linear.vector_jacobian(vectors)
        trace = tf.reduce_sum(vectors * probes, axis=-1)
        value += signed[number] / tf.cast(number + 1, trace.dtype) * trace
        return number + 1, vectors, value, summed

    start = (0, probes, tf.zeros_like(probes[:, 0]), tf.zeros_like(probes))
    *_, value, summed = tf.while_loop(
        lambda number, *_: number < terms, add, start, maximum_iterations=most
    )
    return value, summed


class SeriesNoise(keras.layers.Layer):
    """Draw probes and weights for :func:`series_log_det`, in training only.

    Random numbers come from a Keras seed generator, like those of dropout.
    """

    def __init__(
        self, terms: int, law: Law | None = None, dtype: str | keras.DTypePolicy | None = None
    ) -> None:
        super().__init__(dtype=dtype, autocast=False)
        self.terms = terms
        self.law = law
        self.seed_generator = keras.random.SeedGenerator()
        self.built = True

    def call(self, x: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor] | None:
        """Return probes (n, d) of -1 or 1 for x (n, d), and weights (terms,).

        Outside of training, return None.
        """
        if not training:
            return None
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        signs = tf.random.stateless_uniform(tf.shape(x), seed, 0, 2, dtype=tf.int32, alg="philox")
        probes = tf.cast(2 * signs - 1, x.dtype)
        if self.law is None:
            return probes, tf.ones((self.terms,), x.dtype)
        # One length for all rows: each row with its own would make every batch as slow as its
        # longest series.
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        uniform = tf.random.stateless_uniform((), seed, dtype=tf.float64, alg="philox")
        return probes, roulette_weights(uniform, self.law, self.terms)
