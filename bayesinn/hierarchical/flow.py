"""Two flows in turn: the population's parameters given a set, a person's given these and data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.bijections import Bijection
from bayesinn.bijections.condition import EVERY, FEATURES, Condition
from bayesinn.core import seeds
from bayesinn.core.configuration import clone
from bayesinn.flows import Flow
from bayesinn.spaces.parameters import ParameterSpace

#: Entry of the condition: the summary of the person whose parameters are in the event.
PERSON = "person"
#: Entry of a condition that says how far apart the persons are; no flow reads it.
EXTREMES = "extremes"


class TwoStages(Flow):
    """The distribution of the population's parameters, then one person's.

    The first stage sees the summary of the set; the second the person's summary, and what the first
    one drew. Given that, all persons are independent.

    Parameters
    ----------
    flow : Flow of vectors, copied for the second stage
    shared : sequence of str, names of the parameters of the population
    """

    reads = EVERY

    def __init__(self, flow: Flow, shared: Sequence[str]) -> None:
        super().__init__()
        self.shared = tuple(shared)
        self.first = flow
        self.second = clone(flow)
        self.declare_like(flow)

    def bind(self, parameters: ParameterSpace) -> None:
        chosen = parameters.elements_of(self.shared) == 1.0
        # Past Keras' attribute tracking.
        self.__dict__["_places"] = (np.flatnonzero(chosen), np.flatnonzero(~chosen))

    def build(self, event_shape: Sequence[int], condition_shapes: Any = None) -> None:
        super().build(event_shape, condition_shapes)
        shared, own = self._places
        self.first.build((len(shared),), condition_shapes[FEATURES])
        self.second.build((len(own),), (condition_shapes[PERSON][0] + len(shared),))

    def loss(
        self,
        x: tf.Tensor,
        condition: Any = None,
        *,
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        (shared, features), (own, both) = self._parts(x, condition)
        options: dict[str, Any] = {"progress": progress, "training": training}
        other = None if seed is None else seeds.fold_in(seed, 1)
        loss = self.first(shared, features, seed=seed, **options)
        return loss + self.second(own, both, seed=other, **options)

    def log_prob(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        (shared, features), (own, both) = self._parts(x, condition)
        return self.first.log_prob(shared, features) + self.second.log_prob(own, both)

    def sample(self, n: int | tf.Tensor, condition: Any = None, *, seed: Any) -> tf.Tensor:
        seed = tf.convert_to_tensor(seed, tf.int32)
        shared = self.first.sample(n, condition[FEATURES], seed=seed)
        return self.complete(shared, condition[PERSON], seeds.fold_in(seed, 1))

    def complete(self, shared: tf.Tensor, persons: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draw the rest of events (m, n, d) given draws (m, n, k) and summaries (m, c).

        Each of m persons has draws of the population's parameters of its own, or the same.
        """
        count = tf.shape(shared)[1]
        given = tf.reshape(shared, (-1, shared.shape[-1]))
        both = tf.concat([tf.repeat(persons, count, axis=0), given], axis=-1)
        own = self.second.sample(1, both, seed=seed)[:, 0]
        joined = tf.concat([given, own], axis=-1)
        vector = tf.gather(joined, np.argsort(np.concatenate(self._places)), axis=-1)
        return tf.reshape(vector, (-1, count, vector.shape[-1]))

    def initialize(self, x: tf.Tensor, condition: Any = None) -> None:
        self.build_for(x, condition)
        for flow, part in zip((self.first, self.second), self._parts(x, condition), strict=True):
            flow.initialize(*part)

    @property
    def watched(self) -> list[Bijection]:
        return [*self.first.watched, *self.second.watched]

    def watched_inputs(
        self, x: tf.Tensor, condition: Any = None
    ) -> list[tuple[tf.Tensor, tf.Tensor | None]]:
        shared, own = self._parts(x, condition)
        return [*self.first.watched_inputs(*shared), *self.second.watched_inputs(*own)]

    def _parts(self, x: tf.Tensor, condition: Condition) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Return what each stage sees: events (n, d), and their condition (n, c)."""
        shared, own = (tf.gather(x, places, axis=-1) for places in self._places)
        both = tf.concat([condition[PERSON], shared], axis=-1)
        return [(shared, condition[FEATURES]), (own, both)]
