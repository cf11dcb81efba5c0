"""Blocks of pixels as channels, which halves the resolution."""

import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, constant_log_det
from bayesinn.core.errors import InputError


class SpaceToDepth(Bijection):
    """Turn each block of 2 x 2 pixels into one pixel with four times the channels.

    The channels of the upper left pixels come first, then upper right, lower left, lower right.
    Height and width must be even. See Dinh, Sohl-Dickstein and Bengio (2017), Density estimation
    using Real NVP, arXiv:1605.08803.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = SpaceToDepth().forward(tf.ones((10, 8, 6, 3)))
    >>> z.shape
    TensorShape([10, 4, 3, 12])
    """

    event_rank = 3
    reads = None

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        height, width, channels = event_shape
        if height % 2 or width % 2:
            raise InputError(
                f"{type(self).__name__}, shape of events",
                expected="an even height and an even width",
                got=f"{event_shape}",
                do="pad or crop the images, or take fewer levels",
            )
        return height // 2, width // 2, 4 * channels

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.nn.space_to_depth(x, 2), constant_log_det(x)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.nn.depth_to_space(z, 2), constant_log_det(z)
