"""Checks of single arguments, one line each at the place where an argument is declared."""

import inspect
import math
import numbers
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bayesinn.core.errors import BayesinnError, InputError

# TensorFlow counts in 32 bits.
_MOST = 2**31 - 1
# Numbers beyond which no network fits into memory, or can be made within hours.
_WIDEST = 2**16
#: Largest number of equal parts of a network.
MOST_REPEATED = 1_000
_REPEATED = ("blocks", "heads", "levels", "reflections", "steps", "terms")
#: Bytes in the name of a file, on nearly every disk.
_LONGEST_NAME = 255


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
            got=repr(value),
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
    if not real or not (least <= value <= most and above < value < below):
        bounds = (("from", least), ("above", above), ("at most", most), ("below", below))
        expected = ", ".join(f"{word} {bound:g}" for word, bound in bounds if math.isfinite(bound))
        raise InputError(
            subject,
            expected=f"a number {expected}".rstrip(),
            got=repr(value),
            do=do or f"pass {'one in these bounds' if expected else 'a finite number'}",
        )
    return float(value)


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
                    do=f"pass for example {default!r}",
                )
            case "bool":
                check_flag(subject, value)
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
