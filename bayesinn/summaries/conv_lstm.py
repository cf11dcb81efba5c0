"""Convolutions and a recurrent network, for series."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from bayesinn.core.errors import InputError
from bayesinn.summaries.elements import with_features
from bayesinn.summaries.recurrent import last_state
from bayesinn.summaries.summary import Summary


class ConvLSTM(Summary):
    """Summarise a series: causal convolutions find local patterns, an LSTM gathers them, its last state is the result.

    Parameters
    ----------
    filters : sequence of int
        Filters of each convolution.
    kernel_size : int
        Steps that a convolution sees at once.
    stride : int
        Each convolution shortens the series by this factor, at most ``kernel_size``. It saves time for long series, as
        the LSTM takes most of it.
    lstm_units : int
        Size of the LSTM's state.

    References
    ----------
    Radev et al. (2021), OutbreakFlow: model-based Bayesian inference of disease outbreak dynamics with invertible
    neural networks, arXiv:2010.00300.

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
    ) -> None:
        super().__init__()
        if not 1 <= stride <= kernel_size:
            raise InputError(
                "ConvLSTM, argument 'stride'",
                expected=f"1 to {kernel_size} (kernel_size)",
                got=f"{stride!r}",
                do="choose a smaller stride or a larger kernel_size; otherwise steps would be skipped",
            )
        self.kernel_size = kernel_size
        self.stride = stride
        self.convolutions = [
            keras.layers.Conv1D(count, kernel_size, strides=stride, activation=activation) for count in filters
        ]
        self.lstm = keras.layers.LSTM(lstm_units)
        self.dense = keras.layers.Dense(units)

    def build(self, x_shape: Sequence[int | None]) -> None:
        channels = 1 if len(x_shape) == 2 else x_shape[2]
        for convolution in self.convolutions:
            convolution.build((None, None, channels))
            channels = convolution.filters
        self.lstm.build((None, None, channels))
        self.dense.build((None, self.lstm.units))

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        h = _blank(with_features(x), mask)
        for convolution in self.convolutions:
            h = convolution(self._pad(h))
            mask = None if mask is None else mask[:, :: self.stride]
            # A convolution's bias makes padding non-zero again, which later windows would see.
            h = _blank(h, mask)
        return self.dense(last_state(self.lstm, h, mask))

    def _pad(self, h: tf.Tensor) -> tf.Tensor:
        # Windows end at steps stride, 2 stride, ...: none sees the future of its own end, and the last window
        # reaches past the end of the series rather than leave its last steps out.
        after = -tf.shape(h)[1] % self.stride
        return tf.pad(h, [[0, 0], [self.kernel_size - self.stride, after], [0, 0]])


def _blank(h: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    return h if mask is None else tf.where(mask[..., None], h, tf.zeros_like(h))
