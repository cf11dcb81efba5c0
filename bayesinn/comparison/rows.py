"""Simulations of all models to train on, checked against what the models declare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow_probability as tfp

from bayesinn.comparison.model import MODEL
from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.estimators.training_data import InMemory, TrainingData, Validation, training_data
from bayesinn.simulation import checks
from bayesinn.simulation.prior import Prior
from bayesinn.simulation.simulator import Arrays, Simulator

tfd = tfp.distributions


@dataclass
class Declared:
    """What rows must be: numbers of models in place of parameters, and the data of any model."""

    name: str
    prior: Prior
    context: Prior | None
    observable_shapes: dict[str, tuple[int, ...]]
    labels: Labels
    lengths: dict[str, str]
    missing: float | None
    on_nonfinite: str

    @classmethod
    def of_models(cls, simulator: Simulator, weights: np.ndarray) -> Declared:
        """Return what models declare alike, one of which is given."""
        numbers = np.arange(len(weights))
        return cls(
            simulator.name,
            Prior({MODEL: tfd.FiniteDiscrete(numbers, probs=weights.astype(np.float32))}),
            simulator.context,
            simulator.observable_shapes,
            simulator.labels,
            simulator.lengths,
            simulator.missing,
            simulator.on_nonfinite,
        )


@dataclass(frozen=True)
class Rows:
    """Arrays (n, ...) that a user gave, and what they must be."""

    arrays: Mapping[str, Any]
    declared: Declared

    def checked(self, subject: str) -> Arrays:
        """Return them, or say what is wrong."""
        arrays = checks.check_simulations(self.declared, self.arrays, subject)
        numbers = arrays[MODEL]
        last = len(self.declared.prior.distribution(MODEL, {}).outcomes) - 1
        if not np.isin(numbers, np.arange(last + 1)).all():
            expected = f"numbers from 0 to {last} as {MODEL!r}"
            got = f"{numbers.min()} to {numbers.max()}"
            do = "pass what simulate(n, seed) returns"
            raise InputError(subject, expected=expected, got=got, do=do)
        return arrays


@training_data.register
def _(data: Rows, simulator: None, validation: Validation, seed: int) -> TrainingData:
    arrays = data.checked("Training data")
    if not isinstance(validation, Mapping):
        return InMemory(simulator, arrays, validation, seed)
    given = InMemory(simulator, arrays, 0.0, seed)
    given.held_out = Rows(validation, data.declared).checked("Validation data")
    return given
