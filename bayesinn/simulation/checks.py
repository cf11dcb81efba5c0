"""Checks of what a simulator declares and returns, in the user's own names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from bayesinn.core.errors import InputError, SimulatorError
from bayesinn.core.validation import check_choice
from bayesinn.simulation.finite import finite_rows
from bayesinn.simulation.prior import Prior
from bayesinn.simulation.python_engine import PythonEngine
from bayesinn.simulation.simulations import Simulations
from bayesinn.simulation.tensorflow_engine import TensorFlowEngine

if TYPE_CHECKING:
    from bayesinn.simulation.simulator import Simulator

# Three rows: a batch size that a constant or a parameter count rarely equals.
_TRIAL_ROWS = 3


def check_declaration(
    name: str, function: Callable[..., Any], engine: str, on_nonfinite: str, batched: bool, has_context: bool
) -> None:
    """Options and the function's signature."""
    for option, value, choices in (
        ("engine", engine, ("tensorflow", "python")),
        ("on_nonfinite", on_nonfinite, ("raise", "redraw")),
    ):
        check_choice(f"Option {option!r} of simulator {name!r}", value, choices, error=SimulatorError)
    if batched and engine != "python":
        raise SimulatorError(
            f"Option 'batched' of simulator {name!r}",
            expected="engine='python', the only one with a choice: TensorFlow simulators are always batched",
            got=f"engine={engine!r}",
            do="leave 'batched' out",
        )
    random = "seed" if engine == "tensorflow" else "generator"
    wanted = ("parameters", "context", random) if has_context else ("parameters", random)
    try:
        inspect.signature(function).bind(*wanted)
    except TypeError as error:
        raise SimulatorError(
            f"Function of simulator {name!r}",
            expected=f"{len(wanted)} arguments: ({', '.join(wanted)})",
            got=str(inspect.signature(function)),
            do="change the arguments" + ("" if has_context else ", or declare the context with context={...}"),
        ) from error


def observable_shapes(name: str, engine: TensorFlowEngine | PythonEngine) -> dict[str, tuple[int, ...]]:
    """Run the simulator once, on a few draws, and see what comes out."""
    if isinstance(engine, PythonEngine):
        trial: Mapping[str, Any] = engine.draw(_TRIAL_ROWS, [0]).observables
    else:
        trial = engine.draw_eagerly(_TRIAL_ROWS, tf.constant([0, 0])).observables
    if not trial:
        raise SimulatorError(
            f"Simulator {name!r}", expected="at least one observable", got="an empty dict", do="return the data"
        )
    shapes = {}
    for key, value in trial.items():
        array = np.asarray(value)
        if array.ndim == 0 or len(array) != _TRIAL_ROWS:
            raise SimulatorError(
                f"Observable {key!r} of simulator {name!r}",
                expected=f"shape (n, ...), here ({_TRIAL_ROWS}, ...): one row for each draw of the parameters",
                got=f"a scalar: {array}" if array.ndim == 0 else f"shape {array.shape}",
                do="keep the batch axis of the parameters as first axis: reduce over the others only",
            )
        if array.dtype.kind not in "fiub":
            raise SimulatorError(
                f"Observable {key!r} of simulator {name!r}",
                expected="real numbers",
                got=f"dtype {array.dtype}",
                do="return floats, integers or booleans (real and imaginary part apart)",
            )
        shapes[key] = array.shape[1:]
    return shapes


def check_names(simulator: Simulator) -> None:
    """Every name once, and lengths that refer to what exists."""
    observables = tuple(simulator.observable_shapes)
    names = (*simulator.prior.names, *simulator.context_names, *observables)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SimulatorError(
            f"Names of simulator {simulator.name!r}",
            expected="parameters, context and observables with different names",
            got=f"{twice} more than once",
            do="rename one of each pair",
        )
    for observable, count in simulator.lengths.items():
        if observable not in observables or count not in simulator.context_names:
            raise SimulatorError(
                f"Entry {observable!r}: {count!r} in 'lengths' of simulator {simulator.name!r}",
                expected=f"an observable {list(observables)} and a context variable {list(simulator.context_names)}",
                got=f"{observable!r} and {count!r}",
                do="use the names that the simulator returns and that 'context' declares",
            )


def check_finite(simulator: Simulator, simulations: Simulations) -> None:
    """Raise for simulations that are not finite, with what they have in common."""
    observables = {name: np.asarray(value) for name, value in simulations.observables.items()}
    for name, finite in finite_rows(observables, simulations.context, simulator.lengths).items():
        if finite.all():
            continue
        row = int(np.flatnonzero(~finite)[0])
        culprit = {key: np.asarray(array)[row].tolist() for key, array in simulations.parameters.items()}
        tried = "after 100 redraws" if simulator.on_nonfinite == "redraw" else "of the simulations"
        raise SimulatorError(
            f"Observable {name!r} of simulator {simulator.name!r}",
            expected="finite numbers",
            got=f"NaN or infinity in {np.mean(~finite):.1%} {tried}; the first with parameters {culprit}",
            do="mend the simulator, narrow the prior, or declare on_nonfinite='redraw' to draw failed rows again "
            "(which conditions the prior on success)",
        )


def check_arrays(variables: Prior, values: Mapping[str, Any]) -> None:
    """Values for each variable, with the right event shapes and one common number of rows."""
    rows = set()
    for name in variables.names:
        if name not in values:
            raise InputError(
                f"Values of the {variables.subject}",
                expected=f"all of {list(variables.names)}",
                got=f"{list(values)}",
                do=f"add {name!r}",
            )
        shape = np.shape(values[name])
        if shape[1:] != variables.event_shapes[name] or not shape:
            raise InputError(
                f"{variables.subject.capitalize()} variable {name!r}",
                expected=f"shape (n, {', '.join(map(str, variables.event_shapes[name]))})",
                got=f"shape {shape}",
                do="give one row for each simulation",
            )
        rows.add(shape[0])
    if len(rows) > 1:
        raise InputError(
            f"Values of the {variables.subject}",
            expected="the same number of rows for each variable",
            got=f"{sorted(rows)} rows",
            do="broadcast them to one length",
        )


def check_simulations(simulator: Simulator, data: Mapping[str, Any], subject: str) -> dict[str, np.ndarray]:
    """Arrays to train on: every name, the declared shapes, equal numbers of rows, finite numbers."""
    shapes = {**simulator.prior.event_shapes, **simulator.observable_shapes}
    if simulator.context is not None:
        shapes.update(simulator.context.event_shapes)
    if not isinstance(data, Mapping) or set(data) != set(shapes):
        raise InputError(
            subject,
            expected=f"a dict with the names {list(shapes)}",
            got=f"{list(data)}" if isinstance(data, Mapping) else type(data).__name__,
            do="give arrays as simulator.sample(n, seed) returns them",
        )
    arrays = {name: np.asarray(data[name]) for name in shapes}
    rows = max((len(array) for array in arrays.values() if array.ndim), default=0)
    for name, array in arrays.items():
        if array.shape != (rows, *shapes[name]):
            raise InputError(
                f"{subject}, {name!r}",
                expected=f"shape {(rows, *shapes[name])}",
                got=f"shape {array.shape}",
                do="give one row for each simulation",
            )
        if array.dtype.kind not in "fiub":
            raise InputError(
                f"{subject}, {name!r}",
                expected="real numbers",
                got=f"dtype {array.dtype}",
                do="convert it with numpy.asarray(values, float)",
            )
        broken = ~finite_rows({name: array}, arrays, simulator.lengths)[name]
        if broken.any():
            raise InputError(
                f"{subject}, {name!r}",
                expected="finite numbers",
                got=f"NaN or infinity in {int(broken.sum())} of {rows} rows, the first is row {np.argmax(broken)}",
                do="drop those rows (which conditions the prior on success) or mend the simulator",
            )
    return arrays
