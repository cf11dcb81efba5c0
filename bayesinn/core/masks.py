"""Masks of rows or steps, beside arrays and tensors that have more axes."""

from collections.abc import Mapping
from typing import Any

import numpy as np


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
