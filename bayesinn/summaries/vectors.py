"""Summaries of vectors: a perceptron, the data themselves, noise in training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.errors import InputError, check_number, check_type
from bayesinn.spaces.parameters import ParameterSpace
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
    linear : bool
        Whether a linear map of all features is added to the summary. Weighted sums, which are
        sufficient for many models, then need not be learned by the hidden layers.

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
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.decorrelate = decorrelate
        self.across = keras.layers.Dense(units, use_bias=False) if linear else None
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
        summary = self.network(values)
        return summary if self.across is None else summary + self.across(values)


class Identity(Summary):
    """Return the data unchanged, as flat vectors: for a few numbers, or an expert's statistics.

    Examples
    --------
    >>> import tensorflow as tf
    >>> Identity()(tf.ones((10, 4, 2))).shape
    TensorShape([10, 8])
    """

    masks = False

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        return tf.reshape(x, (-1, math.prod(x.shape[1:])))


# Largest Cauchy error, in units of the slab: one error in many millions would end a training.
_FARTHEST = 100.0


class Noisy(Summary):
    """A summary network that sees data with errors during training, and plain data afterwards.

    Use it for data with errors that the simulator doesn't know, such as outliers. Each number of
    the standardised data gets its own error: a small Gaussian one (the spike), or a Cauchy one (the
    slab), which may be large. The posterior is that of a simulator with these errors. It is wider
    on clean data, which :func:`bayesinn.diagnose` reports, and less wrong on data with errors. The
    validation loss is that of clean data.

    Parameters
    ----------
    summary : Summary
        Network that sees the data. It may have no part that is trained first, and no missing
        values.
    share : float, share of numbers with a slab error
    spike, slab : float, scales of both errors, in standard deviations of the simulated data
        Times of steps, which a ``Transformer`` is told, have none.

    References
    ----------
    Ward et al. (2022), Robust Neural Posterior Estimation and Statistical Model Criticism,
    arXiv:2210.06564 (the same errors, added in training: noisy NPE).

    Examples
    --------
    >>> import tensorflow as tf
    >>> from bayesinn.summaries import MLP
    >>> Noisy(MLP(units=16), share=0.2)(tf.ones((10, 200))).shape
    TensorShape([10, 16])
    """

    missing = False

    def __init__(
        self, summary: Summary, share: float = 0.5, spike: float = 0.01, slab: float = 0.25
    ) -> None:
        super().__init__()
        do = "pass for example Noisy(bi.summaries.MLP(32))"
        check_type("Noisy, argument 'summary'", summary, Summary, "a summary network", do)
        if summary.trained_first or not summary.standardised:
            raise InputError(
                "Noisy, argument 'summary'",
                expected="a network that sees standardised data, and is trained with the flow",
                got=repr(summary),
                do=do,
            )
        self.share = check_number("Noisy, argument 'share'", share, least=0, most=1)
        self.spike = check_number("Noisy, argument 'spike'", spike, least=0)
        self.slab = check_number("Noisy, argument 'slab'", slab, least=0)
        self.summary = summary
        self.shapes = summary.shapes
        self.masks = summary.masks
        self.times = summary.times
        self.order = summary.order
        self.reads = summary.reads
        # Like Keras' dropout: a weight, which is saved and resumed.
        self.seed_generator = keras.random.SeedGenerator()

    def bind(self, parameters: ParameterSpace) -> None:
        self.summary.bind(parameters)

    def locate(self, coordinates: np.ndarray) -> None:
        self.summary.locate(coordinates)

    def initialize(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> None:
        self.summary.initialize(x, mask)

    def compared(self, condition: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
        return self.summary.compared(condition)

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None, training: bool = False) -> Any:
        if training:
            errors = tf.cast(self._errors(tf.shape(x)), x.dtype)
            if self.times is not None:
                # The first channel has the times, which are known.
                errors *= tf.constant([0.0] + [1.0] * (x.shape[-1] - 1), x.dtype)
            x += errors
        return self.summary(x, mask, training)

    def _errors(self, shape: tf.Tensor) -> tf.Tensor:
        # XLA takes no other type of seed.
        seed = tf.cast(tf.math.floormod(self.seed_generator.next(), tf.int32.max - 1), tf.int32)
        of_kind, of_spike, of_slab = seeds.split(seed, 3)
        spike = tf.random.stateless_normal(shape, of_spike, alg="philox")
        angle = tf.random.stateless_uniform(shape, of_slab, -0.5, 0.5, alg="philox")
        slab = tf.clip_by_value(tf.tan(math.pi * angle), -_FARTHEST, _FARTHEST)
        large = tf.random.stateless_uniform(shape, of_kind, alg="philox") < self.share
        return tf.where(large, self.slab * slab, self.spike * spike)
