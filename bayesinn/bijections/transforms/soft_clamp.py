"""Soft bounds: smooth functions that keep a network's output inside an interval."""

from __future__ import annotations

import math

import tensorflow as tf

SHAPES = ("atan", "steep atan", "tanh")


def soft_clamp(raw: tf.Tensor, bound: float, shape: str) -> tf.Tensor:
    r"""Squash values smoothly into (-bound, bound).

    Parameters
    ----------
    raw : tensor
    bound : float
        :math:`\alpha` below.
    shape : {"atan", "steep atan", "tanh"}
        :math:`(2 \alpha / \pi) \arctan(s / \alpha)`, with slope 0.64 at zero;
        :math:`(2 \alpha / \pi) \arctan(s)`, with slope 0.64 :math:`\alpha`; or
        :math:`\alpha \tanh(s / \alpha)`, with slope 1.

    Returns
    -------
    tensor, as ``raw``

    Examples
    --------
    >>> import tensorflow as tf
    >>> [round(float(soft_clamp(tf.constant(10.0), 2.0, shape)), 2) for shape in SHAPES]
    [1.75, 1.87, 2.0]
    """
    if shape == "atan":
        return (2.0 * bound / math.pi) * tf.atan(raw / bound)
    if shape == "steep atan":
        return (2.0 * bound / math.pi) * tf.atan(raw)
    return bound * tf.tanh(raw / bound)
