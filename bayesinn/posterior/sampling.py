"""Evaluate a trained learner: conditions, draws and densities, in compiled calls of bounded size."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import AnyRows
from bayesinn.core.errors import InputError
from bayesinn.posterior.learner import Learner

# Rows in one call: enough to keep the cores busy, little enough for 100 MB of activations at 128 units.
_ROWS_PER_CALL = 200_000
_OBSERVATIONS_PER_CALL = 4096
_MOST_DISCRETE = 3
# For each number of integers, nodes along each. With 8 for one, probabilities of a trained posterior summed to
# 1 +- 0.006, with 32 to 1 +- 0.0008.
_QUADRATURE_NODES = {0: 1, 1: 32, 2: 12, 3: 8}

Arrays = dict[str, np.ndarray]


class Sampler:
    """Compiled evaluation of one learner."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._condition = AnyRows(self._condition_graph, leading=(1,))
        self._sample = AnyRows(self._sample_graph, leading=(1, 0, 0))
        self._log_prob = AnyRows(self._log_prob_graph, leading=(2, 1, 0))
        self._latent = AnyRows(self._latent_graph, leading=(1, 1, 0))

    def condition(self, data: Mapping[str, np.ndarray]) -> tuple[np.ndarray, Arrays]:
        """The flow's condition (n, c) and the standardised inputs (n, ...) of data (n, ...)."""
        n = len(next(iter(data.values())))
        parts = []
        for start in range(0, n, _OBSERVATIONS_PER_CALL):
            chunk = {
                name: tf.convert_to_tensor(data[name][start : start + _OBSERVATIONS_PER_CALL])
                for name in self._learner.data.scalings
            }
            parts.append(tf.nest.map_structure(lambda value: value.numpy(), self._condition(chunk)))
        inputs = {name: np.concatenate([part[1][name] for part in parts]) for name in parts[0][1]}
        return np.concatenate([part[0] for part in parts]), inputs

    def sample(self, condition: np.ndarray, draws: int, seed: tf.Tensor) -> Arrays:
        """Draws (n, draws, *event) for conditions (n, c); a pure function of the seed (2,)."""
        rows = max(1, _ROWS_PER_CALL // draws)
        chunks = []
        for number, start in enumerate(range(0, len(condition), rows)):
            chunk = tf.convert_to_tensor(condition[start : start + rows])
            values = self._sample(chunk, tf.constant(draws), seeds.fold_in(seed, number))
            chunks.append({name: value.numpy() for name, value in values.items()})
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}

    def log_prob(self, parameters: Mapping[str, np.ndarray], condition: np.ndarray) -> np.ndarray:
        """Log density (n, draws) of parameters (n, draws, *event) given conditions (n, c)."""
        offsets, log_weights = self._quadrature()
        draws = next(iter(parameters.values())).shape[1]
        rows = max(1, _ROWS_PER_CALL // draws)
        chunks = []
        for start in range(0, len(condition), rows):
            part = slice(start, start + rows)
            chunk = {name: tf.convert_to_tensor(value[part]) for name, value in parameters.items()}
            given = tf.convert_to_tensor(condition[part])
            terms = [self._log_prob(chunk, given, offset).numpy() for offset in offsets]
            chunks.append(np.logaddexp.reduce(np.stack(terms) + log_weights[:, None, None], axis=0))
        return np.concatenate(chunks)

    def latent(self, parameters: Mapping[str, np.ndarray], condition: np.ndarray, seed: tf.Tensor) -> np.ndarray:
        """Latent codes (n, d) of parameters (n, *event) given conditions (n, c); integers are spread with the seed."""
        chunks = []
        for number, start in enumerate(range(0, len(condition), _ROWS_PER_CALL)):
            part = slice(start, start + _ROWS_PER_CALL)
            chunk = {name: tf.convert_to_tensor(value[part]) for name, value in parameters.items()}
            given = tf.convert_to_tensor(condition[part])
            chunks.append(self._latent(chunk, given, seeds.fold_in(seed, number)).numpy())
        return np.concatenate(chunks)

    def from_latent(self, latent: np.ndarray, condition: np.ndarray) -> Arrays:
        """Parameters (n, *event) of latent codes (n, d) given conditions (n, c)."""
        network, space = self._learner.network, self._learner.parameters
        vectors, _ = network.flow.chain.inverse(tf.cast(latent, tf.float32), tf.convert_to_tensor(condition))
        return {name: value.numpy() for name, value in space.from_vector(vectors).items()}

    def latent_draws(self, n: int, seed: tf.Tensor) -> np.ndarray:
        """Draws (n, d) from the latent distribution."""
        latent = self._learner.network.flow.latent
        return latent.sample((n, self._learner.parameters.dimension), seed).numpy()

    def prior_log_prob(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Log prior density (n,) of parameters (n, *event)."""
        return self._learner.parameters.prior_log_prob(parameters).numpy()

    @property
    def integers_are_few(self) -> bool:
        """Whether :meth:`log_prob` can integrate over the intervals of all integer parameters."""
        return self._integers() <= _MOST_DISCRETE

    def _integers(self) -> int:
        space = self._learner.parameters
        return sum(int(np.prod(space.event_shapes[name], dtype=int)) for name in space.discrete)

    def _quadrature(self) -> tuple[np.ndarray, np.ndarray]:
        """Offsets (nodes, integers) inside the unit intervals of integer parameters, and log weights (nodes,)."""
        count = self._integers()
        if count > _MOST_DISCRETE:
            raise InputError(
                "log_prob with integer parameters",
                expected=f"at most {_MOST_DISCRETE} integers, over whose intervals the density can be integrated",
                got=f"{count}",
                do="use sample(), which has no such limit",
            )
        nodes, weights = np.polynomial.legendre.leggauss(_QUADRATURE_NODES[count])
        grid = list(itertools.product((nodes + 1.0) / 2.0, repeat=count))
        products = [np.prod(choice) for choice in itertools.product(weights / 2.0, repeat=count)]
        return np.asarray(grid, np.float32).reshape(len(products), count), np.log(products)

    def _condition_graph(self, data: dict[str, tf.Tensor]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        space = self._learner.data
        return self._learner.network.condition(*space.to_network(data)), space.standardise(data)

    def _sample_graph(self, condition: tf.Tensor, draws: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        vectors = self._learner.network.flow.sample(draws, condition, seed=seed)
        space = self._learner.parameters
        # Single ones may explode, and would make any mean or standard deviation useless.
        vectors = tf.clip_by_value(tf.reshape(vectors, (-1, space.dimension)), -space.reach, space.reach)
        values = space.from_vector(vectors)
        leading = (tf.shape(condition)[0], draws)
        return {name: tf.reshape(value, (*leading, *space.event_shapes[name])) for name, value in values.items()}

    def _log_prob_graph(self, parameters: dict[str, tf.Tensor], condition: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
        space = self._learner.parameters
        shape = tf.shape(parameters[space.names[0]])[:2]
        values, used = {}, 0
        for name in space.names:
            event = space.event_shapes[name]
            value = tf.cast(tf.reshape(parameters[name], (-1, *event)), tf.float32)
            if name in space.discrete:
                size = int(np.prod(event, dtype=int))
                value += tf.reshape(offset[used : used + size], event)
                used += size
            values[name] = value
        inside = space.prior_log_prob(values) > -np.inf
        vector, log_det = space.to_vector(values)
        density = self._learner.network.flow.log_prob(vector, tf.repeat(condition, shape[1], axis=0)) + log_det
        return tf.reshape(tf.where(inside, density, -np.inf), shape)

    def _latent_graph(self, parameters: dict[str, tf.Tensor], condition: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        space = self._learner.parameters
        vector, _ = space.to_vector(space.dequantise(parameters, seed))
        return self._learner.network.flow.chain.forward(vector, condition)[0]
