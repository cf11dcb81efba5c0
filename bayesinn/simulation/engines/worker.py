"""Code that runs in worker processes.

Each of them imports this module, so it imports nothing heavy.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cloudpickle
import numpy as np

from bayesinn.core.errors import BayesinnError, SimulatorError, check_memory
from bayesinn.simulation.engines.program import ALARMS, end_programs, set_alarm, set_place
from bayesinn.simulation.simulations import Arrays, count_rows, take


class Failure(NamedTuple):
    """Why a simulation gave no result, and how it was called.

    It is ``costly`` if it took the time limit or a worker, which depends on the machine.
    """

    error: str
    call: str
    costly: bool = False


class Outcome(NamedTuple):
    """Observables (m, ...) of the m rows that gave a result, and the failures of all others.

    ``seconds`` is the time in which they were simulated.
    """

    rows: int
    observables: Arrays
    failed: dict[int, Failure]
    seconds: float = 0.0

    def complete(self, mark: float | None = None) -> Arrays:
        """Return observables (rows, ...); a failed row has those of another row, or a ``mark``.

        With a mark, NaN or infinity, integers become floats. Empty if all rows failed.
        """
        if not self.failed:
            return self.observables
        good = np.setdiff1d(np.arange(self.rows), list(self.failed))
        source = np.zeros(self.rows, int)
        source[good] = np.arange(len(good))
        observables = take(self.observables, source)
        if mark is None:
            return observables
        for name, value in observables.items():
            observables[name] = value.astype(np.result_type(value, np.float32))
            observables[name][list(self.failed)] = mark
        return observables


_payload: list[bytes] = []
_SECONDS_BETWEEN_LOOKS = 0.5
#: Seconds after the time limit in which compiled code may still return to Python, and then to clean
#: up.
_GRACE = 1.0
_CLEANING = 10.0
# Of a result on its way: the worker's copy, its bytes, and the array that they become.
_COPIES = 3
_MOST_CHARACTERS = 1_000


class OutOfTime(BaseException):
    """A simulation took too long. No Exception: simulators catch those."""


def install(payload: bytes, parent: int, folder: str) -> None:
    """Keep the pickled function, once in the life of a worker, and the folder for programs.

    An error in here could not be reported.
    """
    _payload.append(payload)
    set_place(folder)
    # What a simulator starts is then known as this worker's, also when the worker has ended.
    with contextlib.suppress(OSError, AttributeError):
        os.setsid()
    # The parent alone decides what Ctrl-C ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if ALARMS:
        signal.signal(signal.SIGALRM, _out_of_time)
    threading.Thread(target=_outlive_nobody, args=(parent,), daemon=True).start()


def run_block(
    parameters: Arrays,
    context: Arrays,
    entropy: list[int],
    first_row: int,
    batched: bool,
    limit: float | None,
) -> Outcome:
    """Simulate consecutive rows, each with a generator that entropy and row decide.

    If ``batched``, in one call with the generator of the first row. Where it fails, each row is
    called by itself, to know which failed. ``limit`` is in seconds for a row.
    """
    rows = count_rows(parameters)
    parameters = _in_double_precision(parameters)
    context = _in_double_precision(context)
    # Loaded before the clock starts.
    _function()
    begun = time.monotonic()
    whole: Arrays | Failure | None = None
    if batched:
        longest = None if limit is None else limit * rows
        whole = _call(parameters, context, [*entropy, first_row], longest)
        if not isinstance(whole, Failure):
            _check_rows(whole, rows)
            return Outcome(rows, whole, {}, time.monotonic() - begun)
    results = []
    for row in range(rows):
        if batched:
            one = slice(row, row + 1)
            inputs = take(parameters, one), take(context, one), [*entropy, first_row, row]
        else:
            inputs = _row(parameters, row), _row(context, row), [*entropy, first_row + row]
        results.append(_call(*inputs, limit))
    failed = {row: result for row, result in enumerate(results) if isinstance(result, Failure)}
    if isinstance(whole, Failure) and not failed:
        # All rows together failed, and none by itself.
        return Outcome(rows, {}, dict.fromkeys(range(rows), whole))
    good = [row for row in range(rows) if row not in failed]
    parts = [result for result in results if not isinstance(result, Failure)]

    def call(part: int) -> str:
        return describe_call(_row(parameters, good[part]), _row(context, good[part]))

    observables = combine(parts, np.concatenate if batched else np.stack, call)
    return Outcome(rows, observables, failed, time.monotonic() - begun)


def _check_rows(observables: Arrays, rows: int) -> None:
    """Refuse observables of a batched function whose first axis isn't that of the draws."""
    shapes = {name: value.shape for name, value in observables.items()}
    if any(shape[:1] != (rows,) for shape in shapes.values()):
        raise SimulatorError(
            "Observables of a simulator with batched=True",
            expected=f"arrays ({rows}, ...) for {rows} draws of the parameters: draws first",
            got=f"shapes {shapes}",
            do="move that axis to the front, as with np.moveaxis(value, -1, 0), or leave out "
            "batched=True",
        )


def combine(
    parts: Sequence[Arrays],
    join: Callable[[list[np.ndarray]], np.ndarray],
    call: Callable[[int], str],
    shapes: dict[str, tuple[int, ...]] | None = None,
) -> Arrays:
    """Join rows, or blocks of rows, into one dict of arrays; ``call`` says how a part was made."""
    axes = 1 if join is np.concatenate else 0
    for number, part in enumerate(parts):
        other = {name: value.shape[axes:] for name, value in part.items()}
        shapes = shapes or other
        if other != shapes:
            do = (
                "return every observable each time; pad those of varying length, and declare "
                "lengths={...}. "
            )
            raise SimulatorError(
                "Names and shapes of a Python simulator's observables",
                expected="the same for each draw of the parameters",
                got=f"{shapes} and {other}",
                do=f"{do}The latter came of {call(number)}",
            )
    return {name: join([part[name] for part in parts]) for name in shapes or {}} if parts else {}


def describe_call(
    parameters: dict[str, Any], context: dict[str, Any], generator: Sequence[int] = ()
) -> str:
    """Write what a simulation was called with, so that it can be called again."""
    text = f"parameters {parameters}"
    if context:
        text += f", context {context}"
    text = text if len(text) < _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} ..."
    return f"{text}, generator numpy.random.default_rng({list(generator)})" if generator else text


@functools.cache
def _function() -> Callable[..., Any]:
    try:
        return cloudpickle.loads(_payload[0])
    except Exception as error:
        raise SimulatorError(
            "A Python simulator",
            expected="code that workers can load",
            got=f"{type(error).__name__}: {error}",
            do="import what is installed inside the function; put a function under "
            "functools.cache, which travels by its name alone, into a module, or cache inside the "
            "simulator",
        ) from error


def _in_double_precision(arrays: Arrays) -> Arrays:
    """Return floats in double precision, in which an offset that is added isn't lost."""
    return {
        name: value.astype(np.float64) if value.dtype.kind == "f" else value
        for name, value in arrays.items()
    }


def _row(values: Arrays, row: int) -> dict[str, Any]:
    # Scalars as plain floats, which Python code computes with fastest.
    return {
        name: value[row].item() if value.ndim == 1 else value[row] for name, value in values.items()
    }


def _copied(values: dict[str, Any]) -> dict[str, Any]:
    """Return a dict that a function may change, while others read the values."""
    return {
        name: value.copy() if isinstance(value, np.ndarray) else value
        for name, value in values.items()
    }


def _call(
    parameters: dict[str, Any], context: dict[str, Any], generator: list[int], limit: float | None
) -> Arrays | Failure:
    """Call the function once; turn what it raises into a failure or a SimulatorError.

    A SimulatorError is for faults that any other draw would have, too.
    """
    function = _function()
    random = np.random.Generator(np.random.PCG64(generator))
    inputs = (parameters, context) if context else (parameters,)
    arguments = (*map(_copied, inputs), random)
    process = os.getpid()
    try:
        observables = (
            function(*arguments) if limit is None else _call_in_time(function, arguments, limit)
        )
    except BaseException as error:
        _end_copy(process)
        # It travels from each worker with every failure.
        text = "".join(traceback.format_exception_only(error)).strip()[:_MOST_CHARACTERS]
        call = describe_call(parameters, context, generator)
        if isinstance(error, OutOfTime):
            text = f"nothing after the time limit of {limit:g} s"
        elif isinstance(error, NameError | ImportError):
            # It would fail in each other draw, too.
            expected = "names that workers know"
            do = "define helpers above the simulator, which runs where it stands"
            do += "; import modules at its top, and install them"
            raise SimulatorError(
                "Simulation of a row", expected=expected, got=text, do=f"{do}. {call}"
            ) from None
        return Failure(text, call, isinstance(error, OutOfTime))
    _end_copy(process)
    names = list(observables) if isinstance(observables, dict) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise SimulatorError(
            "A Python simulator",
            expected="a dict of observables, with texts as names",
            got=f"the names {names}" if names else type(observables).__name__,
            do='return numbers or arrays, as in {"cases": cases}',
        )
    return {
        name: _numbers(name, value, lambda: describe_call(parameters, context, generator))
        for name, value in observables.items()
    }


def _end_copy(process: int) -> None:
    """End a process that a simulator has forked and that returns: it isn't the worker."""
    if os.getpid() != process:
        os._exit(0)


def _numbers(name: str, value: Any, call: Callable[[], str]) -> np.ndarray:
    got = "masked values" if np.ma.is_masked(value) else ""
    try:
        # A copy: it is the user's memory, which the next call may overwrite. NumPy makes none of
        # what an object's own __array__ returns.
        array = np.asarray(value)
        check_memory(
            f"Observable {name!r} of a Python simulator",
            _COPIES * array.nbytes,
            got=f"an array of shape {array.shape}",
            do="return what inference needs alone",
            error=SimulatorError,
        )
        array = array.copy()
    except BayesinnError:
        raise
    except Exception as error:
        # Ragged lists, or an object that can't be converted.
        got = str(error)
        array = np.zeros(1)
    if got or array.dtype.kind not in "fiub":
        raise SimulatorError(
            f"Observable {name!r} of a Python simulator",
            expected="real numbers",
            got=got or f"dtype {array.dtype}: {str(value)[:100]}",
            do=f"return numbers, NaN where a simulation fails; this came of {call()}",
        )
    # TensorFlow has no longer floats.
    return array.astype(np.float64) if array.dtype.kind == "f" and array.itemsize > 8 else array


def _call_in_time(function: Callable[..., Any], given: tuple[Any, ...], limit: float) -> Any:
    # The signal becomes an exception once Python runs again.
    _end_after(limit + _GRACE if ALARMS else limit)
    set_alarm(limit)
    try:
        try:
            return function(*given)
        finally:
            set_alarm(0)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _out_of_time(*_: Any) -> None:
    _end_after(_CLEANING)
    raise OutOfTime


def _end_after(seconds: float) -> None:
    """End this process later, also while compiled code runs that never returns to Python."""
    # By a thread that needs no lock of Python. Timers of processor time would count that of all
    # threads.
    faulthandler.dump_traceback_later(seconds, exit=True, file=_nowhere())


@functools.cache
def _nowhere() -> int:
    return os.open(os.devnull, os.O_WRONLY)


def _outlive_nobody(parent: int) -> None:
    """End this process when the one that started it has ended, in whatever way.

    It also ends with its main thread, whatever threads a simulator has left.
    """
    main = threading.main_thread()
    while os.getppid() == parent:
        main.join(_SECONDS_BETWEEN_LOOKS)
        if not main.is_alive():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
    end_programs()
    os._exit(1)
