"""The power of an image's waves, for random fields."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core.validation import check_number
from bayesinn.summaries.summary import Summary

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
