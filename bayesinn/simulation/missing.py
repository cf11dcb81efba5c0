"""Missing values: NaN in an observable, where a simulator declares them."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.errors import check_number
from bayesinn.core.masks import broadcast_mask, padding


def check_missing(subject: str, value: Any) -> float | None:
    """Return the largest share of values that are lost at random, or None.

    The share is 0.0 if the simulator itself decides which values are missing.
    """
    if value is None:
        return None
    if isinstance(value, str) and value == "mask":
        return 0.0
    return check_number(
        subject,
        value,
        above=0,
        below=1,
        do="pass missing='mask' where the simulator itself returns NaN, or the largest share that "
        "is lost, such as 0.3",
    )


def missing_option(share: float | None) -> Any:
    """Return the option that declares what :func:`check_missing` returned."""
    return "mask" if share == 0.0 else share


def lose_values(
    observables: Mapping[str, tf.Tensor], share: float, seed: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Return observables (n, ...) as floats, each row without a random share of its values.

    This share is drawn anew for each row, uniformly from 0 to ``share``.
    """
    first, *others = seeds.split(seed, 1 + len(observables))
    rows = tf.shape(next(iter(observables.values())))[:1]
    shares = tf.random.stateless_uniform(rows, first, 0.0, share, alg="philox")
    kept = {}
    for (name, value), lose_seed in zip(observables.items(), others, strict=True):
        value = tf.convert_to_tensor(value)
        value = value if value.dtype.is_floating else tf.cast(value, tf.float32)
        threshold = tf.reshape(shares, tf.concat([rows, (value.shape.rank - 1) * [1]], axis=0))
        lost = tf.random.stateless_uniform(tf.shape(value), lose_seed, alg="philox") < threshold
        kept[name] = tf.where(lost, tf.constant(float("nan"), value.dtype), value)
    return kept


# Which numbers are finite in single precision, as networks compute; padding may hold anything.
#
# Where missing values are declared, NaN stands for one; infinity is never allowed.


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
