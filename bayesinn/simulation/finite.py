"""Which numbers are finite for the networks, which compute in single precision; padding may hold anything."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def finite(value: np.ndarray) -> np.ndarray:
    """Whether each number is finite in single precision; what isn't a float always is."""
    if value.dtype.kind != "f":
        return np.ones(value.shape, bool)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.isfinite(value.astype(np.float32))


def finite_rows(
    observables: Mapping[str, np.ndarray], known: Mapping[str, np.ndarray], lengths: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Whether each row of each observable (n, ...) is finite, padding aside; dict of name to boolean array (n,).

    Parameters
    ----------
    observables : dict of name to array (n, ...)
    known : dict of name to array (n,)
        Among others what counts the valid steps.
    lengths : dict of observable to the name of its count
    """
    rows: dict[str, np.ndarray] = {}
    for name, value in observables.items():
        cells = finite(value)
        # Lengths may be declared wrongly, of which others complain.
        if value.ndim > 1 and np.ndim(known.get(lengths.get(name, ""), 0)) == 1:
            cells |= over_all_channels(padding(value, known[lengths[name]]), value)
        rows[name] = np.all(cells.reshape(len(value), -1), axis=1)
    return rows


def padding(value: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Boolean array (n, steps): which steps of an observable (n, steps, ...) lie beyond their row's count."""
    return np.arange(np.shape(value)[1]) >= np.asarray(counts)[:, None]


def over_all_channels(steps: np.ndarray, value: np.ndarray) -> np.ndarray:
    """An array (n, steps) that broadcasts against an observable (n, steps, ...)."""
    return steps.reshape(*steps.shape, *(1,) * (np.ndim(value) - 2))
