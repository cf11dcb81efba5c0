"""Check what figure functions receive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from bayesinn.errors import InputError


def check_draws(role: str, draws: Mapping[str, np.ndarray]) -> None:
    """Refuse draws that are empty, not finite, or not equally many for every parameter."""
    lengths = {name: np.shape(value)[:1] for name, value in draws.items()}
    if not lengths or len(set(lengths.values())) > 1 or min(lengths.values()) < (2,):
        raise InputError(
            role,
            expected="for every parameter an array (draws, *event), with the same 2 or more draws",
            got=f"{ {name: np.shape(value) for name, value in draws.items()} }",
            do="pass the draws given one observation: draws[name][i] for observation i",
        )
    for name, value in draws.items():
        if not np.all(np.isfinite(value)):
            bad = int(np.sum(~np.isfinite(value)))
            raise InputError(
                f"{role} of {name!r}",
                expected="finite values",
                got=f"{bad} of {np.size(value)} values NaN or infinite",
                do="leave those draws out",
            )


def check_same_columns(role: str, expected: Iterable[str], got: Iterable[str]) -> None:
    """Refuse arrays that do not split into the same columns as the draws."""
    expected, got = list(expected), list(got)
    if set(expected) != set(got):
        raise InputError(
            f"columns of {role}",
            expected=f"those of draws: {expected}",
            got=str(got),
            do=f"pass the same parameters, with the same event shapes, in {role}",
        )
