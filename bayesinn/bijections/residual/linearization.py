"""The Jacobian of a dense network, kept as the factors of a product."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

# Numbers in one intermediate tensor of :meth:`Linearization.log_det`: 64 MB in single precision.
_NUMBERS_AT_ONCE = 2**24


class Linearization(NamedTuple):
    """The Jacobian J of a dense network g at n points: its matrices and its activations' slopes.

    Products with J cost as much as g itself, and J is never formed for them. There are k kernels
    (inputs, outputs) and k - 1 slopes (n, outputs) between them; none for a linear function.
    """

    kernels: list[tf.Tensor]
    slopes: list[tf.Tensor]

    def jacobian_vector(self, vectors: tf.Tensor) -> tf.Tensor:
        """Return the products J v, (n, d), with vectors v (n, d)."""
        for kernel, slope in zip(self.kernels[:-1], self.slopes, strict=True):
            vectors = tf.matmul(vectors, kernel) * slope
        return tf.matmul(vectors, self.kernels[-1])

    def vector_jacobian(self, vectors: tf.Tensor) -> tf.Tensor:
        """Return the products w^T J, (n, d), with vectors w (n, d)."""
        vectors = tf.matmul(vectors, self.kernels[-1], transpose_b=True)
        for kernel, slope in zip(self.kernels[-2::-1], self.slopes[::-1], strict=True):
            vectors = tf.matmul(vectors * slope, kernel, transpose_b=True)
        return vectors

    def log_det(self) -> tf.Tensor:
        """Return the exact log determinants (n,) of I + J for J of norm below one.

        Many points are computed in pieces.
        """
        rows = self.slopes[0].shape[0] if self.slopes else 1
        numbers_a_row = self.kernels[0].shape[0] * max(kernel.shape[1] for kernel in self.kernels)
        piece = max(1, _NUMBERS_AT_ONCE // numbers_a_row)
        if rows is not None and rows <= piece:
            return _log_det(self.jacobian())
        return _in_pieces(
            lambda slopes: _log_det(Linearization(self.kernels, slopes).jacobian()),
            self.slopes,
            piece,
        )

    def jacobian(self) -> tf.Tensor:
        """Return the matrices J, (n, d, d), with outputs along rows; (1, d, d) if linear."""
        # Row i is the image of the i-th unit vector. Kept flat between layers: one large product of
        # matrices is several times as fast as a batch of small ones.
        dimension = self.kernels[0].shape[0]
        images = self.kernels[0][tf.newaxis]
        for kernel, slope in zip(self.kernels[1:], self.slopes, strict=True):
            flat = tf.reshape(images * slope[:, tf.newaxis], (-1, kernel.shape[0]))
            images = tf.reshape(tf.matmul(flat, kernel), (-1, dimension, kernel.shape[1]))
        return tf.linalg.matrix_transpose(images)


def _log_det(jacobian: tf.Tensor) -> tf.Tensor:
    """Return the log determinants (n,) of I + J, positive as J (n, d, d) has a norm below one."""
    dimension = jacobian.shape[-1]
    if dimension == 1:
        return tf.math.log1p(jacobian[:, 0, 0])
    if dimension == 2:
        first, across, back, second = tf.unstack(tf.reshape(jacobian, (-1, 4)), axis=-1)
        return tf.math.log1p(first + second + first * second - across * back)
    return _log_det_from_qr(jacobian + tf.eye(dimension, dtype=jacobian.dtype))


@tf.custom_gradient
def _log_det_from_qr(matrices: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    # TensorFlow's own log-determinant can't be compiled with XLA; this can, and its gradient.
    triangular = tf.linalg.qr(matrices).r
    value = tf.reduce_sum(tf.math.log(tf.abs(tf.linalg.diag_part(triangular))), axis=-1)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return upstream[:, tf.newaxis, tf.newaxis] * tf.linalg.matrix_transpose(
            tf.linalg.inv(matrices)
        )

    return value, gradient


def _in_pieces(
    function: Callable[[list[tf.Tensor]], tf.Tensor], arrays: list[tf.Tensor], most_rows: int
) -> tf.Tensor:
    """Apply a function of rows to at most ``most_rows`` of them at a time; results are (n,)."""
    rows = tf.shape(arrays[0])[0]
    piece = tf.maximum(1, tf.minimum(rows, most_rows))
    # No rows at all are one piece of padding.
    pieces = tf.maximum(1, -(-rows // piece))
    padded = [tf.pad(array, [[0, pieces * piece - rows], [0, 0]]) for array in arrays]
    stacked = [tf.reshape(array, (pieces, piece, array.shape[1])) for array in padded]
    # Padded slopes are zero, which makes the padded matrices the identity.
    results = tf.map_fn(
        function, stacked, fn_output_signature=arrays[0].dtype, parallel_iterations=1
    )
    return tf.reshape(results, (-1,))[:rows]
