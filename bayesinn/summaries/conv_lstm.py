"""Convolutions and a recurrent network, for series."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_integer
from bayesinn.summaries.elements import blank, last_state, with_features
from bayesinn.summaries.summary import Summary

# Of positions at the start; data have a standard deviation of one.
_SPREAD = 0.3


class ConvLSTM(Summary):
    """Summarise a series: causal convolutions find local patterns, an LSTM combines them.

    The last state of the LSTM gives the summary. Convolutions look for the same patterns at all
    steps; with ``positions`` they can tell steps apart.

    Parameters
    ----------
    filters : sequence of int, number of filters of each convolution
    kernel_size : int, number of steps that a convolution sees at once
    stride : int
        Factor, at most ``kernel_size``, by which each convolution shortens the series. For long
        series it saves time, as the LSTM takes most of it.
    lstm_units : int, size of the LSTM's state
    positions : int
        How many learned numbers stand beside the values of each step, such as 8, so that a step's
        meaning may depend on its place. Series must then have one fixed length. By default none.
    linear : bool
        Whether a linear map of the whole series is added to the summary. Weighted sums of all
        steps, which are sufficient for many models, then need not pass the LSTM. Series must have
        one fixed length.

    References
    ----------
    Radev et al. (2021), OutbreakFlow: model-based Bayesian inference of disease outbreak dynamics
    with invertible neural networks, arXiv:2010.00300.

    Examples
    --------
    >>> import tensorflow as tf
    >>> ConvLSTM(units=16)(tf.ones((10, 40, 3))).shape
    TensorShape([10, 16])
    """

    shapes = ("(n, steps)", "(n, steps, channels)")
    order = "series"

    def __init__(
        self,
        units: int = 32,
        filters: Sequence[int] = (64, 64),
        kernel_size: int = 3,
        stride: int = 1,
        lstm_units: int = 64,
        activation: str = "relu",
        positions: int = 0,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.stride = check_integer(
            "ConvLSTM, argument 'stride'",
            stride,
            most=kernel_size,
            do="choose a smaller stride or a larger kernel_size; otherwise steps would be skipped",
        )
        self.kernel_size = kernel_size
        self.convolutions = [
            keras.layers.Conv1D(count, kernel_size, strides=stride, activation=activation)
            for count in filters
        ]
        self.lstm = keras.layers.LSTM(lstm_units)
        self.dense = keras.layers.Dense(units)
        self.positions = check_integer("ConvLSTM, argument 'positions'", positions, least=0)
        self.across = keras.layers.Dense(units, use_bias=False) if linear else None
        self.masks = self.positions == 0 and self.across is None

    def build(self, x_shape: Sequence[int]) -> None:
        self.steps = x_shape[1]
        if self.positions:
            normal = keras.initializers.RandomNormal(stddev=_SPREAD)
            self.places = self.add_weight((x_shape[1], self.positions), normal, name="places")

    def _check_steps(self, steps: int) -> None:
        if not self.masks and steps != self.steps:
            raise InputError(
                repr(self),
                expected=f"series of {self.steps} steps, whose places have learned weights",
                got=f"{steps}",
                do="leave positions and linear out for series of other lengths",
            )

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        self._check_steps(x.shape[1])
        whole = with_features(x)
        h = whole
        if self.positions:
            places = tf.cast(self.places, h.dtype)[tf.newaxis]
            h = tf.concat([h, tf.tile(places, (tf.shape(h)[0], 1, 1))], axis=-1)
        for convolution in self.convolutions:
            # Windows end at steps stride, 2 stride, ..., and see nothing after their end. The last
            # window reaches past the end of the series, so that no step is left out.
            after = -tf.shape(h)[1] % self.stride
            h = convolution(tf.pad(h, [[0, 0], [self.kernel_size - self.stride, after], [0, 0]]))
            mask = None if mask is None else mask[:, :: self.stride]
            # A convolution's bias makes padding non-zero again, and later windows would see that.
            h = blank(h, mask)
        summary = self.dense(last_state(self.lstm, h, mask))
        if self.across is None:
            return summary
        flat = tf.reshape(whole, (-1, whole.shape[1] * whole.shape[2]))
        return summary + self.across(flat)
