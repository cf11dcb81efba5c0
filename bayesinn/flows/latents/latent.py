"""The contract of latent distributions, and the default, the standard normal."""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import as_vectors
from bayesinn.core.configuration import Configured
from bayesinn.core.errors import InputError

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
