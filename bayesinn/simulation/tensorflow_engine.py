"""Simulators made of TensorFlow operations: drawn in the graph, inside the training step if wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn import seeds
from bayesinn.errors import SimulatorError
from bayesinn.simulation.prior import Prior
from bayesinn.simulation.simulations import Simulations
from bayesinn.tracing import AnyRows

_MOST_REDRAWS = 100


class TensorFlowEngine:
    """Draws batches as tensors; all methods but the eager ones may be traced."""

    def __init__(
        self, name: str, function: Callable[..., Any], prior: Prior, context: Prior | None, on_nonfinite: str
    ) -> None:
        self.name = name
        self.function = function
        self.prior = prior
        self.context = context
        self.redraw = on_nonfinite == "redraw"
        self._compiled_draw = AnyRows(self.draw, leading=(0, 0), autograph=True)
        self._compiled_simulate = AnyRows(self.simulate, leading=(1, 1, 0), autograph=True)

    def simulate(
        self, parameters: Mapping[str, tf.Tensor], context: Mapping[str, tf.Tensor] | None, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Run the forward model. Seed: tensor (2,)."""
        given = (dict(parameters),) if self.context is None else (dict(parameters), dict(context or {}))
        observables = self.function(*given, seed)
        if not isinstance(observables, dict):
            raise SimulatorError(
                f"Simulator {self.name!r}",
                expected="a dict of observables, each a tensor (n, ...)",
                got=type(observables).__name__,
                do='return for example {"cases": cases}',
            )
        return {name: tf.convert_to_tensor(value) for name, value in observables.items()}

    def draw(self, n: int | tf.Tensor, seed: tf.Tensor) -> Simulations:
        """Draw n simulations as tensors; a pure function of the seed (2,)."""
        batch, finite = self._draw_once(n, seed)
        failed = tf.reduce_sum(tf.cast(~finite, tf.int32))
        if not self.redraw:
            return Simulations(batch[0], batch[1], batch[2], failed)

        def unfinished(attempt: tf.Tensor, finite: tf.Tensor, failed: tf.Tensor, batch: Any) -> tf.Tensor:
            return tf.reduce_any(~finite) & (attempt < _MOST_REDRAWS)

        def again(attempt: tf.Tensor, finite: tf.Tensor, failed: tf.Tensor, batch: Any) -> Any:
            fresh, fresh_finite = self._draw_once(n, seeds.fold_in(seed, attempt))
            batch = tf.nest.map_structure(lambda new, old: tf.where(_rows_like(finite, old), old, new), fresh, batch)
            failed += tf.reduce_sum(tf.cast(~finite & ~fresh_finite, tf.int32))
            return attempt + 1, finite | fresh_finite, failed, batch

        _, _, failed, (parameters, context, observables) = tf.while_loop(
            unfinished, again, (tf.constant(1), finite, failed, batch)
        )
        return Simulations(parameters, context, observables, failed)

    def draw_eagerly(self, n: int, seed: tf.Tensor) -> Simulations:
        """As :meth:`draw`, through a compiled graph that serves any n."""
        return self._compiled_draw(tf.constant(n), seed)

    def simulate_eagerly(
        self, parameters: Mapping[str, np.ndarray], context: Mapping[str, np.ndarray] | None, seed: tf.Tensor
    ) -> dict[str, np.ndarray]:
        """As :meth:`simulate`, arrays in and out."""
        observables = self._compiled_simulate(dict(parameters), dict(context or {}), seed)
        return {name: value.numpy() for name, value in observables.items()}

    def _draw_once(self, n: int | tf.Tensor, seed: tf.Tensor) -> tuple[tuple[Any, Any, Any], tf.Tensor]:
        parameter_seed, context_seed, simulator_seed = seeds.split(seed, 3)
        parameters = self.prior.sample(n, parameter_seed)
        context = None if self.context is None else self.context.sample(n, context_seed)
        observables = self.simulate(parameters, context, simulator_seed)
        finite = tf.ones(tf.reshape(n, (1,)), tf.bool)
        for value in observables.values():
            if value.dtype.is_floating:
                finite &= tf.reduce_all(tf.math.is_finite(value), axis=tuple(range(1, value.shape.rank)))
        return (parameters, context or {}, observables), finite


def _rows_like(rows: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Rows (n,) shaped to broadcast against a value (n, ...)."""
    return tf.reshape(rows, (-1,) + (1,) * (value.shape.rank - 1))
