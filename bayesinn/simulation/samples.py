"""A prior that is given by samples: the rows of a data set, with noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_number

tfd = tfp.distributions
tfb = tfp.bijectors


class Samples(tfd.Distribution):
    """Prior defined by a data set: one of its rows at random, with Gaussian noise.

    Use it for parameters whose prior nobody can write down, such as pictures. The noise makes it a
    kernel density estimate; without noise, a network would learn to recall single rows.

    Parameters
    ----------
    values : array (n, *event)
    noise : float, standard deviation of each element around a row, above zero

    Examples
    --------
    >>> import bayesinn as bi
    >>> import numpy as np
    >>> pictures = np.random.default_rng(1).uniform(size=(100, 8, 8, 1))
    >>> @bi.simulator(prior={"picture": bi.Samples(pictures, noise=0.05)})
    ... def blurred(parameters, seed):
    ...     return {"seen": tf.nn.avg_pool2d(parameters["picture"], 3, 1, "SAME")}
    >>> blurred.sample(10, seed=1)["picture"].shape
    (10, 8, 8, 1)
    """

    def __init__(self, values: Any, noise: float, name: str = "Samples") -> None:
        self.noise = check_number("Samples, argument 'noise'", noise, above=0)
        values = np.asarray(values, np.float32)
        if values.ndim == 0 or len(values) == 0 or not np.isfinite(values).all():
            got = f"shape {values.shape}"
            if values.size:
                got += ", not all finite"
            raise InputError(
                "Samples, argument 'values'",
                expected="finite numbers, an array (n, *event)",
                got=got,
                do="leave out rows with missing values",
            )
        # Written into a graph, a data set would be copied with each of its versions.
        with tf.init_scope():
            self.values = tf.Variable(values, trainable=False)
        super().__init__(
            dtype=tf.float32,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters={"values": self.values, "noise": noise, "name": name},
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: int | None = None) -> dict[str, Any]:
        return {}

    def _batch_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _event_shape(self) -> tf.TensorShape:
        return self.values.shape[1:]

    def _default_event_space_bijector(self) -> tfb.Bijector:
        return tfb.Identity()

    def _sample_n(self, n: int | tf.Tensor, seed: Any = None) -> tf.Tensor:
        of_rows, of_noise = tfp.random.split_seed(seed, n=2)
        rows = tf.random.stateless_uniform(
            [n], of_rows, maxval=self.values.shape[0], dtype=tf.int32, alg="philox"
        )
        drawn = tf.gather(self.values, rows)
        return drawn + self.noise * tf.random.stateless_normal(
            tf.shape(drawn), of_noise, alg="philox"
        )

    def _log_prob(self, value: tf.Tensor) -> tf.Tensor:
        size = math.prod(self.values.shape[1:])
        rows = tf.reshape(self.values, (-1, size))

        def density(one: tf.Tensor) -> tf.Tensor:
            squares = tf.reduce_sum(((rows - one) / self.noise) ** 2, axis=1)
            return tf.reduce_logsumexp(-0.5 * squares)

        # One after another: distances of thousands of pictures from each other would fill memory.
        found = tf.map_fn(density, tf.reshape(value, (-1, size)))
        constant = size * (0.5 * math.log(2.0 * math.pi) + math.log(self.noise))
        log_prob = found - constant - math.log(self.values.shape[0])
        return tf.reshape(log_prob, tf.shape(value)[: len(value.shape) - len(self.event_shape)])
