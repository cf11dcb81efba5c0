"""Convolutions for images: a vector, and maps at several resolutions for flows of images."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from bayesinn.bijections.condition import FEATURES
from bayesinn.summaries.summary import Summary


class ConvImage(Summary):
    """Summarise images: stages of convolutions, each at half the resolution, then a mean.

    A stage is a convolution with stride two and a residual block of two more (He et al. 2016,
    arXiv:1512.03385). The coordinates of each pixel are inputs too (Liu et al. 2018,
    arXiv:1807.03247), so that the mean over all pixels can tell where things are. Missing pixels
    need no other network: if a simulator declares them, images have channels that show which are
    present.

    For parameters that are images, ``maps`` adds entries of the condition: ``maps1`` of half the
    height and width, ``maps2`` of a quarter, and so on to the last stage. Each map combines the
    output of its stage with the coarser maps (a feature pyramid, Lin et al. 2017,
    arXiv:1612.03144). The levels of :func:`bayesinn.flows.image` read them.

    Parameters
    ----------
    units : int, number of features in the summary
    filters : sequence of int, channels of each stage
    activation : str, name of a Keras activation
    maps : int, number of channels of the maps; by default no maps

    Examples
    --------
    >>> import tensorflow as tf
    >>> ConvImage(units=16)(tf.ones((10, 32, 32, 3))).shape
    TensorShape([10, 16])
    >>> entries = ConvImage(units=16, filters=(32, 64), maps=8)(tf.ones((10, 32, 32, 3)))
    >>> {name: tuple(value.shape) for name, value in entries.items()}
    {'features': (10, 16), 'maps2': (10, 8, 8, 8), 'maps1': (10, 16, 16, 8)}
    """

    shapes = ("(n, height, width)", "(n, height, width, channels)")
    masks = False
    images = True

    def __init__(
        self,
        units: int = 32,
        filters: Sequence[int] = (32, 64, 64),
        activation: str = "relu",
        maps: int = 0,
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
        self.to_maps = [keras.layers.Conv2D(maps, 1) for _ in filters if maps]

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> Any:
        h = _with_places(x if len(x.shape) == 4 else x[..., None])
        stages = []
        for halve, residual in zip(self.halvings, self.residuals, strict=True):
            h = halve(h)
            h += residual(h)
            stages.append(h)
        features = self.dense(tf.reduce_mean(h, axis=(1, 2)))
        if not self.to_maps:
            return features
        entries = {FEATURES: features}
        coarser: tf.Tensor | None = None
        for number in reversed(range(len(stages))):
            maps = self.to_maps[number](stages[number])
            if coarser is not None:
                maps += _doubled(coarser, maps.shape)
            entries[f"maps{number + 1}"] = maps
            coarser = maps
        return entries


def _doubled(maps: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Return maps of twice the height and width, cut to a shape (n, height, width, channels)."""
    doubled = tf.repeat(tf.repeat(maps, 2, axis=1), 2, axis=2)
    return doubled[:, : shape[1], : shape[2]]


def _with_places(x: tf.Tensor) -> tf.Tensor:
    """Return images with two more channels: vertical and horizontal coordinate, from -1 to 1."""
    _, height, width, _ = x.shape
    down = tf.linspace(-1.0, 1.0, height)
    across = tf.linspace(-1.0, 1.0, width)
    places = tf.cast(tf.stack(tf.meshgrid(down, across, indexing="ij"), axis=-1), x.dtype)
    return tf.concat([x, tf.broadcast_to(places, (tf.shape(x)[0], height, width, 2))], axis=-1)
