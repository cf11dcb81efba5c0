"""Scaling of data sets of persons: one map for all persons, and which of them are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from bayesinn.core.storage import SavedModel
from bayesinn.hierarchical.levels import Levels
from bayesinn.posterior.building import measured_data
from bayesinn.posterior.saved import saved_data, saved_scaling
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.data import DataSpace, Scaling
from bayesinn.summaries import Summary

# Enough to measure scalings of persons on.
_SETS = 1_024


@dataclass
class SetSpace(DataSpace):
    """The scalings of a person's data, applied to sets (n, persons, ...).

    ``count`` names the number of persons, which scales by itself.
    """

    count: str = ""

    @classmethod
    def of_sets(
        cls,
        rows: Arrays,
        simulator: Simulator,
        levels: Levels,
        summaries: Mapping[str, Summary],
    ) -> SetSpace:
        """Measure on the persons of simulated sets (n, persons, ...), without padding."""
        rows = {name: value[:_SETS] for name, value in rows.items()}
        counts = rows[levels.count]
        there = np.arange(levels.most) < counts[:, None]
        names = tuple(simulator.observable_shapes), simulator.context_names
        persons = {name: rows[name][there] for part in names for name in part}
        own = measured_data(simulator, summaries, persons)
        return cls._joined(own, levels.count, Scaling.fit(counts, levels.count))

    @classmethod
    def saved(
        cls,
        saved: SavedModel,
        simulator: Simulator,
        levels: Levels,
        summaries: Mapping[str, Summary],
    ) -> SetSpace:
        """Return the space of a saved folder."""
        count = levels.count
        scaling = saved_scaling(saved, "data", count, ())
        return cls._joined(saved_data(saved, simulator, summaries), count, scaling)

    @classmethod
    def _joined(cls, persons: DataSpace, count: str, scaling: Scaling) -> SetSpace:
        fields = {**vars(persons), "scalings": {**persons.scalings, count: scaling}}
        return cls(**fields, count=count)

    def to_network(
        self, data: Mapping[str, tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Scale sets (n, persons, ...), zero where there is no person; also masks.

        The masks are (n, persons, steps) of valid steps, and under the name of the count (n,
        persons) of persons.
        """
        names = (*self.observables, *self.context)
        most = data[names[0]].shape[1]
        inputs, masks = super().to_network({name: flatten(data[name]) for name in names})
        there = tf.sequence_mask(tf.cast(data[self.count], tf.int32), most)
        nested = {}
        for name, value in inputs.items():
            sets = unflatten(value, most)
            axes = [1] * (sets.shape.rank - 2)
            nested[name] = tf.where(tf.reshape(there, (-1, most, *axes)), sets, 0.0)
        nested[self.count] = self.scalings[self.count].apply(data[self.count])[:, None]
        known = {name: unflatten(mask, most) for name, mask in masks.items()}
        return nested, {**known, self.count: there}


def flatten(sets: tf.Tensor) -> tf.Tensor:
    """Return persons (n persons, ...) of sets (n, persons, ...)."""
    return tf.reshape(sets, (-1, *sets.shape[2:]))


def unflatten(persons: tf.Tensor, most: int) -> tf.Tensor:
    """Return sets (n, persons, ...) of persons (n persons, ...)."""
    return tf.reshape(persons, (-1, most, *persons.shape[1:]))
