"""Spectral normalisation of matrices, computed anew from the weights in every call."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

# 256 steps of power iteration: the bound is above the largest singular value by at most 0.8 % for 64 units.
_SQUARINGS = 8


@tf.custom_gradient
def spectral_bound(kernel: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Return an upper bound () of the largest singular value of a matrix (inputs, outputs), by power iteration.

    The Gram matrix is squared eight times, which is 256 steps of power iteration from every starting vector at once.
    Its trace gives the Schatten norm of order 514, which is never below the largest singular value and at most a
    factor rank^(1/514) above. The bound is a function of the weights alone. Miyato et al. (2018), arXiv:1802.05957,
    keep one vector between training steps, which may be stale.

    Examples
    --------
    >>> import tensorflow as tf
    >>> round(float(spectral_bound(tf.linalg.diag([3.0, 1.0, 0.5]))), 4)
    3.0
    """
    # Divisions by at least the smallest normal number keep a kernel of zeros, with which networks start, at zero.
    tiny = np.finfo(kernel.dtype.as_numpy_dtype).tiny
    tall = kernel.shape[0] > kernel.shape[1]
    gram = tf.matmul(kernel, kernel, transpose_a=tall, transpose_b=not tall)
    scale = tf.maximum(tf.linalg.trace(gram), tiny)
    gram /= scale
    power, log_scale = gram, tf.zeros_like(scale)
    for number in range(_SQUARINGS):
        power = tf.matmul(power, power)
        log_scale *= 2.0
        # Not after each: the largest eigenvalue is 1/units or more, and its eighth power doesn't underflow.
        if number % 3 == 2:
            trace = tf.maximum(tf.linalg.trace(power), tiny)
            power /= trace
            log_scale += tf.math.log(trace)
    last = tf.maximum(tf.reduce_sum(power * gram), tiny)
    order = 2.0 * (2.0**_SQUARINGS + 1.0)
    bound = tf.sqrt(scale) * tf.exp((log_scale + tf.math.log(last)) / order)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        # That of the Schatten norm in closed form: no need to go back through the squarings.
        product = tf.matmul(kernel, power) if tall else tf.matmul(power, kernel)
        return upstream * bound * (product / scale / last)

    return bound, gradient


def limited(kernel: tf.Tensor, limit: float) -> tf.Tensor:
    """Scale a matrix down so that its largest singular value is at most ``limit``; a smaller one is left alone."""
    # Not limit / bound and then a minimum: at a kernel of zeros the gradient would be zero times infinity.
    return kernel * (limit / tf.maximum(spectral_bound(kernel), limit))
