"""Noise on the data during training, so that networks learn not to trust each number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_number, check_type
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries.summary import Summary

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
        self.alike = summary.alike
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
