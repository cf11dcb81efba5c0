"""A rotation that is learned, as a product of reflections."""

from __future__ import annotations

import random
from collections.abc import Sequence

import keras
import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, constant_log_det
from bayesinn.bijections.orthogonal import haar
from bayesinn.core.errors import InputError


class Householder(Bijection):
    r"""Multiply by a random orthogonal matrix and then by learned reflections :math:`1 - 2 v v^T / v^T v`.

    The whole stays orthogonal whatever the weights, and its log-determinant is zero. New, it is a random rotation,
    uniform as in :class:`Orthogonal`. As many reflections as elements can turn it into every orthogonal matrix with
    the same determinant, 1 or -1; fewer are cheaper. A vector of one element has no directions to learn.

    Parameters
    ----------
    reflections : int, optional
        How many; as many as elements if left out.

    Raises
    ------
    InputError
        For fewer than one reflection.

    References
    ----------
    Tomczak and Welling (2016), Improving variational auto-encoders using Householder flow, arXiv:1611.09630.
    Joffrain, Low, Quintana-Ortí and van de Geijn (2006), Accumulating Householder transformations, revisited, ACM
    Transactions on Mathematical Software 32.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Householder(reflections=2).forward(tf.constant([[0.0, 3.0, 4.0]]))
    >>> round(float(tf.norm(z)), 3), float(log_det[0])
    (5.0, 0.0)
    """

    def __init__(self, reflections: int | None = None) -> None:
        super().__init__()
        if reflections is not None and reflections < 1:
            raise InputError(
                "Householder, argument 'reflections'",
                expected="1 or more, or None for as many as elements",
                got=f"{reflections!r}",
                do="leave it out, or use Orthogonal() for a rotation that isn't learned",
            )
        self.reflections = reflections

    def build(self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None) -> None:
        super().build(event_shape, condition_shape)
        self.rotation = self.add_fixed("rotation", haar(self.dimension, random.randrange(2**32)))
        self.vectors = None
        if self.dimension > 1:
            self.vectors = self.add_weight(
                shape=(self.reflections or self.dimension, self.dimension),
                initializer=keras.initializers.RandomNormal(stddev=1.0),
                autocast=False,
                name="vectors",
            )

    def forward(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.matmul(x, self._matrix()), constant_log_det(x)

    def inverse(self, z: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.matmul(z, self._matrix(), transpose_b=True), constant_log_det(z)

    def _matrix(self) -> tf.Tensor:
        rotation = tf.convert_to_tensor(self.rotation)
        if self.vectors is None:
            return rotation
        # All reflections at once: with unit vectors as rows of V, their product is 1 - V' T^-1 V, where T is the upper
        # triangle of V V' with its diagonal halved.
        vectors = tf.math.l2_normalize(tf.convert_to_tensor(self.vectors), axis=-1)
        gram = tf.matmul(vectors, vectors, transpose_b=True)
        triangle = tf.linalg.band_part(gram, 0, -1) - 0.5 * tf.eye(gram.shape[0], dtype=gram.dtype)
        solved = tf.linalg.triangular_solve(triangle, vectors, lower=False)
        return rotation - tf.matmul(tf.matmul(rotation, vectors, transpose_b=True), solved)
