"""The flow of data given parameters and context: raw data in, losses on their own scale out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from bayesinn.bijections.condition import FEATURES
from bayesinn.core import seeds
from bayesinn.flows import Flow
from bayesinn.likelihood.vector import DataVector
from bayesinn.posterior.mixture import DensityModel, MixtureFlow, entry_name, own_entries
from bayesinn.spaces.data import DataSpace
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.training.trainable import Batch, Trainable

Condition = dict[str, tf.Tensor]


class LikelihoodModel(DensityModel[Flow]):
    """The parts of q(data | parameters, context), which is that of one flow or the mean of several.

    Each of several flows is trained for itself; ``network`` answers for all of them.
    """

    network: Flow

    def __init__(
        self,
        parameters: ParameterSpace,
        data: DataVector,
        context: DataSpace,
        flows: Sequence[Flow],
    ) -> None:
        self.parameters = parameters
        self.data = data
        self.context = context
        self._members = tuple(flows)
        self.network = flows[0] if len(flows) == 1 else MixtureFlow(flows)

    @property
    def flow(self) -> Flow:
        return self._members[0]

    def flow_inputs(self, batch: Batch, seed: tf.Tensor) -> tuple[tf.Tensor, Condition]:
        x, condition, _ = self.prepare(batch, seed)
        return x, own_entries(condition, 0)

    def prepare(self, batch: Batch, seed: tf.Tensor) -> tuple[tf.Tensor, Condition, tf.Tensor]:
        """Return data vectors of a raw batch, conditions, and log_det (n,) of the vectors."""
        for_parameters, for_data = seeds.split(seed, 2)
        vector, _ = self.parameters.to_vector(self.parameters.dequantise(batch, for_parameters))
        shape = (tf.shape(vector)[0], self.data.dimension)
        noise = tf.random.stateless_uniform(shape, for_data, alg="philox")
        x, log_det = self.data.to_vector(batch, noise)
        return x, self.condition(vector, self.context_features(batch)), log_det

    def context_features(self, data: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
        """Return context (n, k) as the flow sees it, one tensor for each variable."""
        return list(self.context.to_network(data)[0].values())

    def condition(self, vector: tf.Tensor, context: list[tf.Tensor]) -> Condition:
        """Return what each flow reads: parameter vectors (n, d), then context."""
        features = tf.concat([vector, *context], axis=-1)
        return {entry_name(FEATURES, number): features for number in range(len(self._members))}

    def initialize(self, batch: Batch, seed: int) -> None:
        x, condition, _ = self.prepare(batch, seeds.tensor_seed(seed, "dequantise"))
        for number, flow in enumerate(self._members):
            flow.initialize(x, own_entries(condition, number))
        self.network(x, condition, seed=tf.zeros((2,), tf.int32))

    def loss(self, batch: Batch, seed: tf.Tensor, progress: tf.Tensor, training: bool) -> tf.Tensor:
        x, condition, log_det = self.prepare(batch, seed)
        own = seeds.fold_in(seed, -1)
        given = own_entries(condition, 0)
        loss = self.flow(x, given, seed=own, progress=progress, training=training)
        return loss - log_det if self.flow.nats else loss

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            **self.parameters.arrays(),
            **self.data.arrays(),
            **{f"context/{name}": value for name, value in self.context.arrays().items()},
        }

    def copy_weights(self, trained: Trainable) -> None:
        assert isinstance(trained, LikelihoodModel)
        self.data.check_start(trained.data)
        self.parameters.restore(trained.parameters.arrays())
        self.data = trained.data
        self.context = trained.context
        super().copy_weights(trained)
