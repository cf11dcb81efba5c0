"""Code that runs in worker processes. Each of them imports this module, so it imports nothing heavy."""

import functools
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np

from bayesinn.core.errors import SimulatorError
from bayesinn.simulation.simulations import Arrays

_payload: list[bytes] = []


def install(payload: bytes) -> None:
    """Keep the pickled function, once in the life of a worker. An error in here could not be reported."""
    _payload.append(payload)


@functools.cache
def _function() -> Callable[..., Any]:
    try:
        return cloudpickle.loads(_payload[0])
    except Exception as error:
        do, got = "import what is installed, inside the function", f"{type(error).__name__}: {error}"
        raise SimulatorError("A Python simulator", expected="code that workers can load", got=got, do=do) from error


def run_block(parameters: Arrays, context: Arrays, entropy: list[int], first_row: int, batched: bool) -> Arrays:
    """Simulate consecutive rows, all in one call if ``batched``; entropy and (first) row decide a generator."""
    if batched:
        return _call(parameters, context, entropy, first_row)
    rows = range(len(next(iter(parameters.values()))))
    parts = [_call(_row(parameters, row), _row(context, row), entropy, first_row + row) for row in rows]
    return combine(parts, np.stack)


def combine(parts: list[Arrays], join: Callable[[list[np.ndarray]], np.ndarray]) -> Arrays:
    """Join rows, or blocks of rows, into one dict of arrays."""
    axes = 1 if join is np.concatenate else 0
    first, *others = ({name: value.shape[axes:] for name, value in part.items()} for part in parts)
    for other in others:
        if other != first:
            subject = "Names and shapes of a Python simulator's observables"
            expected, got = "the same for each draw of the parameters", f"{first} and {other}"
            do = "return every observable each time; pad those of varying length, and declare lengths={...}"
            raise SimulatorError(subject, expected=expected, got=got, do=do)
    return {name: join([part[name] for part in parts]) for name in first}


def _row(values: Arrays, row: int) -> dict[str, Any]:
    # Scalars as plain floats, which Python code computes with fastest.
    return {name: value[row].item() if value.ndim == 1 else value[row] for name, value in values.items()}


def _call(parameters: dict[str, Any], context: dict[str, Any], entropy: list[int], row: int) -> Arrays:
    function = _function()
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([*entropy, row])))
    try:
        observables = function(parameters, *[context] * bool(context), generator)
    except (Exception, SystemExit) as error:
        got, do = f"{type(error).__name__}: {error}", f"call the function with these parameters: {parameters}"
        if isinstance(error, NameError):
            do = "define it above the simulator, which runs once where it is declared"
        raise SimulatorError(f"Simulation of row {row}", expected="a result", got=got, do=do) from error
    if not isinstance(observables, dict) or not observables:
        do, got = 'return numbers or arrays, as in {"cases": cases}', type(observables).__name__
        raise SimulatorError("A Python simulator", expected="a dict of observables", got=got, do=do)
    return {name: np.asarray(value) for name, value in observables.items()}
