"""What a worker process runs. Imports nothing heavy: each worker imports this module."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np

from bayesinn.core.errors import SimulatorError

Arrays = dict[str, np.ndarray]


def run_block(
    payload: bytes, parameters: Arrays, context: Arrays | None, entropy: list[int], first_row: int, batched: bool
) -> Arrays:
    """Simulate consecutive rows.

    Parameters
    ----------
    payload : the pickled function
    parameters, context : dict of name to array (rows, *event)
    entropy : list of int; with the row's number it decides the row's generator
    first_row : int, number of the first row in the whole batch
    batched : bool, whether the function takes all rows in one call, with one generator

    Returns
    -------
    dict of observable to array (rows, ...)
    """
    function = _unpickle(payload)
    if batched:
        return _call(function, parameters, context, _generator(entropy, first_row), first_row)
    rows = len(next(iter(parameters.values())))
    results = [
        _call(
            function, _row(parameters, row), _row(context, row), _generator(entropy, first_row + row), first_row + row
        )
        for row in range(rows)
    ]
    return combine(results, np.stack)


def combine(parts: list[Arrays], join: Callable[[list[np.ndarray]], np.ndarray]) -> Arrays:
    """Rows, or blocks of rows, as one dict of arrays."""
    for part in parts:
        if set(part) != set(parts[0]):
            raise _uneven("names", [list(parts[0]), list(part)])
    try:
        return {name: join([part[name] for part in parts]) for name in parts[0]}
    except ValueError as error:
        raise _uneven("shapes", [{name: value.shape for name, value in part.items()} for part in parts[:5]]) from error


def _uneven(what: str, found: list[Any]) -> SimulatorError:
    return SimulatorError(
        f"A Python simulator, {what} of its observables",
        expected=f"the same {what} for each draw of the parameters",
        got=" and ".join(map(str, found)),
        do="return every observable each time; pad those of varying length, and declare lengths={...}",
    )


@functools.lru_cache(maxsize=8)
def _unpickle(payload: bytes) -> Callable[..., Any]:
    return cloudpickle.loads(payload)


def _generator(entropy: list[int], row: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([*entropy, row])))


def _row(values: Arrays | None, row: int) -> dict[str, Any] | None:
    """One row; scalars as plain floats, which Python code computes with fastest."""
    if values is None:
        return None
    return {name: value[row].item() if value.ndim == 1 else value[row] for name, value in values.items()}


def _call(
    function: Callable[..., Any], parameters: Any, context: Any, generator: np.random.Generator, row: int
) -> Arrays:
    given = (parameters,) if context is None else (parameters, context)
    try:
        observables = function(*given, generator)
    except Exception as error:
        raise SimulatorError(
            f"Simulation of row {row}",
            expected="a result",
            got=f"{type(error).__name__}: {error}",
            do=f"call the function with these parameters: {parameters}",
        ) from error
    if not isinstance(observables, dict) or not observables:
        raise SimulatorError(
            "A Python simulator",
            expected="a dict of observables, each a number or an array",
            got=type(observables).__name__,
            do='return for example {"cases": cases}',
        )
    return {name: np.asarray(value) for name, value in observables.items()}
