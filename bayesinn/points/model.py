"""The network of point estimates: summaries of the data in, outputs for all estimates out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.bijections.subnet import Perceptron
from bayesinn.flows import Flow
from bayesinn.points.estimates import Estimate
from bayesinn.points.vector import ParameterVector
from bayesinn.posterior.model import Inputs, PosteriorModel
from bayesinn.training.trainable import Batch, Trainable


class PointFlow(Flow):
    """Outputs for all estimates, from one perceptron of the features; no density, no draws.

    Its events are parameters in both scales side by side, (n, 2 d).

    Parameters
    ----------
    estimates : sequence of Estimate
    hidden : sequence of int, units of the hidden layers
    activation : str, name of a Keras activation
    """

    nats = False
    density = None
    draws = False

    def __init__(
        self,
        estimates: Sequence[Estimate],
        hidden: Sequence[int] = (128, 128),
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.estimates = tuple(estimates)
        self.perceptron = Perceptron(hidden, activation)

    def build(self, event_shape: Sequence[int], condition_shape: Any = None) -> None:
        self.parts = [estimate.size(event_shape[0] // 2) for estimate in self.estimates]
        inputs = condition_shape[0]
        self.network = self.perceptron.network(inputs, sum(self.parts), self.dtype)
        self.network.build((None, inputs))
        super().build(event_shape, condition_shape)

    def outputs(self, features: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """Return outputs (n, size) of each estimate, given features (n, c)."""
        return tf.split(self.network(features, training=training), self.parts, axis=-1)

    def loss(
        self,
        x: tf.Tensor,
        condition: tf.Tensor | None = None,
        *,
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        plain, squeezed = tf.split(x, 2, axis=-1)
        outputs = self.outputs(condition, training)
        return tf.add_n(
            [
                estimate.score(own, plain, squeezed)
                for estimate, own in zip(self.estimates, outputs, strict=True)
            ]
        )


class PointModel(PosteriorModel):
    """The parts of point estimates; its loss is the sum of their scores."""

    def __init__(self, vector: ParameterVector, parts: PosteriorModel) -> None:
        super().__init__(parts.parameters, parts.data, parts.members)
        self.vector = vector

    def prepare(self, batch: Batch, seed: tf.Tensor) -> tuple[Inputs, tf.Tensor]:
        """Return parameters (n, 2 d), inputs and masks of a raw batch, and zero (n,)."""
        x = self.vector.to_vectors(batch)
        return (x, *self.data.to_network(batch)), tf.zeros_like(x[:, 0])

    def arrays(self) -> dict[str, np.ndarray]:
        return {**super().arrays(), **self.vector.arrays()}

    def copy_weights(self, trained: Trainable) -> None:
        assert isinstance(trained, PointModel)
        # Scalings are taken over, not the bounds: the prior may be another.
        start = trained.vector
        self.vector = ParameterVector(self.parameters.prior, start.plain, start.squeezed)
        super().copy_weights(trained)
