"""Simulators made of TensorFlow operations: drawn in the graph, or inside the training step."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import re
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import AnyRows, map_tensors
from bayesinn.core.errors import BayesinnError, SimulatorError
from bayesinn.core.precision import full_precision
from bayesinn.simulation.declaration import Declaration
from bayesinn.simulation.missing import lose_values
from bayesinn.simulation.prior import Values
from bayesinn.simulation.simulations import MOST_REDRAWS, Arrays, Repeated, Simulations, take


class TensorFlowEngine:
    """Draws batches as tensors.

    Seeds are tensors (2,); :meth:`draw` and :meth:`simulate` may be traced.
    """

    #: As for :class:`PythonEngine`: the function takes many draws, without processes of its own. No
    #: failure is known.
    batched = True
    workers = 0
    failure = ""

    def __init__(self, declared: Declaration, autograph: bool = False) -> None:
        self.declared = declared
        self.autograph = autograph
        self._file = getattr(
            getattr(inspect.unwrap(declared.function), "__code__", None), "co_filename", ""
        )
        self._compiled_draw = AnyRows(self.draw, leading=(0, 0), autograph=autograph)
        # Traced once, for specs and for the body of the loop: a large prior takes seconds.
        self._traced_draw = tf.function(self._draw_once, autograph=autograph)
        self._compiled_simulate = AnyRows(self.simulate, leading=(1, 1, 0), autograph=autograph)

    def start(self, n: int, seed: int, stream: str, *keys: int) -> Callable[[], Simulations]:
        """Return a function that gives :meth:`sample`'s result, and start any workers."""
        return functools.partial(self.sample, n, seed, stream, *keys)

    def sample(self, n: int, seed: int, stream: str, *keys: int) -> Simulations:
        """Draw n simulations from a seed's stream, as arrays; a pure function of all arguments."""
        key = seeds.tensor_seed(seed, stream, *keys)
        try:
            return self._compiled_draw(n, key).numpy()
        except tf.errors.OpError as error:
            raise self.explained(error, n, key) from error

    def explained(self, error: Exception, n: int, seed: tf.Tensor) -> SimulatorError:
        """Return the error of :meth:`draw` as one that names the parameters, as far as possible."""
        if self.declared.on_nonfinite == "redraw":
            # the first attempt of draw
            n = n + _spare(n)
            seed = seeds.fold_in(seed, 0)
        *input_seeds, simulator_seed = seeds.split(seed, 3)
        parameters, context = map_tensors(np.asarray, self.declared.draw_inputs(n, *input_seeds))
        return self._culprit(error, parameters, context, simulator_seed)

    def _culprit(
        self, error: Exception, parameters: Arrays, context: Arrays, seed: tf.Tensor
    ) -> SimulatorError:
        """Look for the row that fails, by bisection; each part has its own random numbers."""
        first = 0
        end = len(next(iter(parameters.values())))
        while end - first > 1:
            middle = (first + end) // 2
            for part in (slice(first, middle), slice(middle, end)):
                try:
                    self._compiled_simulate(take(parameters, part), take(context, part), seed)
                except tf.errors.OpError:
                    first = part.start
                    end = part.stop
                    break
            else:
                break
        row = {name: value[first].tolist() for name, value in (parameters | context).items()}
        where = (
            f"with {row}"
            if end - first == 1
            else f"only with many rows, {first} to {end - 1}, the first {row}"
        )
        message = getattr(error, "message", str(error))
        # The line above the name of the operation, which TensorFlow writes below its stack, says
        # what is wrong.
        told = re.search(
            r"assertion failed: .*|\w+(Error|Exception): .*|.+(?=\n\s*\[\[\{\{node )", message
        )
        got = told.group()[:300] if told else message.splitlines()[0]
        # Below this module's own lines stand those of the function.
        lines = re.findall(
            rf'File "{re.escape(self._file)}", line (\d+), in', message.rpartition(__file__)[2]
        )
        do = f"correct it{_place(self._file, lines)}"
        if "Incompatible shapes" in got:
            do += (
                "; parameters and observables are tensors (n, ...): one number for each draw is "
                "(n,), and "
            )
            do += 'parameters["name"][:, None] gives it a second axis'
        else:
            do += f", or return NaN where it fails; it fails {where}, seed {seed.numpy().tolist()}"
        return SimulatorError(
            f"Simulator {self.declared.name!r}", expected="observables", got=got, do=do
        )

    def without_policy(self) -> TensorFlowEngine:
        """Return an engine that leaves failed simulations in place."""
        return TensorFlowEngine(
            self.declared._replace(on_nonfinite="raise", most_failures=None), self.autograph
        )

    def predict(
        self, parameters: Arrays, context: Arrays, seed: int, progress: bool = False
    ) -> Arrays:
        """Run the forward model for parameters, arrays in and out; too fast to show progress."""
        key = seeds.tensor_seed(seed, "predictive")
        try:
            observables = self._compiled_simulate(parameters, context, key)
        except tf.errors.OpError as error:
            raise self._culprit(error, parameters, context, key) from error
        return {name: value.numpy() for name, value in observables.items()}

    def repeat(self, parameters: Arrays, context: Arrays, seed: int) -> Repeated:
        """Run the forward model as it is now, to compare it with what it gave before.

        Without a graph: tracing takes seconds, and a graph keeps constants that have changed since.
        Seconds are those of the processor, whatever else keeps it busy.
        """
        key = seeds.tensor_seed(seed, "identity")
        rows = len(next(iter(parameters.values())))
        tensors, known = (map_tensors(tf.convert_to_tensor, part) for part in (parameters, context))
        begun = time.process_time()
        with full_precision():
            # Some functions work in graphs only, and some not for these parameters.
            for run in (self.simulate, self._compiled_simulate):
                with contextlib.suppress(BayesinnError, tf.errors.OpError):
                    found = run(tensors, known, key)
                    observables = {name: value.numpy() for name, value in found.items()}
                    return Repeated(rows, observables, {}, time.process_time() - begun)
        failed = dict.fromkeys(range(rows), "raised")
        return Repeated(rows, {}, failed, time.process_time() - begun)

    def simulate(self, parameters: Values, context: Values, seed: tf.Tensor) -> Values:
        """Run the forward model; an empty context is not passed on."""
        subject = f"Simulator {self.declared.name!r}"
        try:
            observables = self.declared.function(
                dict(parameters), *[dict(context)] * bool(context), seed
            )
        except BayesinnError:
            raise
        except (Exception, SystemExit) as error:
            where = _line_in(self._file, error)
            raise SimulatorError(
                subject,
                expected="observables, a tensor each",
                got=f"{type(error).__name__}: {error}",
                do=f"correct it{where}; it is called with tensors (n, ...)",
            ) from error
        if not isinstance(observables, dict):
            raise SimulatorError(
                subject,
                expected="a dict of observables, each a tensor (n, ...)",
                got=type(observables).__name__,
                do='return for example {"cases": cases}',
            )
        return {name: tf.convert_to_tensor(value) for name, value in observables.items()}

    def draw(self, n: int | tf.Tensor, seed: tf.Tensor) -> Simulations:
        """Draw n simulations; a pure function of the seed."""
        if self.declared.on_nonfinite == "raise":
            drawn, finite = self._draw_once(n, seed)
            return Simulations(*drawn, _count(~finite))
        rows = n + _spare(n)
        # Traced once, as the body of a loop: compiling a large prior takes long.
        draw_once = self._draw_once if isinstance(n, int) else self._traced_draw

        def fill(attempt: tf.Tensor, finite: tf.Tensor, failed: tf.Tensor, batch: Any) -> Any:
            fresh, fresh_finite = draw_once(rows, seeds.fold_in(seed, attempt))
            missing = n - _count(finite)
            candidates = tf.concat([finite, fresh_finite], axis=0)
            order = _true_first(candidates, n)
            # Spare rows that nobody needed have not failed.
            good = _count(fresh_finite)
            failed += tf.where(good >= missing, order[-1] + 1 - n - missing, rows - good)
            both = tf.nest.map_structure(
                lambda kept, new: tf.concat([kept, new], axis=0), batch, fresh
            )
            batch = tf.nest.map_structure(lambda values: tf.gather(values, order), both)
            return attempt + 1, tf.gather(candidates, order), failed, batch

        nothing = tf.nest.map_structure(
            lambda spec: tf.zeros((n, *spec.shape[1:]), spec.dtype), self._specs
        )
        _, _, failed, (parameters, context, observables) = tf.while_loop(
            lambda attempt, finite, *_: tf.reduce_any(~finite) & (attempt <= MOST_REDRAWS),
            fill,
            (tf.constant(0), tf.zeros((n,), tf.bool), tf.constant(0), nothing),
        )
        return Simulations(parameters, context, observables, failed)

    @functools.cached_property
    def _specs(self) -> tuple[Any, Any, Any]:
        n = tf.TensorSpec((), tf.int32)
        seed = tf.TensorSpec((2,), tf.int32)
        return self._traced_draw.get_concrete_function(n, seed).structured_outputs[0]

    def _draw_once(
        self, n: int | tf.Tensor, seed: tf.Tensor
    ) -> tuple[tuple[Any, Any, Any], tf.Tensor]:
        *input_seeds, simulator_seed = seeds.split(seed, 3)
        parameters, context = self.declared.draw_inputs(n, *input_seeds)
        observables = self.simulate(parameters, context, simulator_seed)
        finite = tf.ones(tf.reshape(n, (1,)), tf.bool)
        for name, value in observables.items():
            if value.dtype.is_floating:
                # Networks compute in single precision.
                cells = tf.math.is_finite(tf.cast(value, tf.float32))
                if self.declared.missing is not None:
                    cells |= tf.math.is_nan(value)
                counts = context.get(self.declared.lengths.get(name, ""))
                # A wrong declaration of lengths is reported elsewhere.
                if counts is not None and counts.shape.rank == 1 and value.shape.rank > 1:
                    beyond = ~tf.sequence_mask(tf.cast(counts, tf.int32), tf.shape(value)[1])
                    cells |= tf.reshape(
                        beyond, tf.concat([tf.shape(beyond), (value.shape.rank - 2) * [1]], axis=0)
                    )
                finite &= tf.reduce_all(cells, axis=tuple(range(1, value.shape.rank)))
        if self.declared.missing:
            observables = lose_values(
                observables, self.declared.missing, seeds.fold_in(simulator_seed, 1)
            )
        return (parameters, context, observables), finite


def _spare(n: Any) -> Any:
    """Return the number of extra rows to draw, so that rare failures seldom need a second run.

    The simulator fails now and then.

    It is a plain number if n is one, as compiled graphs need fixed shapes.
    """
    root = (
        math.isqrt(4 * n)
        if isinstance(n, int)
        else tf.cast(tf.sqrt(tf.cast(4 * n, tf.float64)), n.dtype)
    )
    return n // 8 + root


def _line_in(file: str, error: BaseException) -> str:
    """Say in which line of a file an error came up, if known; AutoGraph's own code hides it."""
    stack = getattr(getattr(error, "ag_error_metadata", None), "translated_stack", ())[::-1]
    frames = [*traceback.extract_tb(error.__traceback__), *stack]
    lines = [frame.lineno for frame in frames if frame.filename == file]
    return _place(file, lines)


def _place(file: str, lines: Sequence[int | str]) -> str:
    return f" in line {lines[-1]} of {file}" if lines else ""


def _true_first(holds: tf.Tensor, n: int | tf.Tensor) -> tf.Tensor:
    """Return indices (n,) of true elements, in order, then of the last false one.

    XLA compiles a sort for very long.
    """
    place = tf.cumsum(tf.cast(holds, tf.int32)) - 1
    order = tf.math.unsorted_segment_sum(
        tf.range(tf.size(holds)), tf.where(holds & (place < n), place, -1), n
    )
    other = tf.size(holds) - 1 - tf.argmin(holds[::-1], output_type=tf.int32)
    return tf.where(tf.range(n) < _count(holds), order, other)


_count = functools.partial(tf.math.count_nonzero, dtype=tf.int32)
