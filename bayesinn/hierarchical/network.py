"""The network of a hierarchical model: summaries of persons, a summary of their set, two flows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.bijections.condition import FEATURES, Condition
from bayesinn.core.errors import InputError
from bayesinn.hierarchical.flow import EXTREMES, PERSON, TwoStages
from bayesinn.hierarchical.space import flatten, unflatten
from bayesinn.posterior.network import PosteriorNetwork, Tensors
from bayesinn.summaries import Summary
from bayesinn.summaries.joint import observables_of


class SetNetwork(PosteriorNetwork):
    """The density of the population's parameters and the first person's, given sets of persons.

    Each person has a summary, with context; the set of these is all that the first stage sees.
    """

    flow: TwoStages

    def __init__(
        self, summaries: Mapping[str, Summary], population: Summary, flow: TwoStages, count: str
    ) -> None:
        super().__init__(summaries, flow)
        self.population = population
        self.count = count

    def persons(self, inputs: Tensors, masks: Tensors, training: bool = False) -> tf.Tensor:
        """Return summaries (n, persons, c) of all persons, padding included."""
        most = masks[self.count].shape[1]
        parts = {name: flatten(value) for name, value in inputs.items() if name != self.count}
        valid = {name: flatten(value) for name, value in masks.items() if name != self.count}
        condition = super().condition(parts, valid, training)
        if len(condition) > 1:
            raise InputError(
                f"Summary networks {self.summaries}",
                expected="features alone, which the two stages exchange",
                got=f"entries {sorted(condition)}",
                do="use another summary network",
            )
        return unflatten(condition[FEATURES], most)

    def condition_of(
        self, persons: tf.Tensor, inputs: Tensors, masks: Tensors, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """Return the summary of the set and the first person's, which the flow reads.

        Beside these are the smallest and largest of each number in the persons' summaries.
        """
        features = self.population(persons, masks[self.count], training)
        joined = tf.concat([features, inputs[self.count]], axis=-1)
        present = masks[self.count][:, :, None]
        largest = tf.reduce_max(tf.where(present, persons, -np.inf), axis=1)
        smallest = tf.reduce_min(tf.where(present, persons, np.inf), axis=1)
        extremes = tf.concat([smallest, largest], axis=-1)
        return {FEATURES: joined, PERSON: persons[:, 0], EXTREMES: extremes}

    def condition(
        self,
        inputs: Tensors,
        masks: Tensors,
        training: bool = False,
        precomputed: Mapping[str, Tensors] | None = None,
    ) -> dict[str, tf.Tensor]:
        persons = self.persons(inputs, masks, training)
        return self.condition_of(persons, inputs, masks, training)

    def compared(self, condition: Condition) -> tf.Tensor:
        # Whatever the order of persons, so that any of them may be unusual.
        return tf.concat([condition[EXTREMES], condition[FEATURES]], axis=-1)

    def precompute(self, inputs: Tensors) -> dict[str, dict[str, tf.Tensor]]:
        return {}

    def initialize(self, vector: tf.Tensor, inputs: Tensors, masks: Tensors) -> None:
        # Places without a person hold zeros.
        there = tf.reshape(masks[self.count], (-1,))
        own, valid = (
            {
                name: tf.boolean_mask(flatten(value), there)
                for name, value in given.items()
                if name != self.count
            }
            for given in (inputs, masks)
        )
        for key, summary in self.summaries.items():
            summary.initialize(self._seen(key, own), valid.get(observables_of(key)[0]))
        self.population.initialize(self.persons(inputs, masks), masks[self.count])
        condition: Any = self.condition(inputs, masks)
        self.flow.initialize(vector, condition)
        self.loss(vector, condition, tf.zeros((2,), tf.int32))
        self.built = True
