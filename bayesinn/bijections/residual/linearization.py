"""The Jacobian of a dense or convolutional network, kept as the factors of a product."""

import math
from collections.abc import Callable
from typing import NamedTuple, Self

import tensorflow as tf

from bayesinn.bijections.bijection import as_vectors

# Numbers in one intermediate tensor of :meth:`Linearization.log_det`: 64 MB in single precision.
_NUMBERS_AT_ONCE = 2**24


class Linearization(NamedTuple):
    """The Jacobian J of a network g at n points: its linear maps and its activations' slopes.

    Products with J cost as much as g itself, and J is never formed for them. There are k kernels
    (inputs, outputs) and k - 1 slopes (n, outputs) between them; none for a linear function. Of
    images of a ``size`` (height, width), kernels are those of convolutions, (rows, columns, inputs,
    outputs), and slopes (n, height, width, outputs); vectors are images, pixel by pixel.
    """

    kernels: list[tf.Tensor]
    slopes: list[tf.Tensor]
    size: tuple[int, ...] = ()

    def detached(self) -> Self:
        """Return the same, through which no gradient flows."""
        kernels, slopes = tf.nest.map_structure(tf.stop_gradient, (self.kernels, self.slopes))
        return self._replace(kernels=kernels, slopes=slopes)

    def jacobian_vector(self, vectors: tf.Tensor) -> tf.Tensor:
        """Return the products J v, (n, d), with vectors v (n, d)."""
        events = to_images(vectors, self.size)
        for kernel, slope in zip(self.kernels[:-1], self.slopes, strict=True):
            events = product(events, kernel) * slope
        return as_vectors(product(events, self.kernels[-1]))

    def vector_jacobian(self, vectors: tf.Tensor) -> tf.Tensor:
        """Return the products w^T J, (n, d), with vectors w (n, d)."""
        events = _transposed(to_images(vectors, self.size), self.kernels[-1])
        for kernel, slope in zip(self.kernels[-2::-1], self.slopes[::-1], strict=True):
            events = _transposed(events * slope, kernel)
        return as_vectors(events)

    def log_det(self) -> tf.Tensor:
        """Return the exact log determinants (n,) of I + J for J of norm below one.

        Many points are computed in pieces.
        """
        rows = self.slopes[0].shape[0] if self.slopes else 1
        widest = math.prod(self.size) * max(kernel.shape[-1] for kernel in self.kernels)
        numbers_a_row = self.dimension * widest
        piece = max(1, _NUMBERS_AT_ONCE // numbers_a_row)
        if rows is not None and rows <= piece:
            return _log_det(self.jacobian())
        return _in_pieces(
            lambda slopes: _log_det(self._replace(slopes=slopes).jacobian()),
            self.slopes,
            piece,
        )

    def jacobian(self) -> tf.Tensor:
        """Return the matrices J, (n, d, d), with outputs along rows; (1, d, d) if linear."""
        # Row i is the image of the i-th unit vector. Kept flat between layers: one large product of
        # matrices is several times as fast as a batch of small ones.
        dimension = self.dimension
        first = self.kernels[0]
        if self.size:
            first = product(to_images(tf.eye(dimension, dtype=first.dtype), self.size), first)
        images = first[tf.newaxis]
        for kernel, slope in zip(self.kernels[1:], self.slopes, strict=True):
            flat = tf.reshape(images * slope[:, tf.newaxis], (-1, *self.size, kernel.shape[-2]))
            images = tf.reshape(
                product(flat, kernel), (-1, dimension, *self.size, kernel.shape[-1])
            )
        return tf.linalg.matrix_transpose(tf.reshape(images, (-1, dimension, dimension)))

    @property
    def dimension(self) -> int:
        """Number of elements of an event."""
        return math.prod(self.size) * self.kernels[0].shape[-2]


def product(events: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Return the matrix product of vectors (n, i), or the convolution of images (n, h, w, i)."""
    if len(kernel.shape) == 2:
        return tf.matmul(events, kernel)
    return tf.nn.conv2d(events, kernel, strides=1, padding="SAME")


def _transposed(events: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Return the product with the transpose of what :func:`product` multiplies by."""
    if len(kernel.shape) == 2:
        return tf.matmul(events, kernel, transpose_b=True)
    # Kernels have odd sides: the transpose pads alike.
    return product(events, tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2)))


def to_images(vectors: tf.Tensor, size: tuple[int, ...]) -> tf.Tensor:
    """Return vectors (n, d) as images of a size (height, width); without one, as they are."""
    if not size:
        return vectors
    return tf.reshape(vectors, (-1, *size, vectors.shape[-1] // math.prod(size)))


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
    padding = [0, pieces * piece - rows]
    padded = [tf.pad(array, [padding, *[[0, 0]] * (len(array.shape) - 1)]) for array in arrays]
    stacked = [tf.reshape(array, (pieces, piece, *array.shape[1:])) for array in padded]
    # Padded slopes are zero, which makes the padded matrices the identity.
    results = tf.map_fn(
        function, stacked, fn_output_signature=arrays[0].dtype, parallel_iterations=1
    )
    return tf.reshape(results, (-1,))[:rows]
