"""Evaluate a trained model: conditions, draws and densities, in compiled calls of bounded size."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.bijections.condition import FEATURES, Condition
from bayesinn.core import seeds
from bayesinn.core.compilation import AnyRows, in_parts, map_tensors
from bayesinn.core.errors import InputError
from bayesinn.core.precision import full_precision
from bayesinn.flows import Flow
from bayesinn.posterior.mode import ModeFinder
from bayesinn.posterior.model import PosteriorModel
from bayesinn.simulation.simulator import Arrays
from bayesinn.spaces.parameters import ParameterSpace

# Rows in one call: enough to keep the cores busy, little enough for 100 MB of activations at 128
# units.
_ROWS_PER_CALL = 200_000
_OBSERVATIONS_PER_CALL = 4096
# Images of more have fewer rows in a call.
_PIXELS = 1024
# Costly densities keep the activations of many gradients.
_ROWS_PER_COSTLY_CALL = 20_000
_MOST_DISCRETE = 3
# For each number of integers, nodes along each. With 8 for one, probabilities of a trained
# posterior summed to 1 +- 0.006, with 32 to 1 +- 0.0008. With 8 for each of three, log densities
# were 0.008 nats (rms) from those with 16; with 4, 0.08.
_QUADRATURE_NODES = {0: 1, 1: 32, 2: 12, 3: 8}


class Evaluator:
    """Compiled evaluation of a trained model.

    Conditions are mappings of names to arrays, a row per observation.
    """

    def __init__(self, model: PosteriorModel) -> None:
        self.model = model
        self._condition = AnyRows(self._condition_graph, leading=(1,))
        self._sample = AnyRows(self._sample_graph, leading=(1, 0, 0))
        self._log_prob = AnyRows(self._log_prob_graph, leading=(2, 1, 0))
        self._encode = AnyRows(self._encode_graph, leading=(1, 1, 0))
        self.mode_finder = ModeFinder([model], [1.0])

    @functools.cached_property
    def members(self) -> Sequence[Evaluator]:
        """Evaluators of each network alone."""
        parameters = self.model.parameters
        data = self.model.data
        return [
            Evaluator(PosteriorModel(parameters, data, [network])) for network in self.model.members
        ]

    @property
    def density(self) -> str | None:
        """Whether densities are "exact", "costly", or absent (None); see :func:`density_of`."""
        return density_of(self.model.network.flow, _integers(self.model.parameters))

    @property
    def evaluations(self) -> int:
        """Evaluations of the flow for one density: more than one to integrate over integers."""
        count = _integers(self.model.parameters)
        return int(_QUADRATURE_NODES.get(count, 1) ** count)

    def _rows_per_call(self, most: int) -> int:
        """Return how many rows a call may have, fewer of images: each pixel has activations."""
        shapes = self.model.parameters.event_shapes.values()
        return max(1, most // max(_pixels(shape) for shape in shapes))

    @full_precision()
    def condition(self, data: Mapping[str, np.ndarray]) -> tuple[Condition, Arrays]:
        """Return the condition and the standardised inputs (n, ...) of checked data (n, ...)."""
        # Of one type, whatever was measured: another one would be traced anew.
        scalings = self.model.data.scalings
        arrays = {name: np.asarray(data[name], own.mean.dtype) for name, own in scalings.items()}
        pixels = max(_pixels(value.shape[1:]) for value in arrays.values())
        most = max(1, _OBSERVATIONS_PER_CALL // math.ceil(pixels / _PIXELS))
        return in_parts(lambda part, _: self._condition(part), arrays, most)

    @full_precision()
    def sample(self, condition: Condition, draws: int, seed: tf.Tensor) -> Arrays:
        """Draw (n, draws, *event) for n conditions; a pure function of the seed (2,)."""
        most = self._rows_per_call(_ROWS_PER_CALL)
        if draws > most:
            parts = [
                self.sample(condition, min(most, draws - start), seeds.fold_in(seed, start))
                for start in range(0, draws, most)
            ]
            return map_tensors(lambda *values: np.concatenate(values, axis=1), *parts)
        rows = max(1, most // draws)
        return in_parts(
            lambda part, number: self._sample(part, draws, seeds.fold_in(seed, number)),
            condition,
            rows,
        )

    @full_precision()
    def log_prob(self, parameters: Mapping[str, np.ndarray], condition: Condition) -> np.ndarray:
        """Return log densities (n, draws) of parameters (n, draws, *event) given n conditions."""
        offsets, log_weights = self._quadrature()

        def density(part: tuple[Any, Condition], _: int) -> np.ndarray:
            terms = [self._log_prob(*part, offset).numpy() for offset in offsets]
            return np.logaddexp.reduce(np.stack(terms) + log_weights[:, None, None], axis=0)

        draws = next(iter(parameters.values())).shape[1]
        limit = _ROWS_PER_COSTLY_CALL if self.density == "costly" else _ROWS_PER_CALL
        most = self._rows_per_call(limit)
        parts = []
        for start in range(0, max(draws, 1), most):
            block = {name: value[:, start : start + most] for name, value in parameters.items()}
            parts.append(in_parts(density, (block, condition), max(1, most // max(draws, 1))))
        return np.concatenate(parts, axis=1)

    @full_precision()
    def encode(
        self, parameters: Mapping[str, np.ndarray], condition: Condition, seed: tf.Tensor
    ) -> np.ndarray:
        """Return latent codes (n, d) of parameters (n, *event) given n conditions.

        The seed decides where integers lie in their unit intervals.
        """
        rows = dict(parameters), condition
        return in_parts(
            lambda part, number: self._encode(*part, seeds.fold_in(seed, number)),
            rows,
            self._rows_per_call(_ROWS_PER_CALL),
        )

    @full_precision()
    def decode(self, latent: np.ndarray, condition: Condition) -> Arrays:
        """Return parameters (n, *event) of latent codes (n, d) given n conditions."""
        tensors = map_tensors(tf.convert_to_tensor, condition)
        vectors = self.model.network.flow.decode(tf.cast(latent, tf.float32), tensors)
        return {
            name: value.numpy()
            for name, value in self.model.parameters.from_vector(vectors).items()
        }

    def latent_draws(self, n: int, seed: tf.Tensor) -> np.ndarray:
        """Draw (n, d) from the latent distribution."""
        return self.model.network.flow.latent.sample(
            (n, self.model.parameters.dimension), seed
        ).numpy()

    def prior_log_prob(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return log prior densities (n,) of parameters (n, *event)."""
        return self.model.parameters.prior_log_prob(parameters).numpy()

    def _quadrature(self) -> tuple[np.ndarray, np.ndarray]:
        """Return offsets (nodes, integers) in integers' unit intervals; log weights (nodes,)."""
        flow = self.model.network.flow
        count = _integers(self.model.parameters)
        if flow.density is None:
            raise InputError(
                f"log_prob with {flow!r}",
                expected="a flow with a density",
                got="one without",
                do="use sample(), or another flow",
            )
        if count > _MOST_DISCRETE:
            raise InputError(
                "log_prob with integer parameters",
                expected=f"at most {_MOST_DISCRETE} integers, over whose intervals the density can "
                "be integrated",
                got=f"{count}",
                do="use sample(), which has no such limit",
            )
        nodes, weights = np.polynomial.legendre.leggauss(_QUADRATURE_NODES[count])
        grid = list(itertools.product((nodes + 1.0) / 2.0, repeat=count))
        products = [np.prod(choice) for choice in itertools.product(weights / 2.0, repeat=count)]
        return np.asarray(grid, np.float32).reshape(len(products), count), np.log(products)

    def _condition_graph(
        self, data: dict[str, tf.Tensor]
    ) -> tuple[Condition, dict[str, tf.Tensor]]:
        space = self.model.data
        return self.model.network.condition(*space.to_network(data)), space.standardise(data)

    def _sample_graph(
        self, condition: Condition, draws: tf.Tensor, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        vectors = self.model.network.flow.sample(draws, condition, seed=seed)
        space = self.model.parameters
        # A few draws may explode, and would make any mean or standard deviation useless.
        vectors = tf.clip_by_value(
            tf.reshape(vectors, (-1, space.dimension)), -space.reach, space.reach
        )
        leading = (tf.shape(condition[FEATURES])[0], draws)
        values = space.from_vector(vectors)
        return {
            name: tf.reshape(values[name], (*leading, *event))
            for name, event in space.event_shapes.items()
        }

    def _log_prob_graph(
        self, parameters: dict[str, tf.Tensor], condition: Condition, offset: tf.Tensor
    ) -> tf.Tensor:
        space = self.model.parameters
        values = {}
        shape = tf.shape(parameters[space.names[0]])[:2]
        for name, event in space.event_shapes.items():
            values[name] = tf.cast(tf.reshape(parameters[name], (-1, *event)), tf.float32)
        inside = space.possible(values)
        for name in space.discrete:
            event = space.event_shapes[name]
            size = math.prod(event)
            values[name] += tf.reshape(offset[:size], event)
            offset = offset[size:]
        vector, log_det = space.to_vector(values)
        repeated = map_tensors(lambda part: tf.repeat(part, shape[1], axis=0), condition)
        density = self.model.network.flow.log_prob(vector, repeated) + log_det
        return tf.reshape(tf.where(inside, density, -np.inf), shape)

    def _encode_graph(
        self, parameters: dict[str, tf.Tensor], condition: Condition, seed: tf.Tensor
    ) -> tf.Tensor:
        space = self.model.parameters
        vector, _ = space.to_vector(space.dequantise(parameters, seed))
        return self.model.network.flow.encode(vector, condition)


def density_of(flow: Flow, integers: int) -> str | None:
    """Return the density of posteriors: the flow's, if there are few integers to integrate over."""
    return flow.density if integers <= _MOST_DISCRETE else None


def _integers(space: ParameterSpace) -> int:
    return sum(math.prod(space.event_shapes[name]) for name in space.discrete)


def _pixels(shape: tuple[int, ...]) -> int:
    return math.prod(shape[:2]) if len(shape) == 3 else 1
