"""Latent distributions: what the flow maps parameters to."""

import math
import random
from collections.abc import Sequence

import keras
import numpy as np
import scipy
import tensorflow as tf

from bayesinn.bijections.bijection import as_vectors
from bayesinn.core import seeds
from bayesinn.core.configuration import Configured
from bayesinn.core.errors import InputError, check_number

Seed = tf.Tensor | Sequence[int]


class Latent(Configured, keras.layers.Layer):
    """A distribution over events, the other end of a flow.

    An author derives from this class, writes :meth:`log_prob` and :meth:`sample`, and :meth:`build`
    if it has weights.
    """

    def __init__(self) -> None:
        # Without the options of a Keras layer, so that a latent without arguments needs no
        # constructor of its own.
        super().__init__()

    def build(self, event_shape: Sequence[int]) -> None:
        """Make the weights for events of a shape."""

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """Return the log density (n,) of events z (n, *event), constants included."""
        raise NotImplementedError

    def sample(self, shape: Sequence[int | tf.Tensor], seed: Seed) -> tf.Tensor:
        """Draw events of shape (n, *event), a pure function of the seed.

        The seed is two integers or an int32 tensor (2,).
        """
        raise NotImplementedError

    def _add_learned(self, name: str, start: np.ndarray) -> keras.Variable:
        return self.add_weight(shape=start.shape, initializer=start, autocast=False, name=name)


class Normal(Latent):
    """The standard normal distribution.

    Examples
    --------
    >>> import tensorflow as tf
    >>> round(float(Normal().log_prob(tf.zeros((1, 2)))[0]), 4)
    -1.8379
    """

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        z = as_vectors(z)
        return -0.5 * (tf.reduce_sum(z**2, axis=-1) + z.shape[-1] * math.log(2.0 * math.pi))

    def sample(self, shape: Sequence[int | tf.Tensor], seed: Seed) -> tf.Tensor:
        return tf.random.stateless_normal(
            shape, check_seed(seed), dtype=self.variable_dtype, alg="philox"
        )


def check_seed(seed: Seed) -> tf.Tensor:
    """Return the seed as an int32 tensor (2,)."""
    pair = tf.convert_to_tensor(seed)
    if pair.shape != (2,):
        raise InputError(
            "Argument 'seed'",
            expected="two integers, or an int32 tensor of shape (2,)",
            got=f"shape {tuple(pair.shape)}",
            do="give a pair such as (1, 2)",
        )
    return tf.cast(pair, tf.int32)


#: Smallest log scale: without it, a component that shrinks onto a repeated point has an unbounded
#: likelihood.
SMALLEST_LOG_SCALE = -6.0
#: Of densities of parameters, whose posteriors may be far narrower than their priors.
NARROWEST_LOG_SCALE = -10.0


class GaussianMixture(Latent):
    r"""A Gaussian mixture, :math:`\sum_k w_k N(\mu_k, \mathrm{diag}\,\sigma_k^2)`.

    Its weights, means and scales are trained with the flow.

    A continuous map can't split the single mode of a normal distribution: it leaves bridges of
    density between the modes of the data. A mixture with a component for each mode needs no split.
    It doesn't depend on the condition; the bijection must learn modes that exist for some
    conditions only.

    Parameters
    ----------
    components : int, number of Gaussians
    spread : float, standard deviation of the initial means, which fill a normal distribution evenly
    scale : float
        Initial standard deviation of each component: wide, so that each covers all data at first.
        Log scales stay above -6.

    References
    ----------
    Papamakarios, Pavlakou and Murray (2017), Masked autoregressive flow for density estimation,
    arXiv:1705.07057.
    Izmailov, Kirichenko, Finzi and Wilson (2020), Semi-supervised learning with normalizing flows,
    arXiv:1912.13025.

    Examples
    --------
    >>> import tensorflow as tf
    >>> GaussianMixture(components=3).log_prob(tf.zeros((5, 2))).shape
    TensorShape([5])
    """

    def __init__(self, components: int = 4, spread: float = 1.0, scale: float = 1.0) -> None:
        super().__init__()
        subject = "GaussianMixture, argument"
        for name, value in (("spread", spread), ("scale", scale)):
            check_number(
                f"{subject} {name!r}",
                value,
                above=0,
                do="leave it out: the start suits data of unit scale",
            )
        self.components = components
        self.spread = spread
        self.scale = scale

    def build(self, event_shape: Sequence[int]) -> None:
        # Points that fill a standard normal distribution evenly.
        points = scipy.stats.qmc.Halton(math.prod(event_shape), rng=random.randrange(2**32)).random(
            self.components
        )
        means = self.spread * scipy.stats.norm.ppf(np.clip(points, 1e-6, 1.0 - 1e-6))
        self.logits = self._add_learned("logits", np.zeros(self.components))
        self.means = self._add_learned("means", means)
        raw = float(unfloored(math.log(self.scale)))
        self.raw_log_scales = self._add_learned("raw_log_scales", np.full(means.shape, raw))

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        z = as_vectors(z)
        log_weights, means, log_scales = self._parameters(z.shape[-1], z.dtype)
        return tf.reduce_logsumexp(log_weights + gaussian_log_probs(z, means, log_scales), axis=-1)

    def sample(self, shape: Sequence[int | tf.Tensor], seed: Seed) -> tf.Tensor:
        n = shape[0]
        dimension = int(math.prod(shape[1:]))
        log_weights, means, log_scales = self._parameters(dimension, self.variable_dtype)
        for_component, for_noise = seeds.split(check_seed(seed), 2)
        uniform = tf.random.stateless_uniform(
            (n, 1), for_component, dtype=self.variable_dtype, alg="philox"
        )
        component = choose_component(log_weights, uniform)
        noise = tf.random.stateless_normal(
            (n, dimension), for_noise, dtype=self.variable_dtype, alg="philox"
        )
        vectors = tf.gather(means, component) + tf.exp(tf.gather(log_scales, component)) * noise
        return tf.reshape(vectors, shape)

    def _parameters(
        self, dimension: int, dtype: tf.DType | str
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        if not self.built:
            self.build((dimension,))
        weights = self.logits, self.means, self.raw_log_scales
        logits, means, raw = (tf.cast(tf.convert_to_tensor(weight), dtype) for weight in weights)
        return tf.nn.log_softmax(logits), means, floored(raw)


def choose_component(log_weights: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Return numbers (...) of components with log weights (..., k), from uniform draws (..., 1)."""
    # The last edge is left out: rounding may make it less than one, so that no component would be
    # chosen.
    edges = tf.cumsum(tf.exp(log_weights), axis=-1)[..., :-1]
    return tf.reduce_sum(tf.cast(uniform >= edges, tf.int32), axis=-1)


def gaussian_log_probs(z: tf.Tensor, means: tf.Tensor, log_scales: tf.Tensor) -> tf.Tensor:
    """Return log densities (n, k) of vectors z (n, d) under k diagonal Gaussians.

    Means and log scales are (k, d).
    """
    # Differences first: an expanded square would cancel digits for means far from zero.
    standardised = (z[:, None, :] - means) * tf.exp(-log_scales)
    constant = 0.5 * z.shape[-1] * math.log(2.0 * math.pi)
    return (
        -0.5 * tf.reduce_sum(standardised**2, axis=-1)
        - tf.reduce_sum(log_scales, axis=-1)
        - constant
    )


def floored(raw: tf.Tensor, lowest: float = SMALLEST_LOG_SCALE) -> tf.Tensor:
    """Return log scales from raw weights: the same values, but softly kept above the lowest.

    A hard floor would have no slope there.
    """
    return lowest + tf.nn.softplus(raw - lowest)


def unfloored(log_scale: float | np.ndarray | tf.Tensor) -> tf.Tensor:
    """Return the raw weights of log scales, the inverse of :func:`floored`.

    Log scales below -6 count as just above it.
    """
    excess = tf.maximum(log_scale - SMALLEST_LOG_SCALE, 1e-2)
    return SMALLEST_LOG_SCALE + excess + tf.math.log(-tf.math.expm1(-excess))


class StudentT(Latent):
    """The joint Student-t distribution: the normal with heavier tails.

    The influence of an outlier on the weights is bounded, so that rare extreme simulations don't
    spoil the training. All elements of a vector share one scale: this is not a product of
    one-dimensional t distributions.

    Parameters
    ----------
    degrees_of_freedom : float, smaller for heavier tails; the initial value if learnable
    learnable : bool, whether they are trained; they stay above 2, so that the variance is finite

    References
    ----------
    Alexanderson and Henter (2020), Robust model training and generalisation with Studentising
    flows, arXiv:2006.06599.
    Bailey (1994), Polar generation of random variates with the t-distribution, Mathematics of
    Computation 62.

    Examples
    --------
    >>> import tensorflow as tf
    >>> round(float(StudentT(degrees_of_freedom=5.0).log_prob(tf.constant([[1.0, 2.0]]))[0]), 4)
    -4.2639
    """

    def __init__(self, degrees_of_freedom: float = 50.0, learnable: bool = False) -> None:
        super().__init__()
        minimum, do = (
            (2, "take 20 to 100, or learnable=False") if learnable else (0, "take 20 to 100")
        )
        check_number(
            "StudentT, argument 'degrees_of_freedom'", degrees_of_freedom, above=minimum, do=do
        )
        self.degrees_of_freedom = degrees_of_freedom
        self.learnable = learnable

    def build(self, event_shape: Sequence[int]) -> None:
        if self.learnable:
            excess = self.degrees_of_freedom - 2.0
            # The inverse of softplus, written so that it doesn't overflow.
            start = excess + math.log(-math.expm1(-excess))
            self.raw = self._add_learned("raw", np.array(start))

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        z = as_vectors(z)
        degrees = self._degrees()
        half_sum = 0.5 * (degrees + z.shape[-1])
        # In double precision: for many degrees of freedom, two huge numbers differ by a small one.
        constant = tf.math.lgamma(half_sum) - tf.math.lgamma(0.5 * degrees)
        constant -= 0.5 * z.shape[-1] * tf.math.log(math.pi * degrees)
        distance = tf.reduce_sum(z**2, axis=-1) / tf.cast(degrees, z.dtype)
        return tf.cast(constant, z.dtype) - tf.cast(half_sum, z.dtype) * tf.math.log1p(distance)

    def sample(self, shape: Sequence[int | tf.Tensor], seed: Seed) -> tf.Tensor:
        # Bailey's method, which resembles Box-Muller: each pair of elements has a radius in closed
        # form and an angle. Given the pairs before it, a pair is t distributed again; each earlier
        # pair adds two degrees of freedom.
        n = shape[0]
        dimension = math.prod(shape[1:])
        pairs = (dimension + 1) // 2
        uniform = tf.random.stateless_uniform(
            (2, n, pairs), check_seed(seed), dtype=self.variable_dtype, alg="philox"
        )
        degrees = tf.cast(self._degrees(), uniform.dtype)
        growth = (
            -2.0
            * tf.math.log1p(-uniform[0])
            / (degrees + 2.0 * tf.range(pairs, dtype=uniform.dtype))
        )
        radius = tf.sqrt(
            degrees * tf.exp(tf.cumsum(growth, axis=-1, exclusive=True)) * tf.math.expm1(growth)
        )
        angle = 2.0 * math.pi * uniform[1]
        vectors = tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=-1)[
            :, :dimension
        ]
        return tf.reshape(vectors, shape)

    def _degrees(self) -> tf.Tensor:
        if not self.learnable:
            return tf.constant(self.degrees_of_freedom, tf.float64)
        if not self.built:
            self.build(())
        return 2.0 + tf.nn.softplus(tf.cast(tf.convert_to_tensor(self.raw), tf.float64))
