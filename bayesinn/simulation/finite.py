"""Which numbers are finite in single precision, as networks compute; padding may hold anything.

Where missing values are declared, NaN stands for one; infinity is never allowed.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from bayesinn.core.masks import broadcast_mask, padding


class Declared(Protocol):
    """Declarations that decide which numbers must be finite."""

    @property
    def lengths(self) -> Mapping[str, str]: ...

    @property
    def missing(self) -> float | None: ...


def finite(
    value: np.ndarray, counts: np.ndarray | None = None, missing: bool = False
) -> np.ndarray:
    """Return which cells of an array (n, ...) are finite, padding, or may be ``missing``.

    Padding lies beyond the ``counts`` (n,).
    """
    if value.dtype.kind != "f":
        return np.ones(value.shape, bool)
    with np.errstate(over="ignore", invalid="ignore"):
        cells = np.isfinite(value.astype(np.float32)) | (missing & np.isnan(value))
    return cells if counts is None else cells | broadcast_mask(padding(value, counts), value)


def finite_rows(
    observables: Mapping[str, np.ndarray], known: Mapping[str, np.ndarray], declared: Declared
) -> dict[str, np.ndarray]:
    """Return which rows (n,) of each observable are finite where they must be.

    Counts of observables of varying length are among the ``known`` arrays.
    """
    rows: dict[str, np.ndarray] = {}
    for name, value in observables.items():
        counts = known.get(declared.lengths.get(name, ""))
        # A wrong declaration of lengths is reported elsewhere.
        counted = counts is not None and np.ndim(counts) == 1 and value.ndim > 1
        cells = finite(value, counts if counted else None, declared.missing is not None)
        rows[name] = np.all(cells.reshape(len(value), -1), axis=1)
    return rows
