"""Zeros in place of what lies beyond the valid steps of series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.core.masks import broadcast_mask, padding


def without_padding(
    lengths: Mapping[str, str], data: Mapping[str, Any], context: Mapping[str, Any]
) -> dict[str, Any]:
    """Return observables (n, steps, ...) with zeros beyond their valid steps.

    There may be anything else, even NaN, which data must not have once steps are not counted.
    ``lengths`` names the context (n,) that counts the steps of an observable. All are arrays, or
    all are tensors.
    """
    blank = dict(data)
    for name, counter in lengths.items():
        value = data[name]
        counts = context[counter]
        if tf.is_tensor(value):
            valid = tf.sequence_mask(tf.cast(counts, tf.int32), value.shape[1])
            mask = broadcast_mask(valid, value)
            blank[name] = tf.where(mask, value, tf.zeros_like(value))
        else:
            mask = broadcast_mask(padding(value, counts), value)
            blank[name] = np.where(mask, np.zeros_like(value), value)
    return blank
