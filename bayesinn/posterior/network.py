"""The network of a posterior: summaries of the observables, their vectors and the context as condition, one flow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import keras
import tensorflow as tf

from bayesinn.bijections import Standardise
from bayesinn.flows import Flow
from bayesinn.summaries import Scoring, Summary
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

    @property
    def estimates(self) -> bool:
        """Whether one of the summaries makes a first estimate of the vector."""
        return isinstance(self.flow.chain, Standardise)

    @property
    def works_beforehand(self) -> bool:
        """Whether one of them has a part that can be worked out before training."""
        return any(type(summary).beforehand is not Summary.beforehand for summary in self.summaries.values())

    def estimate(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """That estimate (n, d)."""
        key, summary = next((key, part) for key, part in self.summaries.items() if isinstance(part, Scoring))
        return summary.estimate(side_by_side([inputs[name] for name in observables_of(key)]))

    @contextmanager
    def fixed_estimate(self) -> Iterator[None]:
        """Within this, the first estimate is not trained: what was worked out beforehand goes with it as it is."""
        estimating = [summary for summary in self.summaries.values() if isinstance(summary, Scoring)]
        parts = [part for summary in estimating for part in (summary.first, summary.head)]
        for part in parts:
            part.trainable = False
        try:
            yield
        finally:
            for part in parts:
                part.trainable = True

    def beforehand(self, inputs: Mapping[str, tf.Tensor], masks: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What summaries can work out once for each simulation, (n, p) for each of those that can."""
        of_summaries = {
            key: summary.beforehand(side_by_side([inputs[name] for name in observables_of(key)]), training=True)
            for key, summary in self.summaries.items()
        }
        return {key: value for key, value in of_summaries.items() if value is not None}

    def condition(
        self,
        inputs: Mapping[str, tf.Tensor],
        masks: Mapping[str, tf.Tensor],
        training: bool = False,
        beforehand: Mapping[str, tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """What the flow sees of the data: summaries, then context, (n, c)."""
        parts, summarised = [], set()
        for key, summary in self.summaries.items():
            names = observables_of(key)
            summarised.update(names)
            # Those of one network have their steps counted alike.
            known = {"mask": masks[names[0]]} if names[0] in masks else {}
            if beforehand and key in beforehand:
                known["beforehand"] = beforehand[key]
            parts.append(summary(side_by_side([inputs[name] for name in names]), training=training, **known))
        parts.extend(value for name, value in inputs.items() if name not in summarised)
        return tf.concat(parts, axis=-1)

    def call(
        self,
        vector: tf.Tensor,
        inputs: Mapping[str, tf.Tensor],
        masks: Mapping[str, tf.Tensor],
        beforehand: Mapping[str, tf.Tensor] | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Log density (n,) of parameter vectors (n, d)."""
        return self.flow(vector, self.condition(inputs, masks, training, beforehand), training=training)

    def initialize(self, vector: tf.Tensor, inputs: Mapping[str, tf.Tensor], masks: Mapping[str, tf.Tensor]) -> None:
        """Build all weights, and set those that depend on data, from a first batch."""
        # Calls with a batch of the right shapes build every layer, the user's own included.
        condition = self.condition(inputs, masks)
        self.flow(vector, condition)
        self.flow.initialize(vector, condition)
        self.built = True


class EstimateNetwork(keras.layers.Layer):
    """The first estimate of a network, by itself: what training maximises is minus half its squared distance.

    Parameters
    ----------
    network : PosteriorNetwork, built
    """

    def __init__(self, network: PosteriorNetwork) -> None:
        super().__init__(name="estimate", autocast=False)
        self.network = network
        self.built = True

    def call(
        self,
        vector: tf.Tensor,
        inputs: Mapping[str, tf.Tensor],
        masks: Mapping[str, tf.Tensor],
        training: bool = False,
    ) -> tf.Tensor:
        """For parameter vectors (n, d), numbers (n,)."""
        return -0.5 * tf.reduce_sum((vector - self.network.estimate(inputs)) ** 2, axis=-1)
