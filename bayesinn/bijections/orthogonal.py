"""A fixed random rotation, which mixes all channels between two couplings."""

import random
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, constant_log_det, map_channels
from bayesinn.bijections.mixing import mixing


@mixing("orthogonal")
class Orthogonal(Bijection):
    """Multiply by a random orthogonal matrix that is drawn once and saved with the weights.

    It mixes the elements of a vector, or the channels of each pixel of an image: a fixed 1 x 1
    convolution.

    The matrix is uniform over all rotations and reflections (Haar measure). It isn't trained: a
    random rotation serves as well as a learned one, and its log-determinant is zero. See Mezzadri
    (2007), How to generate random matrices from the classical compact groups,
    arXiv:math-ph/0609050.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Orthogonal().forward(tf.constant([[3.0, 4.0]]))
    >>> round(float(tf.norm(z)), 3)
    5.0
    """

    event_rank = None
    reads = None

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        self.matrix = self.add_fixed("matrix", random_rotation(self.channels))

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        factor = self._factor()
        return map_channels(lambda rows: tf.matmul(rows, factor), x), constant_log_det(x)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        factor = self._factor()
        x = map_channels(lambda rows: tf.matmul(rows, factor, transpose_b=True), z)
        return x, constant_log_det(z)

    def _factor(self) -> tf.Tensor:
        """Return the matrix (channels, channels) that vectors, as rows, are multiplied by."""
        return tf.convert_to_tensor(self.matrix)


def random_rotation(dimension: int) -> np.ndarray:
    """Draw an orthogonal matrix (d, d), uniform over all of them, from Python's random state."""
    gaussian = np.random.default_rng(random.randrange(2**32)).standard_normal(
        (dimension, dimension)
    )
    orthogonal, triangular = np.linalg.qr(gaussian)
    # Without the signs, the distribution of the result would depend on the conventions of the QR
    # algorithm.
    return orthogonal * np.sign(np.diag(triangular))
