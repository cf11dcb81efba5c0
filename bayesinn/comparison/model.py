"""The classifier of models: summaries of the data in, log probabilities of the models out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core.validation import check_integer
from bayesinn.flows import Flow
from bayesinn.posterior.model import Inputs, PosteriorModel
from bayesinn.posterior.network import PosteriorNetwork
from bayesinn.spaces.data import DataSpace
from bayesinn.training.trainable import Batch, Trainable

#: Number of the model that simulated a row.
MODEL = "model"


class ModelFlow(Flow):
    """The distribution of the number of a model, an event (1,), given features: a softmax.

    Parameters
    ----------
    classes : int, number of models
    hidden : sequence of int, units of hidden layers
    activation : str, name of a Keras activation
    """

    draws = False

    def __init__(
        self, classes: int, hidden: Sequence[int] = (64, 64), activation: str = "silu"
    ) -> None:
        super().__init__()
        self.classes = check_integer("ModelFlow, argument 'classes'", classes, least=2)
        self.hidden = tuple(hidden)
        self.activation = activation

    def build(self, event_shape: Sequence[int], condition_shape: Any = None) -> None:
        layers = [keras.layers.Dense(units, self.activation) for units in self.hidden]
        self.network = keras.Sequential([*layers, keras.layers.Dense(self.classes)])
        self.network.build((None, condition_shape[0]))
        super().build(event_shape, condition_shape)

    def log_probs(self, features: tf.Tensor) -> tf.Tensor:
        """Return log probabilities (n, classes) given features (n, c)."""
        return tf.nn.log_softmax(self.network(features))

    def log_prob(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        chosen = tf.cast(x[:, 0], tf.int32)
        return tf.gather(self.log_probs(condition), chosen, batch_dims=1)


class ComparisonModel(PosteriorModel):
    """The parts of q(model | data); its loss is the log score, which is proper."""

    def __init__(self, data: DataSpace, network: PosteriorNetwork) -> None:
        self.data = data
        self.network = network
        self._members = (network,)

    def prepare(self, batch: Batch, seed: tf.Tensor) -> tuple[Inputs, tf.Tensor]:
        """Return models (n, 1), inputs and masks of a raw batch, and zero (n,)."""
        vector = tf.cast(batch[MODEL], tf.float32)[:, None]
        return (vector, *self.data.to_network(batch)), tf.zeros_like(vector[:, 0])

    def arrays(self) -> dict[str, np.ndarray]:
        return self.data.arrays()

    def copy_weights(self, trained: Trainable) -> None:
        assert isinstance(trained, ComparisonModel)
        self.data.scalings = dict(trained.data.scalings)
        Trainable.copy_weights(self, trained)
