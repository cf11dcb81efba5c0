"""The standard normal distribution, the usual latent."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from bayesinn.flows.latents.latent import Latent, Seed, check_seed


class Normal(Latent):
    """The standard normal distribution.

    Examples
    --------
    >>> import tensorflow as tf
    >>> latent = Normal()
    >>> round(float(latent.log_prob(tf.zeros((1, 2)))[0]), 4)
    -1.8379
    >>> latent.sample((5, 2), seed=(1, 2)).shape
    TensorShape([5, 2])
    """

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        return -0.5 * (tf.reduce_sum(z**2, axis=-1) + z.shape[-1] * math.log(2.0 * math.pi))

    def sample(self, shape: Sequence[int | tf.Tensor], seed: Seed) -> tf.Tensor:
        return tf.random.stateless_normal(shape, check_seed(seed), dtype=self.variable_dtype, alg="philox")
