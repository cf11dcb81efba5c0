"""Parameter space, data space and network together: the density that is trained and evaluated.

One path for every use: raw parameters and raw data in, log density on the parameters' own scale out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.posterior.network import PosteriorNetwork
from bayesinn.spaces.data import DataSpace
from bayesinn.spaces.parameters import ParameterSpace

# Before the keys of summaries; no name of a parameter or an observable.
_BEFOREHAND = "beforehand: "


@dataclass(frozen=True)
class Learner:
    """The parts of log q(parameters | data)."""

    parameters: ParameterSpace
    data: DataSpace
    network: PosteriorNetwork

    def prepare(self, batch: Mapping[str, tf.Tensor], seed: tf.Tensor) -> tuple[tuple[Any, Any, Any], tf.Tensor]:
        """A raw batch to network arguments.

        Parameters
        ----------
        batch : dict of name to tensor (n, ...), parameters, context and observables
        seed : tensor (2,), for the spreading of integer parameters

        Returns
        -------
        arguments : (vector, inputs, masks), what :meth:`PosteriorNetwork.call` takes
        log_det : tensor (n,), to add to the network's log density
        """
        vector, log_det = self.parameters.to_vector(self.parameters.dequantise(batch, seed))
        return (vector, *self.data.to_network(batch)), log_det

    def beforehand(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What the network can work out once for each simulation of a raw batch; goes with it in training.

        See :meth:`bayesinn.summaries.Summary.beforehand`.
        """
        known = self.network.beforehand(*self.data.to_network(batch))
        return {f"{_BEFOREHAND}{key}": value for key, value in known.items()}

    def training_arguments(
        self, batch: Mapping[str, tf.Tensor], seed: tf.Tensor, progress: tf.Tensor
    ) -> tuple[tuple[Any, ...], tf.Tensor]:
        """What the training step gives to the network, whose mean output plus offset it maximises.

        A learner with a loss of its own derives from this class and returns what its network's ``call`` takes.

        Parameters
        ----------
        batch, seed : as for :meth:`prepare`
        progress : tensor (), share of the steps that are done; 1 in validation

        Returns
        -------
        arguments : for the network, which returns a tensor (n,)
        offset : tensor (n,), to add to it
        """
        arguments, log_det = self.prepare(batch, seed)
        known = {name.removeprefix(_BEFOREHAND): value for name, value in batch.items() if name.startswith(_BEFOREHAND)}
        return ((*arguments, known) if known else arguments), log_det

    def initialize(self, batch: Mapping[str, tf.Tensor], seed: int) -> None:
        """Build the network, and set the weights that depend on data, from a first batch."""
        arguments, _ = self.prepare(batch, seeds.tensor_seed(seed, "dequantise"))
        self.network.initialize(*arguments)
