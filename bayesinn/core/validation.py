"""Checks of single arguments, one line each at the place where an argument is declared."""

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from bayesinn.core.errors import BayesinnError, InputError


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
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        bounds = f"of {least:,} or more" if most is None else f"from {least:,} to {most:,}"
        raise error(subject, expected=f"an integer {bounds}", got=repr(value), do=do or f"pass for example {least}")
    return int(value)


def check_number(
    subject: str,
    value: Any,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    do: str = "change it",
) -> float:
    """Return a finite number as a plain float; ``least`` and ``most`` are allowed, ``above`` and ``below`` are not."""
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not real or not (least <= value <= most and above < value < below):
        bounds = (("from", least), ("above", above), ("at most", most), ("below", below))
        expected = ", ".join(f"{word} {bound:g}" for word, bound in bounds if math.isfinite(bound))
        raise InputError(subject, expected=f"a number {expected}".rstrip(), got=repr(value), do=do)
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
        expected = f"{', '.join(others)} or {last}" if others else last
        raise error(subject, expected=expected, got=repr(value), do=do)


def check_type(subject: str, value: object, kind: type | tuple[type, ...], expected: str, do: str) -> None:
    """Raise unless a value is of a type."""
    if not isinstance(value, kind):
        raise InputError(subject, expected=expected, got=repr(value), do=do)


def check_flag(subject: str, value: Any) -> bool:
    """Return True or False; anything else is refused."""
    check_type(subject, value, (bool, np.bool_), "True or False", "pass True or False")
    return bool(value)
