"""Parameter space, data space and network together: what a posterior trains and evaluates.

One path for every use: raw parameters and raw data in, losses on the parameters' own scale out.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.posterior.network import PosteriorNetwork, squared_distance
from bayesinn.spaces.data import DataSpace
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.training.round_trip import RoundTripMonitor
from bayesinn.training.trainable import Batch, Trainable

# Between a summary's key and the name of what it precomputed; no observable's name has it.
_SEPARATOR = " / "
_MONITORED_ROWS = 256

Inputs = tuple[tf.Tensor, dict[str, tf.Tensor], dict[str, tf.Tensor]]


class PosteriorModel(Trainable):
    """The parts of q(parameters | data).

    Parameters
    ----------
    parameters : ParameterSpace
    data : DataSpace
    network : PosteriorNetwork
    """

    network: PosteriorNetwork

    def __init__(self, parameters: ParameterSpace, data: DataSpace, network: PosteriorNetwork) -> None:
        self.parameters = parameters
        self.data = data
        self.network = network

    def prepare(self, batch: Batch, seed: tf.Tensor) -> tuple[Inputs, tf.Tensor]:
        """Turn a raw batch into the network's inputs.

        Parameters
        ----------
        batch : dict of name to tensor (n, ...), parameters, context and observables
        seed : tensor (2,), decides where integers lie in their intervals

        Returns
        -------
        inputs : (vector, inputs, masks)
        log_det : tensor (n,), log determinant of d vector / d parameters
        """
        vector, log_det = self.parameters.to_vector(self.parameters.dequantise(batch, seed))
        return (vector, *self.data.to_network(batch)), log_det

    def initialize(self, batch: Batch, seed: int) -> None:
        inputs, _ = self.prepare(batch, seeds.tensor_seed(seed, "dequantise"))
        self.network.initialize(*inputs)

    def loss(self, batch: Batch, seed: tf.Tensor, progress: tf.Tensor, training: bool) -> tf.Tensor:
        (vector, inputs, masks), log_det = self.prepare(batch, seed)
        condition = self.network.condition(inputs, masks, training, _nested(batch))
        # A stream of its own: the seed itself decides where integers lie.
        loss = self.network.loss(vector, condition, seeds.fold_in(seed, -1), progress, training)
        return loss - log_det if self.network.flow.in_nats else loss

    def precompute(self, batch: Batch) -> dict[str, tf.Tensor]:
        inputs, _ = self.data.to_network(batch)
        return {
            f"{key}{_SEPARATOR}{name}": value
            for key, values in self.network.precompute(inputs).items()
            for name, value in values.items()
        }

    def pretraining(self) -> Trainable | None:
        return None if self.network.framing is None else InitialEstimate(self)

    def freeze(self) -> None:
        if self.network.framing is not None:
            for layer in self.network.framing[1].estimator():
                layer.trainable = False

    def monitors(self, batch: Batch, seed: int) -> list[keras.callbacks.Callback]:
        rows = {name: tf.convert_to_tensor(value[:_MONITORED_ROWS]) for name, value in batch.items()}
        bijection = self.network.flow.bijection

        def inputs() -> Any:
            (vector, data, masks), _ = self.prepare(rows, seeds.tensor_seed(seed, "dequantise"))
            return self.network.bijection_inputs(vector, self.network.condition(data, masks))

        return [] if bijection is None else [RoundTripMonitor(bijection, inputs)]

    def arrays(self) -> dict[str, np.ndarray]:
        arrays = {"parameters/mean": self.parameters.mean, "parameters/scale": self.parameters.scale}
        for name, scaling in self.data.scalings.items():
            arrays |= {f"data/{name}/mean": scaling.mean, f"data/{name}/scale": scaling.scale}
        return arrays

    def copy_weights(self, trained: PosteriorModel) -> None:
        """Take the weights of a trained model of the same networks, and the scalings that belong to them."""
        self.parameters.mean, self.parameters.scale = trained.parameters.mean, trained.parameters.scale
        self.data.scalings = dict(trained.data.scalings)
        for variable, value in zip(self.network.variables, trained.network.variables, strict=True):
            variable.assign(value)


class InitialEstimate(Trainable):
    """The initial estimate of a summary with a frame, trained alone by least squares.

    Parameters
    ----------
    model : PosteriorModel, built
    """

    def __init__(self, model: PosteriorModel) -> None:
        self.model = model
        assert model.network.framing is not None
        self.network = _Layers(model.network.framing[1].estimator())

    def initialize(self, batch: Batch, seed: int) -> None:
        """Do nothing: the model has built the layers."""

    def loss(self, batch: Batch, seed: tf.Tensor, progress: tf.Tensor, training: bool) -> tf.Tensor:
        (vector, inputs, _), log_det = self.model.prepare(batch, seed)
        return squared_distance(vector, self.model.network.estimate(inputs)) - log_det


class _Layers(keras.layers.Layer):
    """Some layers of another network, to be trained by themselves."""

    def __init__(self, layers: list[keras.layers.Layer]) -> None:
        super().__init__(name="estimate", autocast=False)
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
