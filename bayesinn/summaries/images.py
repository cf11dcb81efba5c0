"""Summaries of images: convolutions, and the power of an image's waves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import FEATURES
from bayesinn.core.errors import check_number
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


# Added before the logarithm, as a share of the power of the brightest pixel: an image may have no
# waves of a frequency.
_LEAST_POWER = 1e-20
# Least brightness of the brightest pixel, for images of zeros.
_LEAST_UNIT = 1e-30
# Least standard deviation of log powers: constant ones carry no information.
_LEAST_SCALE = 1e-3


class PowerSpectrum(Summary):
    """Compress images by the power of their waves on circles of equal frequency.

    If a field is stationary and isotropic, as textures, density fluctuations and detector noise
    often are, most information about its parameters is in its power spectrum; for a periodic
    Gaussian field, all of it. Convolutional networks learn that late. The discrete Fourier
    transform of each channel is squared and averaged over circles; its logarithm is standardised,
    and a multilayer perceptron sees the result. Phases are not used.

    Parameters
    ----------
    units : int, number of features in the summary
    hidden : sequence of int, units of the hidden layers
    width : float
        Width of a circle, in waves along the longer side of the image.
    activation : str, name of a Keras activation

    Examples
    --------
    >>> import tensorflow as tf
    >>> PowerSpectrum(units=16)(tf.random.stateless_normal((10, 32, 32), (1, 2))).shape
    TensorShape([10, 16])
    """

    shapes = ("(n, height, width)", "(n, height, width, channels)")
    masks = False
    missing = False
    # For heavy tails, scalings are not linear.
    standardised = False

    def __init__(
        self,
        units: int = 32,
        hidden: Sequence[int] = (128, 128),
        width: float = 0.5,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.width = check_number("Argument 'width'", width, above=0)
        layers = [keras.layers.Dense(count, activation=activation) for count in hidden]
        self.network = keras.Sequential([*layers, keras.layers.Dense(units)])

    def build(self, x_shape: Sequence[int]) -> None:
        height, width = x_shape[1:3]
        longer = max(height, width)
        along = longer * np.fft.fftfreq(height)
        across = longer * np.fft.fftfreq(width)
        radii = np.hypot(along[:, None], across)
        _, circles = np.unique(np.round(radii.ravel() / self.width), return_inverse=True)
        count = circles.max() + 1
        members = np.eye(count, dtype=np.float32)[circles]
        #: Weights (frequencies, circles) of the mean over each circle.
        self.mean = members / members.sum(axis=0)
        channels = x_shape[3] if len(x_shape) == 4 else 1
        settings = {"shape": (count * channels,), "trainable": False, "autocast": False}
        self.centre = self.add_weight(initializer="zeros", name="centre", **settings)
        self.scale = self.add_weight(initializer="ones", name="scale", **settings)

    def initialize(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> None:
        self(x)
        powers = self._log_powers(x)
        self.centre.assign(tf.reduce_mean(powers, axis=0))
        self.scale.assign(tf.maximum(tf.math.reduce_std(powers, axis=0), _LEAST_SCALE))

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        powers = (self._log_powers(x) - self.centre) / self.scale
        return self.network(tf.cast(powers, x.dtype))

    def _log_powers(self, x: tf.Tensor) -> tf.Tensor:
        """Return the logarithm of the mean power of each channel on each circle (n, k)."""
        images = tf.cast(x if x.shape.rank == 4 else x[..., tf.newaxis], tf.float32)
        pixels = images.shape[1] * images.shape[2]
        # In units of the image itself: powers of raw data may be beyond single precision.
        brightest = tf.reduce_max(tf.abs(images), axis=(1, 2), keepdims=True)
        unit = tf.maximum(brightest, _LEAST_UNIT)
        channels_first = tf.transpose(images / unit, (0, 3, 1, 2))
        waves = tf.signal.fft2d(tf.cast(channels_first, tf.complex64))
        squares = tf.reshape(tf.abs(waves) ** 2, (-1, pixels))
        powers = tf.matmul(squares, self.mean) / pixels
        log_units = tf.reshape(tf.math.log(unit), (-1, 1))
        logs = tf.math.log(powers + _LEAST_POWER) + 2.0 * log_units
        return tf.reshape(logs, (-1, self.centre.shape[0]))
