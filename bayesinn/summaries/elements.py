"""What summaries of sets share: feature axes, masked pooling, and the size of the set."""

from __future__ import annotations

import tensorflow as tf

POOLINGS = ("mean", "sum", "max")


def with_features(x: tf.Tensor) -> tf.Tensor:
    """Data as (n, elements, features): a missing last axis is one feature.

    Parameters
    ----------
    x : tensor (n, elements) or (n, elements, features)
    """
    return x[..., None] if x.shape.rank == 2 else x


def counts(x: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """How many elements each row has, at least one.

    Parameters
    ----------
    x : tensor (n, elements, features)
    mask : boolean tensor (n, elements), or None

    Returns
    -------
    tensor (n, 1)
    """
    if mask is None:
        return tf.fill((tf.shape(x)[0], 1), tf.cast(tf.shape(x)[1], x.dtype))
    # An empty set has no mean and no log size; counting it as one keeps the gradients of the others finite.
    return tf.maximum(tf.reduce_sum(tf.cast(mask, x.dtype), axis=1, keepdims=True), 1.0)


def pool(h: tf.Tensor, mask: tf.Tensor | None, pooling: str) -> tf.Tensor:
    """Pool over elements, leaving out padding.

    Parameters
    ----------
    h : tensor (n, elements, k)
    mask : boolean tensor (n, elements), or None
    pooling : {"mean", "sum", "max"}

    Returns
    -------
    tensor (n, k)
    """
    if pooling == "max":
        return tf.reduce_max(h if mask is None else tf.where(mask[..., None], h, h.dtype.min), axis=1)
    total = tf.reduce_sum(h if mask is None else tf.where(mask[..., None], h, tf.zeros_like(h)), axis=1)
    return total / counts(h, mask) if pooling == "mean" else total


def with_size(pooled: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Append log n and 1 / sqrt(n), which a mean hides though the width of a posterior depends on them.

    Parameters
    ----------
    pooled : tensor (n, k)
    size : tensor (n, 1)

    Returns
    -------
    tensor (n, k + 2)
    """
    return tf.concat([pooled, tf.math.log(size), tf.math.rsqrt(size)], axis=-1)
