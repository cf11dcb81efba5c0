"""The highest point of a posterior's density, uphill from its best draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.bijections.condition import Condition
from bayesinn.posterior.model import PosteriorModel

# Draws of an observation to climb from: several, as there may be several modes.
STARTS = 8
# Where draws have unit covariance, an error of a unit halves with each, or nearly.
_STEPS = 60
_LONGER = 1.5
_SHORTER = 0.5
# Of each variance, so that few draws of many parameters have a covariance of full rank.
_INDEPENDENT = 0.1


def spread(vectors: np.ndarray) -> np.ndarray:
    """Return roots (n, d, d) of the covariances of vectors (n, draws, d), of full rank."""
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    covariance = np.einsum("nki,nkj->nij", centred, centred) / vectors.shape[1]
    alone = np.eye(vectors.shape[2]) * covariance
    least = 1e-12 * np.eye(vectors.shape[2])
    mixed = (1.0 - _INDEPENDENT) * covariance + _INDEPENDENT * alone + least
    return np.linalg.cholesky(mixed).astype(np.float32)


def climb(
    model: PosteriorModel, vectors: tf.Tensor, roots: tf.Tensor, condition: Condition
) -> tf.Tensor:
    """Return vectors (n, d) where the density of parameters is highest, uphill from others.

    Parameters
    ----------
    vectors : tensor (n, d), where to start
    roots : tensor (n, d, d), of the covariances of draws
    condition : mapping of name to tensor (n, ...)
    """
    space = model.parameters

    def place(units: tf.Tensor) -> tf.Tensor:
        vector = vectors + tf.linalg.matvec(roots, units)
        return tf.clip_by_value(vector, -space.reach, space.reach)

    def height(units: tf.Tensor) -> tf.Tensor:
        vector = place(units)
        # The density on the parameters' own scale, whose mode is another one.
        log_det = space.to_vector(space.from_vector(vector))[1]
        return model.network.flow.log_prob(vector, condition) + log_det

    def step(units: tf.Tensor, highest: tf.Tensor, slope: tf.Tensor, size: tf.Tensor) -> Any:
        moved = units + size[:, None] * slope
        value, its_slope = tfp.math.value_and_gradient(height, moved)
        better = value > highest
        return (
            tf.where(better[:, None], moved, units),
            tf.where(better, value, highest),
            tf.where(better[:, None], its_slope, slope),
            size * tf.where(better, _LONGER, _SHORTER),
        )

    start = tf.zeros_like(vectors)
    highest, slope = tfp.math.value_and_gradient(height, start)
    loop = (start, highest, slope, _SHORTER * tf.ones_like(highest))
    units, *_ = tf.while_loop(lambda *_: True, step, loop, maximum_iterations=_STEPS)
    return place(units)
