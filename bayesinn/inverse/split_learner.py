"""The network and the learner of :class:`SplitLatent`: as those of every posterior, with another loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.flows.split_latent.flow import SplitFlow
from bayesinn.posterior.learner import Learner
from bayesinn.posterior.network import PosteriorNetwork


class SplitNetwork(PosteriorNetwork):
    """Observables and context as condition, and the bijection that predicts the observables."""

    flow: SplitFlow

    # Keras passes `training` by its name, and the training step everything else by position.
    def call(  # type: ignore[override]
        self,
        vector: tf.Tensor,
        inputs: Mapping[str, tf.Tensor],
        masks: Mapping[str, tf.Tensor],
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        """What training maximises (n,), for parameter vectors (n, d); see :meth:`SplitFlow.score`."""
        seed = tf.zeros((2,), tf.int32) if seed is None else seed
        return self.flow.score(vector, self.condition(inputs, masks, training), seed, progress)

    def initialize(self, vector: tf.Tensor, inputs: Mapping[str, tf.Tensor], masks: Mapping[str, tf.Tensor]) -> None:
        # First, because the loss of a flow that has no weights yet can't be computed.
        self.flow.initialize(vector, self.condition(inputs, masks))
        self(vector, inputs, masks)


class SplitLearner(Learner):
    """Gives each training step its noise, and the ramp of the backward loss its place."""

    network: SplitNetwork

    def training_arguments(
        self, batch: Mapping[str, tf.Tensor], seed: tf.Tensor, progress: tf.Tensor
    ) -> tuple[tuple[Any, ...], tf.Tensor]:
        arguments, log_det = self.prepare(batch, seed)
        density = self.network.flow.objective == "likelihood"
        # A stream of its own: the seed itself spreads integer parameters.
        return (*arguments, seeds.fold_in(seed, -1), progress), log_det if density else tf.zeros_like(log_det)
