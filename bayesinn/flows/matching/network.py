"""Networks inside matching flows: functions of a noisy event, a time and a condition."""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core.configuration import Configured
from bayesinn.core.dropout import Dropout

# Frequencies of the sines and cosines of time; times lie within -2 and 2.
_FREQUENCIES = 0.5 * np.pi * 2.0 ** np.arange(6, dtype=np.float32)


class TimeNetwork(Configured, keras.layers.Layer):
    """The contract of networks inside matching flows.

    An author derives from this class, makes weights in ``build(event_shape, condition_shape)``, and
    writes :meth:`call`, optionally also :meth:`embed`.
    """

    def __init__(self) -> None:
        super().__init__(autocast=False)

    def embed(self, condition: tf.Tensor | None) -> tf.Tensor | None:
        """Return what :meth:`call` needs of conditions (n, c); computed once for many times."""
        return condition

    def call(
        self,
        x: tf.Tensor,
        time: tf.Tensor,
        embedded: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Return a tensor like the events x (n, *event), at times (n,), or (1,) for all of them."""
        raise NotImplementedError


class ResidualMLP(TimeNetwork):
    """A residual perceptron; the time scales and shifts the units of each block.

    The last layer starts at zero.

    Parameters
    ----------
    units : int, width of every layer
    blocks : int, number of hidden layers, each added to its input
    activation : str, name of a Keras activation
    dropout : float, share of hidden units dropped in training

    Examples
    --------
    >>> import tensorflow as tf
    >>> network = ResidualMLP(units=32, blocks=2)
    >>> network.build((3,), (5,))
    >>> network(tf.ones((10, 3)), tf.zeros((1,)), network.embed(tf.ones((10, 5)))).shape
    TensorShape([10, 3])
    """

    def __init__(
        self, units: int = 128, blocks: int = 3, activation: str = "silu", dropout: float = 0.0
    ) -> None:
        super().__init__()
        # Plain integers, which Keras wants.
        self.units = int(units)
        self.blocks = int(blocks)
        self.activation = keras.activations.get(activation)
        self.dropout = Dropout(dropout)

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        size = math.prod(event_shape)
        self.first = _dense(size, self.units)
        self.conditions = (
            None if condition_shape is None else _dense(condition_shape[0], self.units)
        )
        times = 1 + 2 * len(_FREQUENCIES)
        self.modulations = [
            _dense(times, 2 * self.units, kernel_initializer="zeros") for _ in range(self.blocks)
        ]
        self.hidden = [_dense(self.units, self.units) for _ in range(self.blocks)]
        self.last = _dense(self.units, size, kernel_initializer="zeros")

    def embed(self, condition: tf.Tensor | None) -> tf.Tensor | None:
        return None if self.conditions is None else self.conditions(condition)

    def call(
        self,
        x: tf.Tensor,
        time: tf.Tensor,
        embedded: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        values = self.first(tf.reshape(x, (-1, math.prod(x.shape[1:]))))
        if embedded is not None:
            values = values + embedded
        features = _time_features(time)
        for modulation, hidden in zip(self.modulations, self.hidden, strict=True):
            scale, shift = tf.split(modulation(features), 2, axis=-1)
            active = self.activation(values * (1.0 + scale) + shift)
            values = values + hidden(self.dropout(active, training=training))
        outputs = self.last(self.activation(values))
        return tf.cast(tf.reshape(outputs, tf.shape(x)), x.dtype)


def _dense(
    inputs: int, units: int, kernel_initializer: str = "glorot_uniform"
) -> keras.layers.Dense:
    layer = keras.layers.Dense(units, kernel_initializer=kernel_initializer)
    layer.build((None, inputs))
    return layer


def _time_features(time: tf.Tensor) -> tf.Tensor:
    """Return times (n,) with their sines and cosines (n, features)."""
    column = time[:, None]
    angles = column * tf.cast(_FREQUENCIES, time.dtype)
    return tf.concat([column, tf.sin(angles), tf.cos(angles)], axis=-1)
