"""All trainable weights of a network as one vector."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf


class FlatWeights:
    """All trainable weights of a network as one vector (size,), and its untrained ``state``.

    A Keras model that holds this object doesn't see the weights in it: it trains the vector, not
    each of them.

    An optimiser's step over one vector costs a fraction of that over 72 separate weights, and
    traces in a fraction of the time; clipping by global norm, averaging and checkpoints become one
    operation each.
    """

    def __init__(self, network: keras.layers.Layer) -> None:
        self.variables = network.trainable_variables
        self.state = network.non_trainable_variables
        self._shapes = [tuple(variable.shape) for variable in self.variables]
        self._sizes = [int(np.prod(shape, dtype=int)) for shape in self._shapes]

    def pack(self) -> np.ndarray:
        """Return the network's current weights."""
        return np.concatenate([np.ravel(variable.numpy()) for variable in self.variables])

    def unpack(self, vector: tf.Tensor) -> list[tf.Tensor]:
        """Split a vector into one tensor for each weight."""
        parts = tf.split(vector, self._sizes)
        return [tf.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def assign(self, vector: Any) -> None:
        """Write a vector into the network."""
        for variable, value in zip(
            self.variables, self.unpack(tf.convert_to_tensor(vector)), strict=True
        ):
            variable.assign(value)
