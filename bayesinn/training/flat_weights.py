"""All trainable weights of networks as one vector."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core.errors import InputError


class FlatWeights:
    """All trainable weights of networks as one vector, and what is not trained, ``state``.

    The networks have weights of equal shapes, and follow each other in the vector and in the state.
    A Keras model that holds this object doesn't see the weights in it: it trains the vector, not
    each of them.

    An optimiser's step over one vector costs a fraction of that over 72 separate weights, and
    traces in a fraction of the time; clipping by global norm, averaging and checkpoints become one
    operation each.
    """

    def __init__(self, networks: Sequence[keras.layers.Layer]) -> None:
        self.networks = networks
        self.members = len(networks)
        self.variables = [part for network in networks for part in network.trainable_variables]
        if not self.variables:
            raise InputError(
                "Network",
                expected="weights to train, made when it is initialised",
                got="none",
                do="call or build each layer in initialize",
            )
        self.state = [part for network in networks for part in network.non_trainable_variables]
        #: Those of the first network, which :meth:`unpack` is for.
        self.first = self.variables[: len(self.variables) // self.members]
        self.first_state = self.state[: len(self.state) // self.members]
        self._shapes = [tuple(variable.shape) for variable in self.first]
        self._sizes = [int(np.prod(shape, dtype=int)) for shape in self._shapes]
        #: Whether any weight has a constraint of Keras.
        self.constrained = any(part.constraint is not None for part in self.first)

    def refuse_late_weights(self) -> None:
        """Refuse weights made after the others: training leaves them out, and no file has them."""
        late = self.networks[0].variables[len(self.first) + len(self.first_state) :]
        if late:
            raise InputError(
                "Weights of a network",
                expected="all of them, when the network is initialised",
                got=f"{len(late)} more, made when the loss was first computed",
                do="call each layer in initialize, too, or build it there",
            )

    def pack(self) -> np.ndarray:
        """Return the networks' current weights."""
        return np.concatenate([np.ravel(variable.numpy()) for variable in self.variables])

    def split(self, vector: tf.Tensor) -> list[tf.Tensor]:
        """Return the part of the vector of each network."""
        return tf.split(vector, self.members)

    def split_state(self, state: Sequence[Any]) -> list[Sequence[Any]]:
        """Return the part of the state of each network."""
        size = len(self.first_state)
        return [state[start * size : (start + 1) * size] for start in range(self.members)]

    def unpack(self, vector: tf.Tensor) -> list[tf.Tensor]:
        """Split the vector of one network into a tensor for each weight."""
        parts = tf.split(vector, self._sizes)
        return [tf.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def penalty(self, weights: Sequence[tf.Tensor]) -> Any:
        """Return zero, with the gradient of Keras' regularisers of the weights of one network.

        Losses thus stay in nats.
        """
        each = [
            variable.regularizer(weight)
            for variable, weight in zip(self.first, weights, strict=True)
            if variable.regularizer is not None
        ]
        return sum(value - tf.stop_gradient(value) for value in each)

    def constrain(self, vector: tf.Tensor) -> tf.Tensor:
        """Return the weights of all networks as Keras' constraints of each weight change them."""
        values = [
            weight if variable.constraint is None else variable.constraint(weight)
            for part in self.split(vector)
            for variable, weight in zip(self.first, self.unpack(part), strict=True)
        ]
        return tf.concat([tf.reshape(value, [-1]) for value in values], 0)

    def assign(self, vector: Any) -> None:
        """Write a vector into the networks."""
        values = [
            value
            for part in self.split(tf.convert_to_tensor(vector))
            for value in self.unpack(part)
        ]
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)


def refuse_added_losses(losses: Sequence[Any]) -> None:
    """Refuse losses that a layer added by itself while it was called."""
    if losses:
        raise InputError(
            "Losses of a layer",
            expected="no add_loss and no activity_regularizer, which training leaves out",
            got=f"{len(losses)} of them",
            do="regularise weights: kernel_regularizer, or bi.Optimization(weight_decay=...)",
        )
