"""Which numbers are finite in single precision, in which networks compute; padding may hold anything."""

from collections.abc import Mapping

import numpy as np


def finite(value: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """Return which cells of an array (n, ...) are finite, or padding beyond the ``counts`` (n,) of valid steps."""
    if value.dtype.kind != "f":
        return np.ones(value.shape, bool)
    with np.errstate(over="ignore", invalid="ignore"):
        cells = np.isfinite(value.astype(np.float32))
    return cells if counts is None else cells | over_all_channels(padding(value, counts), value)


def finite_rows(
    observables: Mapping[str, np.ndarray], known: Mapping[str, np.ndarray], lengths: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Return which rows (n,) of each observable are finite, padding aside; ``lengths`` names counts among ``known``."""
    rows: dict[str, np.ndarray] = {}
    for name, value in observables.items():
        counts = known.get(lengths.get(name, ""))
        # A wrong declaration of lengths is reported elsewhere.
        counted = counts is not None and np.ndim(counts) == 1 and value.ndim > 1
        rows[name] = np.all(finite(value, counts if counted else None).reshape(len(value), -1), axis=1)
    return rows


def padding(value: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return which steps (n, steps) of an observable (n, steps, ...) lie beyond their row's count."""
    return np.arange(np.shape(value)[1]) >= np.asarray(counts)[:, None]


def over_all_channels(steps: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Reshape an array (n, steps) so that it broadcasts against an observable (n, steps, ...)."""
    return steps.reshape(*steps.shape, *(1,) * (np.ndim(value) - 2))
