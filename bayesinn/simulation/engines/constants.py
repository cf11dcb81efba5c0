"""What a function reads beside its arguments, and where its source stands.

A graph keeps the constants of the moment in which it was traced, and worker processes those of the
moment in which the function was sent. This tells that they have changed since.
"""

from __future__ import annotations

import functools
import inspect
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

import numpy as np

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
# Elements of an array, spread evenly, that are looked at; and entries of all lists and dicts.
_MOST_NUMBERS = 4_096
_MOST_ENTRIES = 1_000


class Constants(NamedTuple):
    """What functions read, by place: plain values in words, and all else as it is."""

    texts: dict[str, str]
    #: Kept, so that no other object gets the address of one that is gone.
    objects: dict[str, Any]

    def same_as(self, other: Constants) -> bool:
        """Tell whether nothing has changed, as far as is looked at."""
        if self.texts != other.texts or self.objects.keys() != other.objects.keys():
            return False
        return all(value is other.objects[place] for place, value in self.objects.items())


def constants_of(*functions: Any) -> Constants:
    """Return what functions read of their modules and of enclosing functions.

    What is no function of Python is left out.

    Numbers, texts, arrays, and lists and dicts of these count by their values (of large ones, by
    some), functions of the same module and of enclosing functions by what they read themselves.
    Attributes of objects are not looked at.

    Examples
    --------
    >>> scale = 2.0
    >>> def simulate(parameters, seed):
    ...     return {"y": scale * parameters["m"]}
    >>> before = constants_of(simulate)
    >>> before.same_as(constants_of(simulate))
    True
    >>> scale = 3.0
    >>> before.same_as(constants_of(simulate))
    False
    """
    constants = Constants({}, {})
    waiting = [one for one in map(_plain_function, functions) if one is not None]
    seen: set[int] = set()
    while waiting:
        function = waiting.pop(0)
        if id(function) in seen:
            continue
        seen.add(id(function))
        for name, value, enclosed in _read_by(function):
            place = f"{len(seen)} {function.__qualname__}: {name}"
            other = _plain_function(value)
            if other is not None and (enclosed or other.__globals__ is function.__globals__):
                waiting.append(other)
            text = _text_of(value)
            if text is None:
                constants.objects[place] = value
            else:
                constants.texts[place] = text
    return constants


def innermost(value: Any) -> Any:
    """Return what is behind a decorated, partial or bound function."""
    while True:
        if isinstance(value, functools.partial):
            value = value.func
        elif isinstance(value, MethodType):
            value = value.__func__
        elif isinstance(value, FunctionType) and hasattr(value, "__wrapped__"):
            value = value.__wrapped__
        else:
            return value


def _plain_function(value: Any) -> FunctionType | None:
    """Return the Python function behind a decorated, partial or bound one; None for all else."""
    inner = innermost(value)
    return inner if isinstance(inner, FunctionType) else None


def _read_by(function: FunctionType) -> Iterator[tuple[str, Any, bool]]:
    """Yield names that a function reads, their values, and whether an enclosing function has them.

    All other names are global.
    """
    for name in _names(function.__code__):
        if name in function.__globals__:
            yield name, function.__globals__[name], False
    cells = function.__closure__ or ()
    for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
        try:
            yield name, cell.cell_contents, True
        except ValueError:
            # Not assigned yet.
            continue


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that code reads, and code inside it, such as that of a lambda."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _text_of(value: Any) -> str | None:
    """Write a plain value, an array, or a list or dict of such; None for all else."""
    try:
        return ", ".join(_texts(value, [_MOST_ENTRIES]))
    except (_NotPlainError, RecursionError):
        return None


class _NotPlainError(Exception):
    """A value counts by its identity."""


def _texts(value: Any, left: list[int]) -> Iterator[str]:
    """Yield the parts of a value; ``left`` is the number of those that may follow."""
    left[0] -= 1
    if left[0] < 0:
        raise _NotPlainError
    if isinstance(value, _PLAIN):
        yield repr(value)
    elif isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        array = np.asarray(value)
        some = array.flat[:: max(array.size // _MOST_NUMBERS, 1)]
        yield f"{array.dtype}{array.shape} {zlib.crc32(some.tobytes())}"
    elif type(value) in (list, tuple):
        yield f"{type(value).__name__} of {len(value)}"
        for part in value:
            yield from _texts(part, left)
    elif type(value) is dict:
        yield f"dict of {len(value)}"
        for key, part in value.items():
            yield from _texts(key, left)
            yield from _texts(part, left)
    else:
        raise _NotPlainError


def find_source(simulator: Any, function: Callable[..., Any]) -> dict[str, str]:
    """Return module, object and file in which a simulator is found again, empty where unknown.

    A program, or another object that is called, has no name of its own. It is then found by the
    variable that holds the simulator, in any module that is loaded.
    """
    # From the code itself: another module may have the name of its module.
    code = getattr(inspect.unwrap(function), "__code__", None)
    file = Path(code.co_filename) if code else Path()
    module = getattr(function, "__module__", "")
    name = getattr(function, "__qualname__", "")
    if not name:
        # The script that runs last: it may have imported the simulator.
        for _, other in sorted(sys.modules.items(), key=lambda item: item[0] == "__main__"):
            variables = list(getattr(other, "__dict__", {}).items())
            if variable := [key for key, value in variables if value is simulator]:
                name = variable[0]
                module = other.__name__
                file = Path(getattr(other, "__file__", None) or "")
                break
    return {"module": module, "object": name, "file": str(file.resolve()) if file.is_file() else ""}
