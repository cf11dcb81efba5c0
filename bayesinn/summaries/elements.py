"""Feature axes, masked pooling, and sizes of sets."""

from __future__ import annotations

import tensorflow as tf

POOLINGS = ("mean", "sum", "max")


def with_features(x: tf.Tensor) -> tf.Tensor:
    """Return data as (n, elements, features); a missing last axis is one feature."""
    return x[..., None] if x.shape.rank == 2 else x


def counts(x: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Return the number of elements of each row, at least one, (n, 1)."""
    if mask is None:
        return tf.fill((tf.shape(x)[0], 1), tf.cast(tf.shape(x)[1], x.dtype))
    # An empty set has no mean and no log size; counting it as one keeps the gradients of the others finite.
    return tf.maximum(tf.reduce_sum(tf.cast(mask, x.dtype), axis=1, keepdims=True), 1.0)


def pool(h: tf.Tensor, mask: tf.Tensor | None, pooling: str) -> tf.Tensor:
    """Return elements (n, elements, k) pooled by one of :data:`POOLINGS`, without padding, (n, k)."""
    if pooling == "max":
        largest = tf.reduce_max(h if mask is None else tf.where(mask[..., None], h, h.dtype.min), axis=1)
        # An empty set has no maximum; the smallest number would overflow in the next layer.
        return largest if mask is None else tf.where(tf.reduce_any(mask, axis=1, keepdims=True), largest, 0.0)
    total = tf.reduce_sum(h if mask is None else tf.where(mask[..., None], h, tf.zeros_like(h)), axis=1)
    return total / counts(h, mask) if pooling == "mean" else total


def with_size(pooled: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Append log n and 1 / sqrt(n), which a mean hides though the width of a posterior depends on them, (n, k + 2)."""
    return tf.concat([pooled, tf.math.log(size), tf.math.rsqrt(size)], axis=-1)
