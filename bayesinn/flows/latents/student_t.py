"""The joint Student-t distribution, a latent with heavy tails."""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import as_vectors
from bayesinn.core.validation import check_number
from bayesinn.flows.latents.latent import Latent, Seed, check_seed


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
