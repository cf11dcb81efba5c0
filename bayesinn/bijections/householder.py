"""A learned rotation, as a product of reflections."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from bayesinn.bijections.mixing import mixing
from bayesinn.bijections.orthogonal import Orthogonal
from bayesinn.core.validation import check_integer


@mixing("householder")
class Householder(Orthogonal):
    r"""Multiply by a random orthogonal matrix, then by reflections :math:`1 - 2 v v^T / v^T v`.

    The reflections are learned. The product is orthogonal whatever the weights, and its
    log-determinant is zero. A new one is a random rotation, uniform as in :class:`Orthogonal`. As
    many reflections as elements can reach every orthogonal matrix with the same determinant, 1 or
    -1: this is the default of ``reflections``. Fewer are cheaper. A single channel has no
    directions to learn.

    References
    ----------
    Tomczak and Welling (2016), Improving variational auto-encoders using Householder flow,
    arXiv:1611.09630.
    Joffrain et al. (2006), Accumulating Householder transformations, revisited, ACM Trans. Math.
    Software 32.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Householder(reflections=2).forward(tf.constant([[0.0, 3.0, 4.0]]))
    >>> round(float(tf.norm(z)), 3), float(log_det[0])
    (5.0, 0.0)
    """

    def __init__(self, reflections: int | None = None) -> None:
        super().__init__()
        if reflections is not None:
            check_integer(
                "Householder, argument 'reflections'",
                reflections,
                do="leave it out, or use Orthogonal()",
            )
        self.reflections = reflections

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        self.vectors = None
        if self.channels > 1:
            shape = (self.reflections or self.channels, self.channels)
            normal = keras.initializers.RandomNormal(stddev=1.0)
            self.vectors = self.add_weight(
                shape=shape, initializer=normal, autocast=False, name="vectors"
            )

    def _factor(self) -> tf.Tensor:
        rotation = super()._factor()
        if self.vectors is None:
            return rotation
        # All reflections at once: with unit vectors as rows of V, their product is 1 - V' T^-1 V,
        # where T is the upper triangle of V V' with its diagonal halved.
        vectors = tf.math.l2_normalize(tf.convert_to_tensor(self.vectors), axis=-1)
        gram = tf.matmul(vectors, vectors, transpose_b=True)
        triangle = tf.linalg.band_part(gram, 0, -1) - 0.5 * tf.eye(gram.shape[0], dtype=gram.dtype)
        solved = tf.linalg.triangular_solve(triangle, vectors, lower=False)
        return rotation - tf.matmul(tf.matmul(rotation, vectors, transpose_b=True), solved)
