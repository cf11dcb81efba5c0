"""Simulators made of TensorFlow operations: drawn in the graph, or inside the training step."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import AnyRows, full_precision, map_tensors
from bayesinn.core.errors import BayesinnError, SimulatorError
from bayesinn.simulation.checks import lose_values
from bayesinn.simulation.engines.constants import Constants
from bayesinn.simulation.engines.engine import Declaration, Engine, spare_rows, tensor_state
from bayesinn.simulation.engines.worker import Failure, Outcome
from bayesinn.simulation.prior import Values
from bayesinn.simulation.simulations import Arrays, Simulations, count_rows, take

type Forward = Callable[[Arrays, Arrays, tf.Tensor], Values]


def find_culprit(forward: Forward, parameters: Arrays, context: Arrays, seed: tf.Tensor) -> range:
    """Return the row that fails, by bisection, or the fewest rows found that fail together.

    Each part has its own random numbers.
    """
    rows = range(count_rows(parameters))
    while len(rows) > 1:
        middle = len(rows) // 2
        for part in (rows[:middle], rows[middle:]):
            some = slice(part.start, part.stop)
            try:
                forward(take(parameters, some), take(context, some), seed)
            except tf.errors.OpError:
                rows = part
                break
        else:
            break
    return rows


def explain_operation(
    name: str,
    file: str,
    engine_file: str,
    error: Exception,
    rows: range,
    inputs: Arrays,
    seed: tf.Tensor,
) -> SimulatorError:
    """Return the error of an operation of simulator ``name``, whose function stands in a file.

    It names the parameters and context (``inputs``) of the first of the ``rows`` that fail.
    """
    row = {key: value[rows.start].tolist() for key, value in inputs.items()}
    where = f"with {row}"
    if len(rows) > 1:
        where = f"only with many rows, {rows.start} to {rows.stop - 1}, the first {row}"
    message = getattr(error, "message", str(error))
    # The line above the name of the operation, which TensorFlow writes below its stack, says what
    # is wrong.
    reason = re.search(
        r"assertion failed: .*|\w+(Error|Exception): .*|.+(?=\n\s*\[\[\{\{node )", message
    )
    got = reason.group()[:300] if reason else message.splitlines()[0]
    # Below the engine's own lines stand those of the function.
    lines = re.findall(
        rf'File "{re.escape(file)}", line (\d+), in', message.rpartition(engine_file)[2]
    )
    do = f"correct it{_place(file, lines)}"
    if "Incompatible shapes" in got:
        do += (
            "; parameters and observables are tensors (n, ...): one number for each draw is (n,), "
            'and parameters["name"][:, None] gives it a second axis'
        )
    else:
        do += f", or return NaN where it fails; it fails {where}, seed {seed.numpy().tolist()}"
    return SimulatorError(f"Simulator {name!r}", expected="observables", got=got, do=do)


def line_in(file: str, error: BaseException) -> str:
    """Say in which line of a file an error came up, if known; AutoGraph's own code hides it."""
    stack = getattr(getattr(error, "ag_error_metadata", None), "translated_stack", ())[::-1]
    frames = [*traceback.extract_tb(error.__traceback__), *stack]
    return _place(file, [frame.lineno for frame in frames if frame.filename == file])


def _place(file: str, lines: Sequence[int | str | None]) -> str:
    return f" in line {lines[-1]} of {file}" if lines else ""


class TensorFlowEngine(Engine):
    """Draws batches as tensors: :meth:`draw` and :meth:`forward` may be traced.

    Python's control flow on tensors needs AutoGraph, which takes seconds. It is switched on when
    the first trace asks a tensor for its value, as ``if``, ``for``, ``len`` and ``int`` do.
    """

    in_graph = True
    batched = True
    kind = "tensorflow"

    def __init__(self, declared: Declaration, autograph: bool = False) -> None:
        super().__init__(declared)
        code = getattr(inspect.unwrap(declared.function), "__code__", None)
        self._file = getattr(code, "co_filename", "")
        self._prepare(autograph)

    def _prepare(self, autograph: bool) -> None:
        self.autograph = autograph
        self._constants: Constants | None = None
        # Of the trace before.
        self.__dict__.pop("_specs", None)
        self._compiled_draw = AnyRows(self.draw, leading=(0, 0), autograph=autograph)
        # Traced once, for specs and for the body of the loop: a large prior takes seconds.
        self._traced_draw = tf.function(self._draw_once, autograph=autograph)
        self._compiled_forward = AnyRows(self.forward, leading=(1, 1, 0), autograph=autograph)

    @contextlib.contextmanager
    def _with_present_constants(self) -> Iterator[None]:
        """Trace anew what was traced with other constants, as in another cell of a notebook."""
        now = self._read_constants()
        if self._constants is not None and not self._constants.same_as(now):
            self._prepare(self.autograph)
        yield
        # Now: a function may change what it reads, such as a counter of its calls.
        self._constants = self._read_constants()

    def renew(self, declared: Declaration, workers: int | None = None) -> Self:
        return type(self)(declared, self.autograph)

    def start(self, n: int, entropy: list[int]) -> Callable[[], Simulations]:
        return functools.partial(self._sample, n, entropy)

    @full_precision()
    def _sample(self, n: int, entropy: list[int]) -> Simulations:
        seed = tf.constant(tensor_state(entropy))
        try:
            with self._with_present_constants():
                return self._compiled_draw(n, seed).numpy()
        except _ValueOfTensorError:
            self._prepare(autograph=True)
            return self._sample(n, entropy)
        except tf.errors.OpError as error:
            raise self.explain(error, n, seed) from error

    @full_precision()
    def simulate(
        self, parameters: Arrays, context: Arrays, entropy: list[int], progress: bool = False
    ) -> Outcome:
        seed = tf.constant(tensor_state(entropy))
        begun = time.process_time()
        try:
            with self._with_present_constants():
                observables = self._compiled_forward(parameters, context, seed)
        except tf.errors.OpError as error:
            raise self._blame(error, parameters, context, seed) from error
        return _outcome(parameters, observables, begun)

    def repeat(self, parameters: Arrays, context: Arrays, seed: int) -> Outcome:
        """Run the forward model without a graph.

        Tracing takes seconds, and a graph keeps constants that have changed since. Seconds are
        those of the processor, whatever else keeps it busy.
        """
        key = seeds.tensor_seed(seed, "identity")
        values, context_values = (
            map_tensors(tf.convert_to_tensor, part) for part in (parameters, context)
        )
        begun = time.process_time()
        try:
            with full_precision():
                return _outcome(parameters, self.forward(values, context_values, key), begun)
        except (BayesinnError, tf.errors.OpError) as error:
            rows = count_rows(parameters)
            failure = Failure(str(error), "")
            return Outcome(
                rows, {}, dict.fromkeys(range(rows), failure), time.process_time() - begun
            )

    def forward(self, parameters: Values, context: Values, seed: tf.Tensor) -> Values:
        """Run the forward model; an empty context is not passed on."""
        subject = f"Simulator {self.declared.name!r}"
        arguments = [dict(parameters), dict(context), seed] if context else [dict(parameters), seed]
        try:
            observables = self.declared.function(*arguments)
        except BayesinnError:
            raise
        except (Exception, SystemExit) as error:
            # Python's int(), float() and range() raise a TypeError that names the tensor's type.
            asks_for_value = isinstance(error, TypeError) and "ymbolic" in str(error)
            if asks_for_value and not self.autograph:
                raise _ValueOfTensorError from error
            do = f"correct it{line_in(self._file, error)}; it is called with tensors (n, ...)"
            if _is_numpy_code(error):
                do = f"NumPy code? declare engine='python'; else {do}"
            raise SimulatorError(
                subject,
                expected="observables, a tensor each",
                got=f"{type(error).__name__}: {error}",
                do=do,
            ) from error
        names = list(observables) if isinstance(observables, dict) else None
        if names is None or not all(isinstance(name, str) for name in names):
            raise SimulatorError(
                subject,
                expected="a dict of observables, each a text as name and a tensor (n, ...)",
                got=type(observables).__name__ if names is None else f"the names {names}",
                do='return for example {"cases": cases}',
            )
        return {name: self._tensor(name, value) for name, value in observables.items()}

    def _tensor(self, name: str, value: Any) -> tf.Tensor:
        """Return an observable as a tensor of a known rank."""
        got = type(value).__name__
        do = "pad ragged data to one length, and declare how many steps count: lengths={...}"
        # Variables would belong to one trace.
        if not isinstance(value, tf.Variable | tf.RaggedTensor | tf.SparseTensor):
            try:
                tensor = tf.convert_to_tensor(value)
            except (TypeError, ValueError) as error:
                got = f"{type(value).__name__}: {error}"
            else:
                if tensor.shape.rank is not None:
                    return tensor
                got = "a tensor of unknown shape, as tf.py_function gives"
                do = "call tf.ensure_shape(value, (None, ...)); or declare engine='python'"
        raise SimulatorError(
            f"Observable {name!r} of simulator {self.declared.name!r}",
            expected="a tensor of numbers (n, ...)",
            got=got,
            do=do,
        )

    def draw(self, n: int | tf.Tensor, seed: tf.Tensor) -> Simulations:
        if not self.policy.redraws:
            drawn, finite = self._draw_once(n, seed)
            return Simulations(*drawn, tf.math.count_nonzero(~finite, dtype=tf.int32))
        # Traced once, as the body of a loop: compiling a large prior takes long.
        draw_once = self._draw_once if isinstance(n, int) else self._traced_draw
        return self.policy.draw_in_graph(n, seed, draw_once, self._specs)

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
        observables = self.forward(parameters, context, simulator_seed)
        finite = self.policy.finite_in_graph(n, observables, context)
        if self.declared.missing:
            lose_seed = seeds.fold_in(simulator_seed, 1)
            observables = lose_values(observables, self.declared.missing, lose_seed)
        return (parameters, context, observables), finite

    def explain(self, error: Exception, n: int, seed: tf.Tensor) -> SimulatorError:
        if self.policy.redraws:
            # The first attempt of draw.
            n = n + spare_rows(n)
            seed = seeds.fold_in(seed, 0)
        *input_seeds, simulator_seed = seeds.split(seed, 3)
        parameters, context = map_tensors(np.asarray, self.declared.draw_inputs(n, *input_seeds))
        return self._blame(error, parameters, context, simulator_seed)

    def _blame(
        self, error: Exception, parameters: Arrays, context: Arrays, seed: tf.Tensor
    ) -> SimulatorError:
        rows = find_culprit(self._compiled_forward, parameters, context, seed)
        inputs = parameters | context
        name = self.declared.name
        return explain_operation(name, self._file, __file__, error, rows, inputs, seed)


class _ValueOfTensorError(Exception):
    """A function that is traced without AutoGraph has asked a tensor for its value."""


def _is_numpy_code(error: BaseException) -> bool:
    """Whether a function took a tensor for a NumPy array, or its seed for a generator."""
    kinds = (
        AttributeError,
        TypeError,
        NotImplementedError,
        tf.errors.OperatorNotAllowedInGraphError,
    )
    if not isinstance(error, kinds) and "umpy" not in str(error):
        return False
    if any(word in str(error) for word in ("ymbolic", "Tensor", "SeedSequence")):
        return True
    # Sizes of tensors in a graph are None.
    size = "NoneType" in str(error) and "interpreted as an integer" in str(error)
    return size or _innermost_package(error) in ("numpy", "pandas", "scipy")


def _innermost_package(error: BaseException) -> str:
    """Return the package whose code raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = "" if trace is None else trace.tb_frame.f_globals.get("__name__", "")
    return str(name).partition(".")[0]


def _outcome(parameters: Arrays, observables: Values, begun: float) -> Outcome:
    rows = count_rows(parameters)
    arrays = {name: value.numpy() for name, value in observables.items()}
    return Outcome(rows, arrays, {}, time.process_time() - begun)
