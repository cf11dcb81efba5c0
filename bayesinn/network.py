"""The network of a posterior: summaries of the observables, their vectors and the context as condition, one flow."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf

from bayesinn.flows import Flow, Standardise
from bayesinn.summaries import Summary
from bayesinn.summaries.joint import observables_of, side_by_side


class PosteriorNetwork(keras.layers.Layer):
    """log q(vector | data), in the space where everything is standardised.

    Parameters
    ----------
    summaries : dict of observable to summary network; see :func:`observables_of` for one of several
    flow : Flow
    """

    def __init__(self, summaries: Mapping[str, Summary], flow: Flow) -> None:
        super().__init__(name="posterior", autocast=False)
        self.summaries = dict(summaries)
        self.flow = flow
        if isinstance(flow.chain, Standardise):
            estimate = next(iter(summaries.values()))
            flow.chain.bind(estimate.straighten, estimate.bend)

    def condition(
        self, inputs: Mapping[str, tf.Tensor], masks: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """What the flow sees of the data: summaries, then context, (n, c)."""
        parts, summarised = [], set()
        for key, summary in self.summaries.items():
            names = observables_of(key)
            summarised.update(names)
            # Those of one network have their steps counted alike.
            mask = {"mask": masks[names[0]]} if names[0] in masks else {}
            parts.append(summary(side_by_side([inputs[name] for name in names]), training=training, **mask))
        parts.extend(value for name, value in inputs.items() if name not in summarised)
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
        # Calls with a batch of the right shapes build every layer, the user's own included.
        condition = self.condition(inputs, masks)
        self.flow(vector, condition)
        self.flow.initialize(vector, condition)
        self.built = True
