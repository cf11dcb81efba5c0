"""Simulations of all models to train on, checked against what the models declare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesinn.comparison.model import MODEL
from bayesinn.core.errors import InputError
from bayesinn.estimators.training_data import InMemory, TrainingData, Validation, training_data
from bayesinn.simulation.checks import check_simulations
from bayesinn.simulation.simulator import Arrays, Simulator


@dataclass(frozen=True)
class Rows:
    """Arrays (n, ...) that a user gave: data as a simulator declares them, and which model's."""

    arrays: Any
    simulator: Simulator
    models: int

    def checked(self, subject: str) -> Arrays:
        """Return them, or say what is wrong."""
        arrays = check_simulations(self.simulator, self.arrays, subject, {MODEL: ()})
        if not np.isin(arrays[MODEL], np.arange(self.models)).all():
            raise InputError(
                subject,
                expected=f"numbers from 0 to {self.models - 1} as {MODEL!r}",
                got=f"{arrays[MODEL].min()} to {arrays[MODEL].max()}",
                do="pass what simulate(n, seed) returns",
            )
        return arrays


@training_data.register
def _(data: Rows, simulator: None, validation: Validation, seed: int) -> TrainingData:
    apart = isinstance(validation, Mapping)
    given = InMemory(None, data.checked("Training data"), 0.0 if apart else validation, seed)
    if apart:
        given.held_out = replace(data, arrays=validation).checked("Validation data")
    return given
