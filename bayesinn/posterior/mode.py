"""The mode of a posterior's density, uphill from its best draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.bijections.bijection import Condition
from bayesinn.core.compilation import AnyRows, full_precision, in_parts, map_tensors
from bayesinn.posterior.model import PosteriorModel
from bayesinn.simulation.simulations import flatten_draws
from bayesinn.simulation.simulator import Arrays

# Draws of an observation to climb from: several, as there may be several modes.
_STARTS = 8
# Gradient steps. Where draws have unit covariance, each about halves the error.
_STEPS = 60
_LONGER = 1.5
_SHORTER = 0.5
# Weight of the diagonal in the covariance, which then has full rank even with few draws.
_INDEPENDENT = 0.1
# Gradients keep activations. The covariances of one call, of all starts, take half a gigabyte.
_ROWS_PER_CALL = 20_000
_MOST_NUMBERS = 2**27


class ModeFinder:
    """Find the mode of the mixture of the densities of models; compiled once.

    Parameters
    ----------
    models : sequence of PosteriorModel, of the same continuous parameters
    weights : sequence of float, of their densities
    """

    def __init__(self, models: Sequence[PosteriorModel], weights: Sequence[float]) -> None:
        self.models = tuple(models)
        self.weights = tuple(weights)
        self._climb = AnyRows(self._climb_graph, leading=(1, 1, 1))

    @full_precision()
    def find(
        self,
        draws: Arrays,
        log_prob: Callable[[Arrays], np.ndarray],
        conditions: Sequence[Condition],
    ) -> Arrays:
        """Return the parameters (n, *event) of the highest density, uphill from the best draws.

        Parameters
        ----------
        draws : dict of name to array (n, draws, *event)
        log_prob : function of such a dict, which returns densities (n, draws)
        conditions : sequence of a mapping of name to array (n, ...) for each model
        """
        density = log_prob(draws)
        best = np.argsort(-density, axis=1)[:, :_STARTS]
        space = self.models[0].parameters
        vectors = space.to_vector(flatten_draws(draws))[0].numpy().reshape(*density.shape, -1)
        starts = np.take_along_axis(vectors, best[:, :, None], axis=1)
        most = min(_ROWS_PER_CALL, _MOST_NUMBERS // space.dimension**2)
        rows = starts, vectors, tuple(conditions)
        every = in_parts(lambda part, _: self._climb_all(*part), rows, max(1, most // _STARTS))
        found = space.from_vector(tf.constant(every.reshape(-1, space.dimension)))
        values = {
            name: value.numpy().reshape(*every.shape[:2], *value.shape[1:])
            for name, value in found.items()
        }
        highest = np.argmax(np.nan_to_num(log_prob(values), nan=-np.inf), axis=1)
        return {name: value[np.arange(len(value)), highest] for name, value in values.items()}

    def _climb_all(
        self, starts: np.ndarray, vectors: np.ndarray, conditions: Sequence[Condition]
    ) -> np.ndarray:
        """Return vectors (n, starts, d) uphill from others; ``vectors`` (n, draws, d) are draws."""
        repeated = map_tensors(
            lambda part: np.repeat(part, starts.shape[1], axis=0),
            (_spread(np.asarray(vectors)), conditions),
        )
        ends = self._climb(np.reshape(starts, (-1, starts.shape[2])), *repeated)
        return np.reshape(ends, starts.shape)

    def _height(self, vector: tf.Tensor, conditions: Sequence[Condition]) -> tf.Tensor:
        """Return the log density (n,) of parameters, at vectors (n, d) of the first model.

        This density is on the parameters' own scale. That of the vectors has another mode.
        """
        values = self.models[0].parameters.from_vector(vector)
        densities = []
        for model, weight, condition in zip(self.models, self.weights, conditions, strict=True):
            own, log_det = model.parameters.to_vector(values)
            density = model.network.flow.log_prob(own, condition)
            densities.append(density + log_det + np.log(weight).astype(np.float32))
        return tf.reduce_logsumexp(densities, axis=0)

    def _climb_graph(
        self, vectors: tf.Tensor, roots: tf.Tensor, conditions: Sequence[Condition]
    ) -> tf.Tensor:
        """Return vectors (n, d) uphill from others; ``roots`` (n, d, d) are of covariances."""
        reach = self.models[0].parameters.reach

        def place(units: tf.Tensor) -> tf.Tensor:
            vector = vectors + tf.linalg.matvec(roots, units)
            return tf.clip_by_value(vector, -reach, reach)

        def height(units: tf.Tensor) -> tf.Tensor:
            return self._height(place(units), conditions)

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


def _spread(vectors: np.ndarray) -> np.ndarray:
    """Return roots (n, d, d) of the covariances of vectors (n, draws, d), of full rank."""
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    covariance = np.einsum("nki,nkj->nij", centred, centred) / vectors.shape[1]
    alone = np.eye(vectors.shape[2]) * covariance
    least = 1e-12 * np.eye(vectors.shape[2])
    mixed = (1.0 - _INDEPENDENT) * covariance + _INDEPENDENT * alone + least
    return np.linalg.cholesky(mixed).astype(np.float32)
