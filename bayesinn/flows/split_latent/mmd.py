"""The MMD as a differentiable loss.

For a test, which compares an MMD with its null distribution, see :func:`bayesinn.diagnostics.mmd`.
"""

from collections.abc import Sequence

import tensorflow as tf


def mmd_loss(
    first: tf.Tensor,
    second: tf.Tensor,
    scales: Sequence[float],
    pair_weights: tf.Tensor | None = None,
) -> tf.Tensor:
    r"""Unbiased MMD^2 of two batches (n, d), from a sum of kernels :math:`a^2 / (a^2 + d^2)`.

    These are inverse multiquadratic kernels.

    Their heavy tails give gradients to batches far apart, unlike Gaussian kernels; the scales a are
    distances. Pairs with equal row numbers are left out, also between the batches, so that for
    equal distributions the mean is 0 even if row i of one depends on row i of the other (Gretton et
    al. 2012, A kernel two-sample test, JMLR 13, equation 4). Weights (n, n) that fall with the
    distance of the rows' observations compare distributions given the observation.
    """
    # Centring avoids cancellation in the squared distances.
    middle = tf.stop_gradient(tf.reduce_mean(first, axis=0))
    first = first - middle
    second = second - middle
    between = _kernel(first, second, scales)
    difference = (
        _kernel(first, first, scales)
        + _kernel(second, second, scales)
        - between
        - tf.transpose(between)
    )
    weights = 1.0 - tf.eye(tf.shape(first)[0], dtype=first.dtype)
    if pair_weights is not None:
        weights *= pair_weights
    return tf.math.divide_no_nan(tf.reduce_sum(weights * difference), tf.reduce_sum(weights))


def gaussian_weights(values: tf.Tensor, scale: float) -> tf.Tensor:
    """Return Gaussian weights (n, n) of pairs of rows of values (n, d).

    The weight of a pair is a Gaussian function of its distance, with sd ``scale``.
    """
    return tf.exp(-0.5 * _squared_distances(values, values) / scale**2)


def _kernel(first: tf.Tensor, second: tf.Tensor, scales: Sequence[float]) -> tf.Tensor:
    squared = _squared_distances(first, second)
    return tf.add_n([1.0 / (1.0 + squared / scale**2) for scale in scales])


def _squared_distances(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    lengths = tf.reduce_sum(first**2, axis=1)[:, None] + tf.reduce_sum(second**2, axis=1)[None, :]
    # Expanded, as a matrix product: ten times faster than differences. Rounding may leave it just
    # below zero.
    return tf.maximum(lengths - 2.0 * tf.matmul(first, second, transpose_b=True), 0.0)
