"""Elements of sets and steps of series, (n, elements, features), with a padding mask.

The mask (n, elements) is False for padding.
"""

import keras
import tensorflow as tf

from bayesinn.core.masks import broadcast_mask

POOLINGS = ("mean", "sum", "max", "mean+max")


def with_features(x: tf.Tensor) -> tf.Tensor:
    """Return data as (n, elements, features); a missing last axis is one feature."""
    return x[..., None] if x.shape.rank == 2 else x


def blank(h: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Return elements (n, elements, ...) with zeros as padding."""
    if mask is None:
        return h
    return tf.where(broadcast_mask(mask, h), h, tf.zeros_like(h))


def counts(x: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Return the number of elements of each row, at least one, (n, 1)."""
    if mask is None:
        return tf.fill((tf.shape(x)[0], 1), tf.cast(tf.shape(x)[1], x.dtype))
    # An empty set has no mean and no log size; counting it as one keeps the gradients of the others
    # finite.
    return tf.maximum(tf.reduce_sum(tf.cast(mask, x.dtype), axis=1, keepdims=True), 1.0)


def pool(h: tf.Tensor, mask: tf.Tensor | None, pooling: str) -> tf.Tensor:
    """Return elements pooled by one of :data:`POOLINGS`, (n, features) or twice the features.

    Padding is left out.
    """
    if pooling == "mean+max":
        return tf.concat([pool(h, mask, "mean"), pool(h, mask, "max")], axis=-1)
    if pooling == "max":
        largest = tf.reduce_max(
            h if mask is None else tf.where(mask[..., None], h, h.dtype.min), axis=1
        )
        # An empty set has no maximum; the smallest number would overflow in the next layer.
        return (
            largest
            if mask is None
            else tf.where(tf.reduce_any(mask, axis=1, keepdims=True), largest, 0.0)
        )
    total = tf.reduce_sum(blank(h, mask), axis=1)
    return total / counts(h, mask) if pooling == "mean" else total


def with_size(pooled: tf.Tensor, x: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Append log n and 1 / sqrt(n), which a mean hides though posterior widths depend on them."""
    size = counts(x, mask)
    return tf.concat([pooled, tf.math.log(size), tf.math.rsqrt(size)], axis=-1)


def last_state(recurrent: keras.layers.RNN, h: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Return the last state of a recurrent network, zero for a series without steps.

    On a GPU, cuDNN refuses a mask with an empty row. Such a row gets one step of zeros, whose
    result isn't used.
    """
    if mask is None:
        return recurrent(h)
    empty = tf.logical_not(tf.reduce_any(mask, axis=1, keepdims=True))
    first = tf.range(tf.shape(mask)[1]) == 0
    state = recurrent(tf.where(empty[..., None], tf.zeros_like(h), h), mask=mask | (empty & first))
    return tf.where(empty, tf.zeros_like(state), state)
