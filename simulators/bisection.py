"""Bisection of many equations at once, in a loop: unrolled, XLA would compile much more code."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def bisect(
    start: tf.Tensor, end: tf.Tensor, holds: Callable[[tf.Tensor], tf.Tensor], steps: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the ends (n, ...) of the intervals in which a condition ceases to hold.

    The condition maps places (n, ...) to booleans. It holds at ``start`` and not at ``end``, on
    whichever side that is. Each of the ``steps`` halves the interval.

    Examples
    --------
    >>> low, high = bisect(tf.zeros(1), tf.fill([1], 2.0), lambda x: x**2 < 2.0, 20)
    >>> round(float(low[0]), 3)
    1.414
    """

    def halve(start: tf.Tensor, end: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        middle = 0.5 * (start + end)
        still = holds(middle)
        return tf.where(still, middle, start), tf.where(still, end, middle)

    first, last = tf.while_loop(lambda *_: True, halve, (start, end), maximum_iterations=steps)
    return first, last
