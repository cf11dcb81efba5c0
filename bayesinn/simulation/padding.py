"""Zeros in place of what lies beyond the valid steps of series, in a graph."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from bayesinn.core.masks import broadcast_mask
from bayesinn.simulation.prior import Values


def without_padding_in_graph(lengths: Mapping[str, str], data: Values, context: Values) -> Values:
    """Do to tensors what :func:`bayesinn.core.masks.without_padding` does to arrays."""
    blank = dict(data)
    for name, counter in lengths.items():
        value = data[name]
        valid = tf.sequence_mask(tf.cast(context[counter], tf.int32), value.shape[1])
        blank[name] = tf.where(broadcast_mask(valid, value), value, tf.zeros_like(value))
    return blank
