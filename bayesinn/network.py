"""The network of a posterior: one summary per observable, their vectors and the context as condition, one flow."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf

from bayesinn.flows import Flow
from bayesinn.summaries import Summary


class PosteriorNetwork(keras.layers.Layer):
    """log q(vector | data), in the space where everything is standardised.

    Parameters
    ----------
    summaries : dict of observable to summary network
    flow : Flow
    """

    def __init__(self, summaries: Mapping[str, Summary], flow: Flow) -> None:
        super().__init__(name="posterior", autocast=False)
        self.summaries = dict(summaries)
        self.flow = flow

    def condition(
        self, inputs: Mapping[str, tf.Tensor], masks: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """What the flow sees of the data: summaries, then context, (n, c)."""
        parts = []
        for name, summary in self.summaries.items():
            mask = {"mask": masks[name]} if name in masks else {}
            parts.append(summary(inputs[name], training=training, **mask))
        parts.extend(value for name, value in inputs.items() if name not in self.summaries)
        return tf.concat(parts, axis=-1)

    def call(
        self,
        vector: tf.Tensor,
        inputs: Mapping[str, tf.Tensor],
        masks: Mapping[str, tf.Tensor],
        training: bool = False,
    ) -> tf.Tensor:
        """Log density (n,) of parameter vectors (n, d)."""
        return self.flow(vector, self.condition(inputs, masks, training), training=training)

    def initialize(self, vector: tf.Tensor, inputs: Mapping[str, tf.Tensor], masks: Mapping[str, tf.Tensor]) -> None:
        """Build all weights, and set those that depend on data, from a first batch."""
        # A call with a batch of the right shapes builds every layer, the user's own included.
        self(vector, inputs, masks)
        self.flow.initialize(vector, self.condition(inputs, masks))
