"""Real numbers from whatever users pass: arrays, lists, columns of tables, masked values."""

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesinn.core.errors import BayesinnError, InputError

#: What to do with missing values where none are declared.
MISSING_VALUES = (
    "declare missing='mask' and train with missing values, or fill them the way the simulator does"
)


def numbers(
    subject: str, value: Any, error: type[BayesinnError] = InputError, missing: bool = False
) -> np.ndarray:
    """Return real numbers as an array; refuse complex, ragged or empty values, and text.

    Masked values and None are refused, too, or become NaN if values may be ``missing``.
    """
    if hasattr(value, "to_numpy") and hasattr(value, "dtype"):
        value = _from_column(value)
    value = _with_masks(value)
    if missing:
        value = _with_nan(value)
    try:
        array = np.asarray(value)
    except ValueError as ragged:
        raise error(
            subject, expected="a rectangular array", got=str(ragged), do="pad the rows"
        ) from ragged
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise error(subject, expected="real numbers", got="masked values", do=MISSING_VALUES)
    if array.dtype.kind not in "fiub" or array.size == 0:
        got = "None" if value is None else f"dtype {array.dtype}"
        do = "convert it with numpy.asarray(values, float)"
        if array.size == 0:
            got = "an empty array"
            do = "give one row or more"
        elif array.dtype == object and not missing and any(item is None for item in array.flat):
            got = "None, a missing value" if array.ndim else "None"
            do = MISSING_VALUES
        elif array.dtype.kind == "M":
            do = "convert dates to a time since the first, in the unit of the simulator"
        elif array.dtype.kind == "c":
            do = "pass real and imaginary part apart"
        raise error(subject, expected="real numbers", got=got, do=do)
    # TensorFlow has no other floats.
    return (
        array
        if array.dtype.kind != "f" or array.dtype in ("f2", "f4", "f8")
        else array.astype(np.float64)
    )


def _from_column(value: Any) -> Any:
    """Return a column of pandas as an array; NaN where a number of its own types is missing."""
    # Types of NumPy are read as they are.
    kind = "" if isinstance(value.dtype, np.dtype) else value.dtype.kind
    if kind and kind in "fiub" and value.isna().any():
        return value.to_numpy(np.float64, na_value=np.nan)
    return value.to_numpy()


def _with_masks(value: Any) -> Any:
    """Return lists of masked arrays as one masked array; anything else as it is.

    NumPy would join their data, and forget the masks.
    """
    if not isinstance(value, list | tuple):
        return value
    if not any(isinstance(item, list | tuple | np.ma.MaskedArray) for item in value):
        return value
    items = [_with_masks(item) for item in value]
    if any(np.ma.isMaskedArray(item) for item in items):
        with contextlib.suppress(ValueError):  # ragged, explained where it is checked
            return np.ma.stack(items)
    return value


def _with_nan(value: Any) -> Any:
    """Return values with NaN in place of masked ones and of None; anything else as it is."""
    if np.ma.isMaskedArray(value):
        return np.ma.filled(value.astype(np.float64), np.nan)
    with contextlib.suppress(ValueError, TypeError):  # explained where it is checked
        array = np.asarray(value)
        return array.astype(np.float64) if array.dtype == object else value
    return value


def broadcast_mask(mask: Any, value: Any) -> Any:
    """Append axes to a mask (n, steps), or (n,), for use with values (n, steps, ...).

    Mask and values are arrays, or tensors of known rank.

    >>> broadcast_mask(np.ones((5, 3), bool), np.zeros((5, 3, 8, 2))).shape
    (5, 3, 1, 1)
    """
    return mask[(..., *(np.newaxis,) * (np.ndim(value) - np.ndim(mask)))]


def padding(value: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return steps (n, steps) of an observable (n, steps, ...) beyond their row's count.

    Counts are rounded down.
    """
    return np.arange(np.shape(value)[1]) >= np.floor(np.asarray(counts, np.float64))[:, None]


def fill_padding(value: np.ndarray, counts: np.ndarray, fill: Any) -> np.ndarray:
    """Return an observable (n, steps, ...) with ``fill`` beyond the count of steps of each row.

    >>> fill_padding(np.array([[5.0, 6.0]]), np.array([1]), np.nan)
    array([[ 5., nan]])
    """
    return np.where(broadcast_mask(padding(value, counts), value), fill, value)


def without_padding(
    lengths: Mapping[str, str], data: Mapping[str, Any], context: Mapping[str, Any]
) -> dict[str, Any]:
    """Return arrays (n, steps, ...) with zeros beyond their valid steps.

    There may be anything else, even NaN, which data must not have once steps are not counted.
    ``lengths`` names the context (n,) that counts the steps of an observable.

    >>> without_padding({"y": "n"}, {"y": np.array([[5.0, np.nan]])}, {"n": np.array([1])})
    {'y': array([[5., 0.]])}
    """
    blank = dict(data)
    for name, counter in lengths.items():
        value = np.asarray(data[name])
        blank[name] = fill_padding(value, context[counter], np.zeros_like(value))
    return blank
