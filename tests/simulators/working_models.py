"""Working models with known posteriors, and data for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.simulation.prior import Prior
from bayesinn.simulators.fisher_scoring import FisherScoring, WorkingModel
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries import MLP

tfd = tfp.distributions

DESIGN = np.random.default_rng(1).normal(size=(2, 12)).astype(np.float32)

SPACE = ParameterSpace(
    Prior({"slope": tfd.Normal(0.0, 1.0), "level": tfd.Normal(0.0, 1.0)}), seed=1
)


class Linear(WorkingModel):
    """Data are a linear function of two parameters, with noise of standard deviation 2."""

    def mean(self, parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return tf.stack([parameters["slope"], parameters["level"]], axis=-1) @ DESIGN

    def log_scale(self, parameters: Mapping[str, tf.Tensor], mean: tf.Tensor) -> tf.Tensor:
        return tf.fill(tf.shape(mean), np.float32(np.log(2.0)))


class Bent(Linear):
    """The mean is a curved function of the parameters, and so is the scale."""

    def mean(self, parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
        straight = super().mean(parameters)
        return straight + 0.1 * straight**2

    def log_scale(self, parameters: Mapping[str, tf.Tensor], mean: tf.Tensor) -> tf.Tensor:
        return -0.5 + 0.3 * parameters["level"][:, None] + 0.0 * mean


class Whole(Linear):
    rounded = ("level",)


class Ridge(Linear):
    """The data depend on a sum of the level and the square of the slope, precisely."""

    compensating = (("level",),)

    def mean(self, parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return tf.repeat((parameters["level"] + parameters["slope"] ** 2)[:, None], 12, axis=1)

    def log_scale(self, parameters: Mapping[str, tf.Tensor], mean: tf.Tensor) -> tf.Tensor:
        return tf.fill(tf.shape(mean), np.float32(np.log(0.01)))

    def compensate(
        self,
        names: tuple[str, ...],
        parameters: Mapping[str, tf.Tensor],
        fitted: Mapping[str, tf.Tensor],
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        return {"level": fitted["level"] + fitted["slope"] ** 2 - parameters["slope"] ** 2}, {}


class Circle(WorkingModel):
    """The data depend on an angle, but not on how many turns."""

    periodic = ("angle",)

    def mean(self, parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
        angle = parameters["angle"][:, None]
        return tf.concat([tf.cos(angle), tf.sin(angle)], axis=-1)

    def log_scale(self, parameters: Mapping[str, tf.Tensor], mean: tf.Tensor) -> tf.Tensor:
        return tf.fill(tf.shape(mean), np.float32(np.log(0.1)))

    def start(self, values: tf.Tensor, parameters: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**parameters, "angle": tf.atan2(values[:, 1], values[:, 0]) + 0.5}


def scoring(model: WorkingModel, **options: Any) -> FisherScoring:
    """A small summary that fits a model."""
    return FisherScoring(model, MLP(8, hidden=(8,)), **{"units": 3, "hidden": (8,), **options})


def summarise(
    model: WorkingModel, x: np.ndarray, **options: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First estimate, improved one and its sd, each (n, 2), without the network's share of sd."""
    summary = scoring(model, **options)
    summary.bind(SPACE)
    summary(tf.constant(x))
    # All biases of the last layer are zero when new; a kernel of zeros leaves only what they say.
    kernel, bias = summary.network.layers[-1].get_weights()
    summary.network.layers[-1].set_weights([0.0 * kernel, bias - 20.0])
    entries = {name: value.numpy() for name, value in summary(tf.constant(x)).items()}
    # After location and information fraction.
    return entries["estimate"], entries["location"], np.exp(entries["features"][:, 4:6])


def data(n: int = 50) -> np.ndarray:
    generator = np.random.default_rng(2)
    return (generator.normal(size=(n, 2)) @ DESIGN + 2.0 * generator.normal(size=(n, 12))).astype(
        np.float32
    )
