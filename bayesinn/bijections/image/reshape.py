"""Events of another shape with the same elements."""

import math
from collections.abc import Sequence

import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, constant_log_det
from bayesinn.core.errors import InputError


class Reshape(Bijection):
    """Give events another shape; their elements keep their order.

    A posterior's parameters are a vector. ``Reshape((8, 8, 1))`` makes it an image, for bijections
    of images; ``Reshape()`` makes an image a vector.

    Parameters
    ----------
    shape : sequence of int, such as (height, width, channels); by default one axis

    Examples
    --------
    >>> import tensorflow as tf
    >>> Reshape((2, 3, 1)).forward(tf.ones((10, 6)))[0].shape
    TensorShape([10, 2, 3, 1])
    """

    event_rank = None
    reads = None

    def __init__(self, shape: Sequence[int] | None = None) -> None:
        super().__init__()
        self.shape = None if shape is None else tuple(shape)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        shape = self.shape or (math.prod(event_shape),)
        if math.prod(shape) != math.prod(event_shape):
            raise InputError(
                "Reshape, argument 'shape'",
                expected=f"a shape of {math.prod(event_shape)} elements",
                got=f"{shape}, {math.prod(shape)} elements",
                do="give the shape of the image that an event is",
            )
        return shape

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.reshape(x, (-1, *self.latent_shape)), constant_log_det(x)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.reshape(z, (-1, *self.event_shape)), constant_log_det(z)
