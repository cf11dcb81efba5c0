"""Convolutions of several widths and a recurrent network, for series with many pattern lengths."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from bayesinn.core.errors import InputError
from bayesinn.summaries.summary import Summary, last_state, with_features


class MultiKernelLSTM(Summary):
    """Summarise a series: causal convolutions with several kernel sizes, then an LSTM's last state.

    A layer has all kernel sizes at once.

    This is the summary network of OutbreakFlow. The LSTM sees every step and is slow;
    :class:`~bayesinn.summaries.ConvLSTM` with a stride takes a fraction of the time. ``units`` is
    also the size of the LSTM's state.

    Parameters
    ----------
    layers : int, number of layers of convolutions
    kernel_sizes : sequence of int, widths of the parallel convolutions in a layer
    filters, channels : int
        Filters of each of these convolutions, and of the convolution of one step that joins their
        outputs.

    References
    ----------
    Radev et al. (2021), OutbreakFlow, PLOS Computational Biology 17(10) e1009472.

    Examples
    --------
    >>> import tensorflow as tf
    >>> MultiKernelLSTM(units=16)(tf.ones((10, 40))).shape
    TensorShape([10, 16])
    """

    shapes = ("(n, steps)", "(n, steps, channels)")
    order = "series"

    def __init__(
        self,
        units: int = 64,
        layers: int = 3,
        kernel_sizes: Sequence[int] = (2, 3, 4, 5, 6, 7),
        filters: int = 32,
        channels: int = 64,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        if not kernel_sizes:
            subject = "MultiKernelLSTM, argument 'kernel_sizes'"
            do = "start from the default"
            raise InputError(
                subject, expected="one or more kernels", got=f"{kernel_sizes!r}", do=do
            )
        self.convolutions = [
            [
                keras.layers.Conv1D(filters, size, padding="causal", activation=activation)
                for size in kernel_sizes
            ]
            for _ in range(layers)
        ]
        self.joints = [
            keras.layers.Conv1D(channels, 1, activation=activation) for _ in range(layers)
        ]
        self.lstm = keras.layers.LSTM(units)

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        # Causal windows end at their own step: padding on the right reaches no step of the series.
        h = with_features(x)
        for parallel, joint in zip(self.convolutions, self.joints, strict=True):
            h = joint(tf.concat([convolution(h) for convolution in parallel], axis=-1))
        return last_state(self.lstm, h, mask)
