"""Recurrent networks over series of varying length."""

from __future__ import annotations

import keras
import tensorflow as tf


def last_state(recurrent: keras.layers.RNN, h: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Return the last state of a recurrent network, zero for a series without steps.

    On a GPU, cuDNN refuses a mask with an empty row. Such a row gets one step of zeros, whose result isn't used.
    """
    if mask is None:
        return recurrent(h)
    empty = tf.logical_not(tf.reduce_any(mask, axis=1, keepdims=True))
    first = tf.range(tf.shape(mask)[1]) == 0
    state = recurrent(tf.where(empty[..., None], tf.zeros_like(h), h), mask=mask | (empty & first))
    return tf.where(empty, tf.zeros_like(state), state)
