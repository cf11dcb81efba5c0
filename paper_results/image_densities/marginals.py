"""The prior of an image whose pixels are independent: each with the grey levels that it has."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from baselines import level_chances
from pictures import Pictures

tfd = tfp.distributions
tfb = tfp.bijectors


def pixel_prior(pictures: Pictures) -> tfd.Distribution:
    """Return the law of images in [0, 1] with independent pixels, as frequent as in training.

    Within a level, each number is as likely as any other.
    """
    normal = tfd.Normal(tf.zeros(pictures.shape), 1.0)
    chances = level_chances(pictures.train, pictures.levels)
    return tfd.TransformedDistribution(normal, Quantiles(chances))


class Quantiles(tfb.Bijector):
    """The map of normal numbers (n, *event) to pixels of given laws, elementwise.

    ``chances`` (*event, levels) are those of the levels; within one, the density is constant.
    """

    def __init__(self, chances: np.ndarray) -> None:
        super().__init__(
            forward_min_event_ndims=0, parameters={"chances": chances}, name="quantiles"
        )
        self.levels = chances.shape[-1]
        self._zeros = tf.zeros(chances.shape[:-1])
        chances = chances.reshape(-1, self.levels)
        chances = chances / chances.sum(axis=-1, keepdims=True)
        edges = np.cumsum(chances, axis=-1)
        self._below = tf.constant(edges - chances, tf.float32)
        self._inside = tf.constant(chances, tf.float32)
        self._edges = tf.constant(edges[:, :-1], tf.float32)

    @classmethod
    def _is_increasing(cls) -> bool:
        return True

    def _forward(self, z: tf.Tensor) -> tf.Tensor:
        # A single number, such as an end of the line, is that of all pixels.
        z += self._zeros
        share = tf.reshape(0.5 * tf.math.erfc(-z / np.sqrt(2.0)), (-1, len(self._edges)))
        level = tf.transpose(tf.searchsorted(self._edges, tf.transpose(share), side="right"))
        below, inside = self._of(level)
        within = tf.clip_by_value((share - below) / inside, 0.0, 1.0)
        return tf.reshape((tf.cast(level, z.dtype) + within) / self.levels, tf.shape(z))

    def _inverse(self, x: tf.Tensor) -> tf.Tensor:
        share, _ = self._share(x)
        return tf.reshape(tf.math.ndtri(share), tf.shape(x))

    def _inverse_log_det_jacobian(self, x: tf.Tensor) -> tf.Tensor:
        share, inside = self._share(x)
        z = tf.math.ndtri(share)
        log_normal = -0.5 * z**2 - 0.5 * np.log(2.0 * np.pi)
        return tf.reshape(tf.math.log(self.levels * inside) - log_normal, tf.shape(x))

    def _share(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the distribution functions at x, and the chances of the levels there."""
        values = tf.reshape(x, (-1, len(self._edges))) * float(self.levels)
        level = tf.clip_by_value(tf.cast(tf.floor(values), tf.int32), 0, self.levels - 1)
        below, inside = self._of(level)
        share = below + inside * (values - tf.cast(level, values.dtype))
        return tf.clip_by_value(share, 1e-6, 1.0 - 1e-6), inside

    def _of(self, level: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the chances below levels (n, pixels), and of them."""
        place = level + self.levels * tf.range(len(self._edges))
        return (tf.gather(tf.reshape(part, [-1]), place) for part in (self._below, self._inside))
