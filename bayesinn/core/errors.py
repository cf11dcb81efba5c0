"""Errors that say what was expected, what came, and what to do; and the checks that raise them.

First the errors and warnings, then checks of single arguments, one line each at the place where an
argument is declared, then of memory: what would take more than is free is refused before anything
is allocated.
"""

from __future__ import annotations

import inspect
import math
import numbers
import os
import re
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "BankError",
    "BayesinnError",
    "InputError",
    "SavedPosteriorError",
    "SimulatorError",
    "TrainingError",
    "warn",
]


class BayesinnError(Exception):
    """Base of every error raised on purpose by bayesinn.

    The message has the subject in the user's own names ("observable 'cases'"), what was expected,
    what was got, and what to do.
    """

    # Keras rewraps exceptions raised inside a layer, and turns those it can't construct into
    # RuntimeError; this name is how it marks the ones to leave alone.
    _keras_call_info_injected = True
    # AutoGraph does the same with errors of functions that it traces; this is its name for it.
    ag_pass_through = True

    def __init__(self, subject: str, *, expected: str, got: str, do: str) -> None:
        super().__init__(f"{subject}\n  expected: {expected}\n  got:      {got}\n  do this:  {do}")

    def __reduce__(self) -> tuple[Callable[..., BayesinnError], tuple[type[BayesinnError], str]]:
        # On the way from a worker, the default would call the constructor with the finished message
        # alone.
        return _restore, (type(self), str(self))


def _restore(kind: type[BayesinnError], message: str) -> BayesinnError:
    error = kind.__new__(kind)
    error.args = (message,)
    return error


class InputError(BayesinnError, ValueError):
    """An argument, an observation or an array does not fit."""


class SimulatorError(BayesinnError, ValueError):
    """A simulator or its prior breaks the contract."""


class TrainingError(BayesinnError, RuntimeError):
    """Training had to stop; the last good weights are kept."""


class BankError(BayesinnError, RuntimeError):
    """A simulation bank can't be read, written or continued."""


class SavedPosteriorError(BayesinnError, RuntimeError):
    """A saved model or a checkpoint can't be read or written."""


# Whose lines are never the user's. Keras calls our layers and callbacks, Typer and Click our
# commands, and decorators come from the standard library.
_NOT_THE_USERS = (
    "bayesinn",
    "keras",
    "tensorflow",
    "tensorflow_probability",
    "typer",
    "click",
    "contextlib",
    "functools",
)


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn in the line that led here: the nearest one that is neither the library's nor Keras'."""
    loaded = [sys.modules[name] for name in _NOT_THE_USERS if name in sys.modules]
    files = [Path(str(module.__file__)) for module in loaded]
    # With a separator at the end, as a folder of the user may be called bayesinn_study. A module's
    # whole name is no prefix to Python.
    folders = [f"{file.parent}{os.sep}" for file in files if file.name == "__init__.py"]
    modules = [f"{file.with_suffix('')}." for file in files if file.name != "__init__.py"]
    warnings.warn(text, category, skip_file_prefixes=(*folders, *modules))


# Checks of arguments.

# TensorFlow counts in 32 bits.
_MOST = 2**31 - 1
# Numbers beyond which no network fits into memory, or can be made within hours.
_WIDEST = 2**16
#: Largest number of equal parts of a network.
MOST_REPEATED = 1_000
_REPEATED = ("blocks", "heads", "levels", "reflections", "steps", "terms")
#: Bytes in the name of a file, on nearly every disk.
_LONGEST_NAME = 255


def _shown(value: Any) -> str:
    """Return the text of a value; whole numbers of thousands of digits have none in Python."""
    try:
        return repr(value)
    except ValueError:
        return f"a whole number of {value.bit_length():,} bits"


def check_integer(
    subject: str,
    value: Any,
    least: int = 1,
    most: int | None = None,
    *,
    do: str = "",
    error: type[BayesinnError] = InputError,
) -> int:
    """Return a whole number within bounds as a plain integer."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    limit = _MOST if most is None else most
    if not whole or not least <= value <= limit:
        known = most is not None or (whole and value > limit)
        bounds = f"from {least:,} to {limit:,}" if known else f"of {least:,} or more"
        raise error(
            subject,
            expected=f"an integer {bounds}",
            got=_shown(value),
            do=do or f"pass for example {least}",
        )
    return int(value)


def check_number(
    subject: str,
    value: Any,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    do: str = "",
) -> float:
    """Return a finite number as a plain float, from ``least`` to ``most`` inclusive.

    The limits ``above`` and ``below`` are exclusive.
    """
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    try:
        number = float(value) if real else math.nan
    except OverflowError:  # a whole number of hundreds of digits
        number = math.inf
    if not (least <= number <= most and above < number < below):
        bounds = (("from", least), ("above", above), ("at most", most), ("below", below))
        expected = ", ".join(f"{word} {bound:g}" for word, bound in bounds if math.isfinite(bound))
        raise InputError(
            subject,
            expected=f"a number {expected}".rstrip(),
            got=_shown(value),
            do=do or f"pass {'one in these bounds' if expected else 'a finite number'}",
        )
    return number


def check_choice(
    subject: str,
    value: object,
    choices: Collection[object],
    do: str = "choose one of them",
    error: type[BayesinnError] = InputError,
) -> None:
    """Raise unless a value is one of the choices, of the same type."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        *others, last = map(repr, choices)
        raise error(
            subject,
            expected=f"{', '.join(others)} or {last}" if others else last,
            got=repr(value),
            do=do,
        )


def check_type(
    subject: str, value: object, kind: type | tuple[type, ...], expected: str, do: str
) -> None:
    """Raise unless a value is of a type."""
    if not isinstance(value, kind):
        raise InputError(subject, expected=expected, got=repr(value), do=do)


def check_flag(subject: str, value: Any) -> bool:
    """Return True or False; anything else is refused."""
    import numpy as np  # not for a command that needs no arrays

    check_type(subject, value, (bool, np.bool_), "True or False", "pass True or False")
    return bool(value)


def check_path(subject: str, value: Any, example: str) -> Path:
    """Return the path of a file or folder, which may not exist; ``~`` is the user's home."""
    do = f"pass for example {example!r}"
    check_type(subject, value, (str, os.PathLike), "a path", do)
    path = os.path.expanduser(os.fsdecode(value))
    if fault := _fault_of_path(path):
        raise InputError(
            subject,
            expected="a path that a disk can hold",
            got=f"{path[:60]!r}, {fault}" if path else fault,
            do=do,
        )
    return Path(path)


def _fault_of_path(path: str) -> str:
    """Return why no file can have a path; an empty text if one can."""
    if not path:
        return "an empty text"
    if "\0" in path:
        return "with a null character"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path):
        return "the address of another place"
    try:
        longest = max(map(len, os.fsencode(path).split(os.fsencode(os.sep))))
    except UnicodeEncodeError:
        return "with half of a surrogate pair, which is no character"
    return (
        f"with a name of {longest} bytes, more than {_LONGEST_NAME}"
        if longest > _LONGEST_NAME
        else ""
    )


def check_returned(
    method: str, name: str, value: Any, shape: Sequence[int | None], expected: str, do: str
) -> None:
    """Refuse what an author's method returns, unless it is floats of the shape of its contract.

    Shapes are known before anything is computed, so that this costs nothing; None is any size.
    """
    sizes = getattr(value, "shape", None)
    kind = str(getattr(value, "dtype", "no tensor"))
    if "float" not in kind:
        got = f"type {kind}" if sizes is not None else type(value).__name__
        raise InputError(f"{method}, {name}", expected=f"{expected}, floats", got=got, do=do)
    # While a graph is traced, the number of rows may be unknown, or all of the shape.
    if sizes is None or getattr(sizes, "rank", 0) is None:
        return
    if len(sizes) != len(shape) or any(
        size != other and None not in (size, other)
        for size, other in zip(sizes, shape, strict=True)
    ):
        got = f"shape {tuple(sizes)}"
        raise InputError(f"{method}, {name}", expected=expected, got=got, do=do)


def check_pair(method: str, value: Any, expected: str) -> tuple[Any, Any]:
    """Return the two values that an author's method returns; refuse anything but a pair."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        got = type(value).__name__
        if isinstance(value, tuple | list):
            got += f" of {len(value)}"
        raise InputError(method, expected=f"a pair: {expected}", got=got, do="return z, log_det")
    return value[0], value[1]


def check_arguments(
    owner: str, parameters: Mapping[str, inspect.Parameter], values: Mapping[str, Any]
) -> None:
    """Check arguments annotated as numbers, several integers or flags; and names of activations.

    Integers are 1 or more, or 0 if that is the default; arguments of other kinds have checks of
    their own.
    """
    for name, value in values.items():
        subject = f"{owner}, argument {name!r}"
        default = parameters[name].default
        kind = parameters[name].annotation
        text = kind.__name__ if isinstance(kind, type) else str(kind)
        if value is None and text.endswith(" | None"):
            continue
        least = 0 if default == 0 else 1
        match text.removesuffix(" | None").rpartition(".")[2]:
            case "int":
                number = check_integer(subject, value, least)
                most = MOST_REPEATED if name in _REPEATED else _WIDEST
                if number > most:
                    check_integer(subject, value, least, most)
            case "float":
                is_share = name == "dropout"
                check_number(
                    subject,
                    value,
                    least=0.0 if is_share else -math.inf,
                    below=1.0 if is_share else math.inf,
                    do="" if default is None else f"pass for example {default!r}",
                )
            case "bool":
                check_flag(subject, value)
            case "tuple[float, float]":
                example = "pass for example (0.0, 1.0)"
                pair = value if isinstance(value, Sequence) or hasattr(value, "ndim") else ()
                if isinstance(pair, str) or getattr(pair, "ndim", 1) != 1 or len(pair) != 2:
                    raise InputError(subject, expected="two numbers", got=repr(value), do=example)
                for number in pair:
                    check_number(f"{subject}, each", number, do=example)
            case "Sequence[int]" | "tuple[int, int]":
                example = f"pass for example {default!r}"
                # Arrays have axes, and need no import of their library here.
                several = isinstance(value, Sequence) or hasattr(value, "ndim")
                several = several and not isinstance(value, str | bytes)
                check_type(
                    subject, value, type(value) if several else tuple, "several integers", example
                )
                for number in value:
                    if check_integer(f"{subject}, each", number, do=example) > _WIDEST:
                        check_integer(f"{subject}, each", number, most=_WIDEST)
            case "str" if (
                name == "activation" and _is_activation(default) and not _is_activation(value)
            ):
                raise InputError(
                    subject,
                    expected="the name of a Keras activation",
                    got=repr(value),
                    do="pass for example 'relu', 'silu' or 'tanh'",
                )


def _is_activation(name: Any) -> bool:
    import keras  # not for a command that needs no network

    try:
        keras.activations.get(name)
    except Exception:
        return False
    return name is not None


def distinct(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dict of pairs, for JSON; a ValueError names what is there twice."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} is there twice")
        found[name] = value
    return found


# Checks of memory.

# Bytes of any request that is granted without a look at the machine, which reads several files.
_SMALL = 64 * 2**20
# Bytes at the peak for each byte of a result: its blocks, and the array that they are joined to.
_JOINED = 2
_NUMBER_BYTES = 4
_PROC = Path("/proc")
_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def check_memory(
    subject: str,
    size: int,
    *,
    got: str,
    do: str,
    error: type[BayesinnError] = InputError,
) -> None:
    """Raise if a request needs more memory than is free.

    Parameters
    ----------
    subject : str, what the user named
    size : int, bytes that it needs at its peak
    got : str, what was asked for, in the plural: "1,000 draws"
    do : str, what to do instead
    error : class of the error

    Examples
    --------
    >>> check_memory("Argument 'draws'", 8_000, got="1,000 draws", do="ask for fewer")
    """
    if size <= _SMALL or size <= (free := free_memory()):
        return
    raise error(
        subject,
        expected=f"a request that fits into the {_size_text(free)} of memory that are free",
        got=f"{got}, which need {_size_text(size)}",
        do=do,
    )


def check_draws(
    value: Any,
    shapes: Mapping[str, tuple[int, ...]],
    rows: int = 1,
    *,
    least: int = 1,
    subject: str = "Argument 'draws'",
) -> int:
    """Return the number of draws that a method is asked for.

    Variables of some shapes, for each of ``rows`` data sets, must fit into memory.
    """
    count = check_integer(subject, value, least, do=f"pass for example {max(least, 1_000)}")
    numbers = sum(math.prod(map(int, shape)) for shape in shapes.values())
    got = f"{count:,} of {numbers:,} numbers" if numbers > 1 else f"{count:,} numbers"
    check_memory(
        subject,
        _JOINED * count * rows * numbers * _NUMBER_BYTES,
        got=f"{got} for each of {rows:,} data sets" if rows > 1 else got,
        do="ask for fewer, or in parts with different seeds",
    )
    return count


def free_memory() -> int:
    """Return the bytes that this process may still take, as far as the system tells.

    On Linux, what is available without and with swapping, or less if a control group (a container,
    a batch job) has less left. Elsewhere, all of the machine's memory.
    """
    try:
        known = _meminfo()
        machine = known["MemAvailable"] + known.get("SwapFree", 0)
    except (OSError, ValueError, KeyError):
        try:
            machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            machine = sys.maxsize
    return min([machine, *_left_of_groups()])


def _meminfo() -> dict[str, int]:
    lines = (line.split() for line in (_PROC / "meminfo").read_text().splitlines())
    return {name.rstrip(":"): int(number) * 1024 for name, number, *unit in lines if unit}


def _left_of_groups() -> Iterator[int]:
    """Yield what each control group of this process has left, in bytes; both versions of Linux."""
    try:
        lines = (_PROC / "self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root = _CONTROL_GROUPS
            names = ("memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            root = _CONTROL_GROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        else:
            continue
        folder = root / path.lstrip("/")
        for group in (folder, *folder.parents):
            left = _left_of_group(group, *names)
            if left is not None:
                yield left
            if group == root:
                break


def _left_of_group(group: Path, limit: str, usage: str, prefix: str) -> int | None:
    """Return the bytes that a control group has left; None without a limit."""
    try:
        most = int((group / limit).read_text())
        used = int((group / usage).read_text())
        lines = (group / "memory.stat").read_text().splitlines()
        counts = dict(line.split(maxsplit=1) for line in lines)
    except (OSError, ValueError):
        # Also "max", the text for no limit; a container may not see the groups around it.
        return None
    # Pages of files are counted as used, and are given back when memory is short.
    files = sum(int(counts.get(f"{prefix}{kind}_file", 0)) for kind in ("inactive", "active"))
    return max(most - used + files, 0)


def _size_text(size: int) -> str:
    """Write a number of bytes.

    >>> _size_text(48_000_000_000), _size_text(120_000_000)
    ('48 GB', '0.12 GB')
    """
    return f"{size / 1e9:,.2g} GB" if size < 10**9 else f"{size / 1e9:,.0f} GB"
