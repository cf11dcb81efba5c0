"""Summaries of series: convolutions with a recurrent network, and transformers."""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import FEATURES, STEPS
from bayesinn.core.errors import InputError, check_integer, check_type
from bayesinn.summaries.sets import SetTransformer
from bayesinn.summaries.summary import Summary, blank, last_state, with_features

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


class Steps(Summary):
    """Summarise a series and each of its steps, for parameters that are series.

    Convolutions find local patterns; one LSTM reads them forward, another backward. What both say
    at a step is the entry ``steps`` (n, steps, units) of the condition, which
    :class:`~bayesinn.flows.Path` reads; their last states give the features.

    Parameters
    ----------
    units : int, length of the features, and numbers for each step
    filters : sequence of int, number of filters of each convolution
    kernel_size : int, number of steps that a convolution sees at once
    lstm_units : int, size of the state of each LSTM

    Examples
    --------
    >>> import tensorflow as tf
    >>> entries = Steps(units=16)(tf.ones((10, 40, 3)))
    >>> entries["features"].shape, entries["steps"].shape
    (TensorShape([10, 16]), TensorShape([10, 40, 16]))
    """

    shapes = ("(n, steps)", "(n, steps, channels)")
    order = "series"

    def __init__(
        self,
        units: int = 32,
        filters: Sequence[int] = (64,),
        kernel_size: int = 3,
        lstm_units: int = 32,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.convolutions = [
            keras.layers.Conv1D(count, kernel_size, padding="same", activation=activation)
            for count in filters
        ]
        self.forwards = keras.layers.LSTM(lstm_units, return_sequences=True)
        self.backwards = keras.layers.LSTM(lstm_units, return_sequences=True, go_backwards=True)
        self.of_steps = keras.layers.Dense(units)
        self.of_all = keras.layers.Dense(units)

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        h = x = with_features(x)
        for convolution in self.convolutions:
            h = blank(convolution(h), mask)
        # Values of the step itself, beside patterns around it.
        h = tf.concat([x, h], axis=-1)
        if mask is not None:
            # On a GPU, cuDNN refuses a mask with an empty row: a step of zeros is seen there.
            first = tf.range(tf.shape(mask)[1]) == 0
            mask |= first & ~tf.reduce_any(mask, axis=1, keepdims=True)
        forwards = self.forwards(h, mask=mask)
        backwards = self.backwards(h, mask=mask)
        ends = tf.concat([forwards[:, -1], backwards[:, -1]], axis=-1)
        both = tf.concat([h, forwards, tf.reverse(backwards, axis=[1])], axis=-1)
        return {FEATURES: self.of_all(ends), STEPS: self.of_steps(both)}


# A range of standardised times is 3 to 5 units.
_WAVELENGTHS = 16.0 / 2.0 ** np.arange(9)
# Number of steps in a unit, for series without coordinates: two are the shortest wavelength.
_STEPS_A_UNIT = 32.0


class Transformer(SetTransformer):
    """Summarise a series by attention between its steps, which know their times.

    Each step sees its time beside its data: the time itself, and sines and cosines of wavelengths
    from a sixteenth to sixteen standard deviations of all times. Nothing about times is learned.
    The times are

    - the observable or context ``times``, if each data set has times of its own, in any order;
    - else the coordinates that the simulator declares;
    - else the numbers of the steps.

    Steps beyond a length, and steps without any value, are left out; of other steps, the network
    sees which values are missing. With ``missing="mask"`` and times of its own, a step without
    values is seen, too: its time is informative.

    Parameters
    ----------
    width, heads, blocks : int, as for :class:`SetTransformer`
    times : str, optional
        Name of an observable (steps,) with the times of another observable's steps: the network
        sees both, ``summary={"t, level": Transformer(times="t")}``. Or name of such a context
        variable: ``summary={"level": Transformer(times="t")}``. If the network is called directly,
        times are the first channel. Steps are then a set without order and with unequal distances,
        and all are standardised alike.
    inducing_points, seeds, dropout : as for :class:`SetTransformer`

    References
    ----------
    Vaswani et al. (2017), Attention is all you need, arXiv:1706.03762. Lee et al. (2019), Set
    transformer, arXiv:1810.00825 (pooling).

    Examples
    --------
    >>> import tensorflow as tf
    >>> Transformer(units=16)(tf.ones((10, 50, 2))).shape
    TensorShape([10, 16])
    """

    shapes = ("(n, steps)", "(n, steps, channels)")

    def __init__(
        self,
        units: int = 32,
        width: int = 64,
        heads: int = 4,
        blocks: int = 2,
        times: str | None = None,
        inducing_points: int | None = None,
        seeds: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(units, width, heads, blocks, inducing_points, seeds, dropout)
        do = "pass for example times='t'"
        subject = "Transformer, argument 'times'"
        check_type(subject, times, (str, type(None)), "the name of an observable", do)
        self.times = times
        self.order = "series" if times is None else "set"
        self.places: np.ndarray | None = None

    def locate(self, coordinates: np.ndarray) -> None:
        centred = coordinates - coordinates.mean()
        self.places = (centred / max(float(centred.std()), 1e-30)).astype(np.float32)

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        x = with_features(x)
        if self.times is not None:
            times, x = tf.split(x, [1, x.shape[2] - 1], axis=-1)
        else:
            steps = tf.shape(x)[1]
            places = tf.cast(tf.range(steps), x.dtype) / _STEPS_A_UNIT
            if self.places is not None:
                places = tf.constant(self.places, x.dtype)[:steps]
            times = tf.broadcast_to(places[:, None], (tf.shape(x)[0], steps, 1))
        angles = times * tf.constant(2.0 * math.pi / _WAVELENGTHS, x.dtype)
        steps_with_times = tf.concat([x, times, tf.sin(angles), tf.cos(angles)], axis=-1)
        # Padding has no times either: all of it is equal.
        return super().call(blank(steps_with_times, mask), mask)
