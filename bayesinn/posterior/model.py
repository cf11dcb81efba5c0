"""Parameter space, data space and network in one: raw data in, losses out.

Losses are on the parameters' own scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.flows import Flow
from bayesinn.posterior.mixture import DensityModel, MixtureNetwork
from bayesinn.posterior.network import PosteriorNetwork
from bayesinn.spaces.data import DataSpace
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.training.trainable import Batch, Trainable

# Between a summary's key and the name of what it precomputed; no observable's name has it.
_SEPARATOR = " / "

Inputs = tuple[tf.Tensor, dict[str, tf.Tensor], dict[str, tf.Tensor]]


class PosteriorModel(DensityModel[PosteriorNetwork]):
    """The parts of q(parameters | data), which is that of one network or the mean of several.

    Each of several networks is trained for itself; ``network`` answers for all of them.
    """

    network: PosteriorNetwork

    def __init__(
        self, parameters: ParameterSpace, data: DataSpace, networks: Sequence[PosteriorNetwork]
    ) -> None:
        self.parameters = parameters
        self.data = data
        self._members = tuple(networks)
        self.network = networks[0] if len(networks) == 1 else MixtureNetwork(networks)

    @property
    def flow(self) -> Flow:
        return self._members[0].flow

    def flow_inputs(self, batch: Batch, seed: tf.Tensor) -> tuple[tf.Tensor, Any]:
        (vector, inputs, masks), _ = self.prepare(batch, seed)
        return vector, self._members[0].condition(inputs, masks)

    def prepare(self, batch: Batch, seed: tf.Tensor) -> tuple[Inputs, tf.Tensor]:
        """Return vector, inputs and masks of a raw batch, and log_det (n,).

        ``log_det`` is that of the Jacobian matrix d vector / d parameters.
        """
        vector, log_det = self.parameters.to_vector(self.parameters.dequantise(batch, seed))
        return (vector, *self.data.to_network(batch)), log_det

    def initialize(self, batch: Batch, seed: int) -> None:
        inputs, _ = self.prepare(batch, seeds.tensor_seed(seed, "dequantise"))
        self.network.initialize(*inputs)

    def loss(self, batch: Batch, seed: tf.Tensor, progress: tf.Tensor, training: bool) -> tf.Tensor:
        network = self._members[0]
        (vector, inputs, masks), log_det = self.prepare(batch, seed)
        condition = network.condition(inputs, masks, training, _nested(batch))
        # A stream of its own: the seed itself decides where integers lie.
        loss = network.loss(vector, condition, seeds.fold_in(seed, -1), progress, training)
        own = network.auxiliary_loss(vector, inputs, condition)
        if own is not None:
            # Only its gradient counts; the value stays in nats. The difference is computed first:
            # it is exactly zero.
            loss += own - tf.stop_gradient(own)
        return loss - log_det if network.flow.nats else loss

    def precompute(self, batch: Batch) -> dict[str, tf.Tensor]:
        inputs, _ = self.data.to_network(batch)
        # Several networks share what no weights of their own decide; else each computes its own.
        shared = {
            key
            for key, summary in self._members[0].summaries.items()
            if len(self._members) == 1 or not summary.non_trainable_variables
        }
        return {
            f"{key}{_SEPARATOR}{name}": value
            for key, values in self.network.precompute(inputs).items()
            if key in shared
            for name, value in values.items()
        }

    def pretraining(self) -> Trainable | None:
        if not self.network.auxiliary_layers():
            return None
        if len(self._members) > 1:
            raise InputError(
                "Argument 'networks'",
                expected="1 with a summary that is trained before, and fixed then",
                got=f"{len(self._members)}",
                do="train several posteriors, and join them with bi.Ensemble",
            )
        return _AuxiliaryLoss(self)

    def freeze(self) -> None:
        for layer in self.network.auxiliary_layers():
            layer.trainable = False

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            **self.parameters.arrays(),
            **self.data.arrays(),
        }

    def copy_weights(self, trained: Trainable) -> None:
        assert isinstance(trained, PosteriorModel)
        self.parameters.restore(trained.parameters.arrays())
        self.data.scalings = dict(trained.data.scalings)
        super().copy_weights(trained)


class _AuxiliaryLoss(Trainable):
    """The parts of summaries that have losses of their own, trained alone."""

    def __init__(self, model: PosteriorModel) -> None:
        self.model = model
        self.network = _Layers(model.network.auxiliary_layers())

    def initialize(self, batch: Batch, seed: int) -> None:
        """Do nothing: the model has built the layers."""

    def loss(self, batch: Batch, seed: tf.Tensor, progress: tf.Tensor, training: bool) -> tf.Tensor:
        (vector, inputs, _), log_det = self.model.prepare(batch, seed)
        loss = self.model.network.auxiliary_loss(vector, inputs)
        assert loss is not None
        return loss - log_det


class _Layers(keras.layers.Layer):
    """Some layers of another network, to be trained by themselves."""

    def __init__(self, layers: list[keras.layers.Layer]) -> None:
        super().__init__(name="auxiliary", autocast=False)
        self.parts = list(layers)
        self.built = True


def _nested(batch: Batch) -> dict[str, dict[str, tf.Tensor]]:
    """Return what :meth:`PosteriorModel.precompute` put into a batch, by summary and name."""
    nested: dict[str, dict[str, tf.Tensor]] = {}
    for name, value in batch.items():
        key, separator, part = name.rpartition(_SEPARATOR)
        if separator:
            nested.setdefault(key, {})[part] = value
    return nested
