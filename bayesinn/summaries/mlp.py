"""A multilayer perceptron, for vectors of features."""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from bayesinn.summaries.summary import Summary

# Variances along principal axes below this share of the largest may be rounding errors.
_SMALLEST_VARIANCE = 1e-6
# Of fewer rows, axes say nothing.
_FEWEST_ROWS = 4
# With more rows for each number, principal axes and variances are good enough.
_ROWS_PER_NUMBER = 10


class MLP(Summary):
    """Compress many features, whose order has a meaning but no structure, into a few.

    Parameters
    ----------
    units : int, number of features in the summary
    hidden : sequence of int, units of the hidden layers
    activation : str, name of a Keras activation
    decorrelate : bool
        Whether features are first rotated to the principal axes of the first simulations, and
        scaled to unit variance along each. It helps if features rise and fall together, as
        neighbouring wavelengths do: the information is then often in small differences, which
        training otherwise learns late or never. Not possible inside a fitted summary.

    Examples
    --------
    >>> import tensorflow as tf
    >>> MLP(units=16)(tf.ones((10, 200))).shape
    TensorShape([10, 16])
    """

    masks = False

    def __init__(
        self,
        units: int = 32,
        hidden: Sequence[int] = (128, 128),
        activation: str = "silu",
        decorrelate: bool = False,
    ) -> None:
        super().__init__()
        self.decorrelate = decorrelate
        layers = [keras.layers.Dense(count, activation=activation) for count in hidden]
        self.network = keras.Sequential([*layers, keras.layers.Dense(units)])

    def build(self, x_shape: Sequence[int]) -> None:
        if self.decorrelate:
            size = math.prod(x_shape[1:])
            # Not trained: its purpose is that gradients are taken in these coordinates.
            self.axes = self.add_weight(
                (size, size), "identity", trainable=False, autocast=False, name="axes"
            )

    def initialize(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> None:
        if not self.decorrelate:
            return
        self(x)
        values = tf.reshape(x, (tf.shape(x)[0], -1))
        if x.shape[0] < _FEWEST_ROWS:
            return
        centred = tf.cast(values - tf.reduce_mean(values, axis=0), tf.float64)
        first = centred
        second = centred
        if centred.shape[0] < _ROWS_PER_NUMBER * centred.shape[1]:
            # Along their own axes, few rows vary too much or not at all: axes are those of one
            # half, variances those of the other.
            first = centred[::2]
            second = centred[1::2]
        _, axes = tf.linalg.eigh(tf.matmul(first, first, transpose_a=True))
        variances = tf.reduce_mean(tf.matmul(second, axes) ** 2, axis=0)
        least = tf.maximum(_SMALLEST_VARIANCE * tf.reduce_max(variances), 1e-30)
        self.axes.assign(tf.cast(axes / tf.sqrt(tf.maximum(variances, least)), tf.float32))

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        values = tf.reshape(x, (-1, math.prod(x.shape[1:])))
        if self.decorrelate:
            values = tf.matmul(values, tf.cast(self.axes, values.dtype))
        return self.network(values)
