"""A learned linear map, as a product of triangular matrices."""

from collections.abc import Sequence

import numpy as np
import scipy
import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, constant_log_det, map_channels
from bayesinn.bijections.mixing import mixing
from bayesinn.bijections.orthogonal import random_rotation


@mixing("lu")
class LULinear(Bijection):
    r"""Multiply by a learned matrix :math:`W = P L U`, which costs no more to invert than to apply.

    P is a permutation, L is lower triangular with a unit diagonal, and the diagonal of U is
    :math:`\pm \exp(l)`. So the matrix never becomes singular, and the log-determinant is the sum of
    l. P and the signs are drawn once and saved with the weights; L, U and l are learned. The matrix
    mixes the elements of a vector, or the channels of each pixel of an image, like the 1 x 1
    convolutions of Glow. A new one is a random rotation, uniform as in :class:`Orthogonal`. See
    Kingma and Dhariwal (2018), Glow, arXiv:1807.03039.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = LULinear().forward(tf.constant([[3.0, 4.0]]))
    >>> round(float(tf.norm(z)), 3)
    5.0
    """

    event_rank = None
    reads = None

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        permutation, lower, upper = scipy.linalg.lu(random_rotation(self.channels))
        diagonal = np.diag(upper)
        # Both triangles in one square, with the logarithm of U's diagonal; L's diagonal is one.
        packed = np.tril(lower, -1) + np.triu(upper, 1) + np.diag(np.log(np.abs(diagonal)))
        self.order = self.add_fixed("order", np.argmax(permutation, axis=0), "int32")
        self.inverse_order = self.add_fixed(
            "inverse_order", np.argmax(permutation, axis=1), "int32"
        )
        self.signs = self.add_fixed("signs", np.sign(diagonal))
        self.factors = self.add_weight(packed.shape, packed, autocast=False, name="factors")

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        lower, upper, log_det = self._triangles()
        order = tf.convert_to_tensor(self.order)

        def multiply(rows: tf.Tensor) -> tf.Tensor:
            return tf.matmul(tf.matmul(tf.gather(rows, order, axis=1), lower), upper)

        return map_channels(multiply, x), constant_log_det(x, log_det)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        lower, upper, log_det = self._triangles()
        order = tf.convert_to_tensor(self.inverse_order)

        def solve(rows: tf.Tensor) -> tf.Tensor:
            # Vectors are rows: the transposed equations are solved.
            columns = tf.transpose(rows)
            columns = tf.linalg.triangular_solve(upper, columns, lower=False, adjoint=True)
            columns = tf.linalg.triangular_solve(lower, columns, lower=True, adjoint=True)
            return tf.gather(tf.transpose(columns), order, axis=1)

        return map_channels(solve, z), constant_log_det(z, -log_det)

    def _triangles(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        factors = tf.convert_to_tensor(self.factors)
        log_diagonal = tf.linalg.diag_part(factors)
        lower = tf.linalg.set_diag(tf.linalg.band_part(factors, -1, 0), tf.ones_like(log_diagonal))
        diagonal = tf.convert_to_tensor(self.signs) * tf.exp(log_diagonal)
        upper = tf.linalg.set_diag(tf.linalg.band_part(factors, 0, -1), diagonal)
        return lower, upper, self.pixels * tf.reduce_sum(log_diagonal)
