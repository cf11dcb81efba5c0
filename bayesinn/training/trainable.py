"""The contract of what the training loop trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

Batch = Mapping[str, tf.Tensor]


class Trainable(ABC):
    """A network, and how raw batches become losses.

    An author sets :attr:`network` and writes :meth:`initialize` and :meth:`loss`; the rest has
    defaults. Batches are dicts of name to tensor (n, ...), as a source gives them.
    """

    network: keras.layers.Layer
    """Holds every weight, trained or not."""

    rowwise: bool = False
    """Whether a row's loss depends on no other row, so that a batch may be split."""

    xla_pays: bool = True
    """Whether XLA makes a step faster on the CPU: it fuses many small operations into few.
    Convolutions gain nothing, and compile for long."""

    @property
    def numbers(self) -> int:
        """Count of numbers over which a loss in nats adds up; 1 of any other loss."""
        return 1

    @property
    def members(self) -> Sequence[keras.layers.Layer]:
        """Networks with weights of equal shapes, trained side by side and independently.

        :meth:`loss` is that of the first. By default there is one, :attr:`network`, which holds all
        weights.
        """
        return (self.network,)

    def mix_losses(self, losses: tf.Tensor) -> tf.Tensor:
        """Return the joint losses (n,) of all members, given the losses (members, n) of each."""
        return tf.reduce_mean(losses, axis=0)

    @abstractmethod
    def initialize(self, batch: Batch, seed: int) -> None:
        """Build the network, and set the weights that depend on data, from a first batch."""

    @abstractmethod
    def loss(self, batch: Batch, seed: tf.Tensor, progress: tf.Tensor, training: bool) -> tf.Tensor:
        """Return what training minimises in the mean, (n,).

        Parameters
        ----------
        batch : dict of name to tensor (n, ...)
            It has what :meth:`precompute` gave for its rows, if that was called.
        seed : tensor (2,), for all noise of this step
        progress : tensor (), share of the steps that are done; 1 in validation
        training : bool
        """

    def precompute(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Return costly values that depend on no trained weight, by names that no batch has.

        If all simulations exist before the first step, they are computed once for each.
        """
        return {}

    def pretraining(self) -> Trainable | None:
        """Return what must be trained, then fixed, before :meth:`precompute`; None if nothing."""
        return None

    def freeze(self) -> None:  # noqa: B027
        """Stop training the weights on which :meth:`precompute` depends."""

    def monitors(self, batch: Batch, seed: int) -> list[keras.callbacks.Callback]:
        """Return callbacks that watch the network on a fixed batch."""
        return []

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what must be saved with the network's weights, such as scalings, by name."""
        return {}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:  # noqa: B027
        """Take what :meth:`arrays` gave."""

    def copy_weights(self, trained: Trainable) -> None:
        """Take the weights and scalings of a trained one with the same networks."""
        self.restore(trained.arrays())
        for variable, value in zip(self.network.variables, trained.network.variables, strict=True):
            variable.assign(value)


def count_weights(model: Trainable) -> int:
    """Return the number of weights that are trained."""
    return sum(int(np.prod(variable.shape)) for variable in model.network.trainable_variables)
