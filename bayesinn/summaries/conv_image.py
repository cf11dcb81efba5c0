"""Convolutions for images."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from bayesinn.summaries.summary import Summary


class ConvImage(Summary):
    """Summarise images: stages of convolutions, each at half the resolution, then a mean.

    A stage is a convolution with stride two and a residual block of two more (He et al. 2016,
    arXiv:1512.03385). The place of each pixel is an input too (Liu et al. 2018, arXiv:1807.03247),
    so that the mean over all pixels can tell where things are. Missing pixels need no network of
    their own: where a simulator declares them, images have channels that say which are there.

    Parameters
    ----------
    units : int, number of features that are left
    filters : sequence of int, channels of each stage
    activation : str, any that Keras knows

    Examples
    --------
    >>> import tensorflow as tf
    >>> ConvImage(units=16)(tf.ones((10, 32, 32, 3))).shape
    TensorShape([10, 16])
    """

    shapes = ("(n, height, width)", "(n, height, width, channels)")
    masks = False

    def __init__(
        self, units: int = 32, filters: Sequence[int] = (32, 64, 64), activation: str = "relu"
    ) -> None:
        super().__init__()

        def convolution(count: int, stride: int = 1) -> keras.layers.Layer:
            return keras.layers.Conv2D(
                count, 3, strides=stride, padding="same", activation=activation
            )

        self.halvings = [convolution(count, stride=2) for count in filters]
        self.residuals = [
            keras.Sequential([convolution(count), keras.layers.Conv2D(count, 3, padding="same")])
            for count in filters
        ]
        self.dense = keras.layers.Dense(units)

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        h = _with_places(x if len(x.shape) == 4 else x[..., None])
        for halve, residual in zip(self.halvings, self.residuals, strict=True):
            h = halve(h)
            h += residual(h)
        return self.dense(tf.reduce_mean(h, axis=(1, 2)))


def _with_places(x: tf.Tensor) -> tf.Tensor:
    """Return images with two more channels: vertical and horizontal place, from -1 to 1."""
    _, height, width, _ = x.shape
    down = tf.linspace(-1.0, 1.0, height)
    across = tf.linspace(-1.0, 1.0, width)
    places = tf.cast(tf.stack(tf.meshgrid(down, across, indexing="ij"), axis=-1), x.dtype)
    return tf.concat([x, tf.broadcast_to(places, (tf.shape(x)[0], height, width, 2))], axis=-1)
