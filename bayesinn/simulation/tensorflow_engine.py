"""Simulators made of TensorFlow operations: drawn in the graph, inside the training step if wanted."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import AnyRows
from bayesinn.core.errors import SimulatorError
from bayesinn.simulation.declaration import Declaration
from bayesinn.simulation.simulations import Simulations

_MOST_REDRAWS = 100


class TensorFlowEngine:
    """Draws batches as tensors; all methods but the eager ones may be traced."""

    def __init__(self, declared: Declaration) -> None:
        self.declared = declared
        self._compiled_draw = AnyRows(self.draw, leading=(0, 0), autograph=True)
        self._compiled_simulate = AnyRows(self.simulate, leading=(1, 1, 0), autograph=True)

    def simulate(
        self, parameters: Mapping[str, tf.Tensor], context: Mapping[str, tf.Tensor] | None, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Run the forward model. Seed: tensor (2,)."""
        given = (dict(parameters),) if self.declared.context is None else (dict(parameters), dict(context or {}))
        observables = self.declared.function(*given, seed)
        if not isinstance(observables, dict):
            raise SimulatorError(
                f"Simulator {self.declared.name!r}",
                expected="a dict of observables, each a tensor (n, ...)",
                got=type(observables).__name__,
                do='return for example {"cases": cases}',
            )
        return {name: tf.convert_to_tensor(value) for name, value in observables.items()}

    def draw(self, n: int | tf.Tensor, seed: tf.Tensor) -> Simulations:
        """Draw n simulations as tensors; a pure function of the seed (2,)."""
        if not self.declared.redraw:
            (parameters, context, observables), finite = self._draw_once(n, seed)
            return Simulations(parameters, context, observables, _count(~finite))

        # A few rows to spare, so that a simulator that fails now and then rarely runs a second time. Traced once, as
        # the body of a loop: compiling a large prior takes long.
        rows = n + n // 8 + _square_root(4 * n)

        def unfinished(attempt: tf.Tensor, finite: tf.Tensor, failed: tf.Tensor, batch: Any) -> tf.Tensor:
            return tf.reduce_any(~finite) & (attempt <= _MOST_REDRAWS)

        def fill(attempt: tf.Tensor, finite: tf.Tensor, failed: tf.Tensor, batch: Any) -> Any:
            fresh, fresh_finite = self._draw_once(rows, seeds.fold_in(seed, attempt))
            missing = n - _count(finite)
            candidates = tf.concat([finite, fresh_finite], axis=0)
            order = _true_first(candidates, n)
            # Spare rows that nobody needed have not failed.
            found = _count(fresh_finite)
            failed += tf.where(found >= missing, order[-1] + 1 - n - missing, rows - found)
            batch = tf.nest.map_structure(
                lambda kept, new: tf.gather(tf.concat([kept, new], axis=0), order), batch, fresh
            )
            return attempt + 1, tf.gather(candidates, order), failed, batch

        nothing = tf.nest.map_structure(lambda spec: tf.zeros((n, *spec.shape[1:]), spec.dtype), self._specs)
        _, _, failed, (parameters, context, observables) = tf.while_loop(
            unfinished, fill, (tf.constant(0), tf.zeros((n,), tf.bool), tf.constant(0), nothing)
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

    @functools.cached_property
    def _specs(self) -> tuple[Any, Any, Any]:
        """Shapes and dtypes of parameters, context and observables."""
        drawn = tf.function(self._draw_once).get_concrete_function(
            tf.TensorSpec((), tf.int32), tf.TensorSpec((2,), tf.int32)
        )
        return drawn.structured_outputs[0]

    def _draw_once(self, n: int | tf.Tensor, seed: tf.Tensor) -> tuple[tuple[Any, Any, Any], tf.Tensor]:
        parameter_seed, context_seed, simulator_seed = seeds.split(seed, 3)
        parameters = self.declared.prior.sample(n, parameter_seed)
        context = None if self.declared.context is None else self.declared.context.sample(n, context_seed)
        observables = self.simulate(parameters, context, simulator_seed)
        finite = tf.ones(tf.reshape(n, (1,)), tf.bool)
        for name, value in observables.items():
            if value.dtype.is_floating:
                # Networks compute in single precision.
                cells = tf.math.is_finite(tf.cast(value, tf.float32))
                counts = (context or {}).get(self.declared.lengths.get(name, ""))
                # Lengths may be declared wrongly, of which others complain.
                if counts is not None and counts.shape.rank == 1 and value.shape.rank > 1:
                    beyond = ~tf.sequence_mask(tf.cast(counts, tf.int32), tf.shape(value)[1])
                    cells |= tf.reshape(beyond, tf.concat([tf.shape(beyond), (value.shape.rank - 2) * [1]], axis=0))
                finite &= tf.reduce_all(cells, axis=tuple(range(1, value.shape.rank)))
        return (parameters, context or {}, observables), finite


def _true_first(holds: tf.Tensor, n: int | tf.Tensor) -> tf.Tensor:
    """Indices (n,) of those that hold, in order, then of the last that doesn't. XLA compiles a sort for very long."""
    place = tf.cumsum(tf.cast(holds, tf.int32)) - 1
    order = tf.math.unsorted_segment_sum(tf.range(tf.size(holds)), tf.where(holds & (place < n), place, -1), n)
    other = tf.size(holds) - 1 - tf.argmin(holds[::-1], output_type=tf.int32)
    return tf.where(tf.range(n) < _count(holds), order, other)


def _square_root(n: int | tf.Tensor) -> int | tf.Tensor:
    """Rounded down; a number for a number, as compiled graphs need known shapes."""
    return math.isqrt(n) if isinstance(n, int) else tf.cast(tf.sqrt(tf.cast(n, tf.float64)), n.dtype)


def _count(holds: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(holds, tf.int32))
