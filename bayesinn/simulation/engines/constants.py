"""What a function reads beside its arguments: constants, and other functions.

A graph keeps the constants of the moment in which it was traced. This tells that they have changed
since.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

import numpy as np

_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
# Elements of an array, spread evenly, that are looked at.
_MOST_NUMBERS = 4_096
_MOST_ENTRIES = 1_000


def constants_of(function: Callable[..., Any]) -> dict[str, str]:
    """Describe what a function reads of its module and of enclosing functions, by name.

    Numbers, texts and arrays count by their values, also in lists and dicts; functions of the same
    module by what they read themselves, and all else by its identity.

    Examples
    --------
    >>> scale = 2.0
    >>> def simulate(parameters, seed):
    ...     return {"y": scale * parameters["m"]}
    >>> before = constants_of(simulate)
    >>> scale = 3.0
    >>> constants_of(simulate) == before
    False
    """
    found: dict[str, str] = {}
    waiting = [_plain_function(function)]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        for name, value in _read_by(one):
            found[f"{one.__qualname__}: {name}"] = _described(value)
            other = _plain_function(value)
            if other is not None and other.__globals__ is one.__globals__:
                waiting.append(other)
    return found


def _plain_function(value: Any) -> FunctionType | None:
    """Return the Python function behind a decorated, partial or bound one; None for all else."""
    while True:
        if isinstance(value, functools.partial):
            value = value.func
        elif isinstance(value, FunctionType):
            inner = getattr(value, "__wrapped__", None)
            if inner is None:
                return value
            value = inner
        elif hasattr(value, "__func__"):
            value = value.__func__
        else:
            return None


def _read_by(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the global names and the variables of enclosing functions that a function reads."""
    for name in _names(function.__code__):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    cells = function.__closure__ or ()
    for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:
            # Not assigned yet.
            continue


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that code reads, and code inside it, such as that of a lambda."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _described(value: Any) -> str:
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, np.ndarray) and value.dtype != object:
        some = value.ravel()[:: max(value.size // _MOST_NUMBERS, 1)]
        return f"{value.dtype}{value.shape} {zlib.crc32(some.tobytes())}"
    if isinstance(value, list | tuple | Mapping) and len(value) <= _MOST_ENTRIES:
        parts = value.items() if isinstance(value, Mapping) else value
        return f"{type(value).__name__}({', '.join(map(_described, parts))})"
    return f"{type(value).__name__} at {id(value)}"
