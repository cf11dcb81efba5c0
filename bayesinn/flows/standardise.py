"""Standardise vectors by an estimate that comes with the condition."""

from __future__ import annotations

import tensorflow as tf

from bayesinn.errors import InputError
from bayesinn.flows.bijection import Bijection


class Standardise(Bijection):
    """Subtract a location and divide by a scale, both part of the condition: z = (x - location) / scale.

    Of a condition (n, c) for vectors (n, d), the first d elements are a first estimate of the vector, the next d the
    location, and the next d the logarithm of the scale, as :class:`bayesinn.summaries.Scoring` gives them. The first
    estimate has no part in the result, but it is taught: to the log density comes minus half its squared distance from
    the vector, as a gradient without a value.

    Examples
    --------
    >>> import tensorflow as tf
    >>> start, location, log_scale = tf.zeros((1, 2)), tf.constant([[1.0, 2.0]]), tf.zeros((1, 2))
    >>> z, _ = Standardise().forward(tf.constant([[4.0, 4.0]]), tf.concat([start, location, log_scale], axis=-1))
    >>> z.numpy().tolist()
    [[3.0, 2.0]]
    """

    def build(self, dimension: int, condition_dimension: int) -> None:
        super().build(dimension, condition_dimension)
        if condition_dimension < 3 * dimension:
            raise InputError(
                "Condition for Standardise",
                expected=f"{3 * dimension} elements or more: estimate, location and log scale of {dimension} each",
                got=f"{condition_dimension}",
                do="summarise with Scoring, as the first of the summaries",
            )

    def forward(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        start, location, log_scale = self._parts(condition)
        # For the network that estimates; gradients by x are those of the density.
        lesson = -0.5 * tf.reduce_sum((tf.stop_gradient(x) - start) ** 2, axis=-1)
        lesson = tf.where(tf.math.is_finite(lesson), lesson, 0.0)
        # The difference first: it is zero exactly, beside whatever log determinant.
        log_det = -tf.reduce_sum(log_scale, axis=-1) + (lesson - tf.stop_gradient(lesson))
        return (x - location) * tf.exp(-log_scale), log_det

    def inverse(self, z: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        _, location, log_scale = self._parts(condition)
        return location + z * tf.exp(log_scale), tf.reduce_sum(log_scale, axis=-1)

    def _parts(self, condition: tf.Tensor) -> list[tf.Tensor]:
        return tf.split(condition[:, : 3 * self.dimension], 3, axis=-1)
