"""Checks of single arguments, one line each at the place where an argument is declared."""

from __future__ import annotations

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
    """Return a whole number within bounds as a plain integer.

    Examples
    --------
    >>> check_integer("Argument 'draws'", np.int64(5))
    5
    >>> check_integer("Argument 'draws'", 0)
    Traceback (most recent call last):
    bayesinn.core.errors.InputError: Argument 'draws'
      expected: an integer of 1 or more
      got:      0
      do this:  pass for example 1
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)
    if not whole or value < least or (most is not None and value > most):
        bounds = f"of {least:,} or more" if most is None else f"from {least:,} to {most:,}"
        raise error(subject, expected=f"an integer {bounds}", got=repr(value), do=do or f"pass for example {least}")
    return int(value)


def check_number(
    subject: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    do: str = "",
    error: type[BayesinnError] = InputError,
) -> float:
    """Return a finite number as a plain float; ``least`` and ``most`` are allowed, ``above`` and ``below`` are not.

    Examples
    --------
    >>> check_number("Argument 'average'", 1.0, least=0, below=1)
    Traceback (most recent call last):
    bayesinn.core.errors.InputError: Argument 'average'
      expected: a number from 0, below 1
      got:      1.0
      do this:  change it
    """
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool | np.bool_)
    outside = not real or not math.isfinite(value)
    outside = outside or (least is not None and value < least) or (above is not None and value <= above)
    if outside or (most is not None and value > most) or (below is not None and value >= below):
        bounds = (("from", least), ("above", above), ("up to", most), ("below", below))
        expected = ", ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
        raise error(subject, expected=f"a number {expected}".rstrip(), got=repr(value), do=do or "change it")
    return float(value)


def check_choice(
    subject: str,
    value: object,
    choices: Collection[object],
    do: str = "choose one of them",
    error: type[BayesinnError] = InputError,
) -> None:
    """Raise unless a value is one of the choices.

    Examples
    --------
    >>> check_choice("Argument 'mixing'", "stir", ("permutation", "rotation"))
    Traceback (most recent call last):
    bayesinn.core.errors.InputError: Argument 'mixing'
      expected: 'permutation' or 'rotation'
      got:      'stir'
      do this:  choose one of them
    """
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        *others, last = map(repr, choices)
        expected = f"{', '.join(others)} or {last}" if others else last
        raise error(subject, expected=expected, got=repr(value), do=do)


def check_type(subject: str, value: object, kind: type | tuple[type, ...], expected: str, do: str) -> None:
    """Raise unless a value is of a type.

    Examples
    --------
    >>> check_type("Argument 'flow'", 3, str, "a flow", "pass bi.flows.coupling()")
    Traceback (most recent call last):
    bayesinn.core.errors.InputError: Argument 'flow'
      expected: a flow
      got:      3
      do this:  pass bi.flows.coupling()
    """
    if not isinstance(value, kind):
        raise InputError(subject, expected=expected, got=repr(value), do=do)


def check_flag(subject: str, value: Any) -> bool:
    """Return True or False; anything else is refused."""
    check_type(subject, value, (bool, np.bool_), "True or False", "pass True or False")
    return bool(value)
