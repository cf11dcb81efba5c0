"""Simulations of all models to train on, checked against what the models declare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from bayesinn.comparison.model import MODEL
from bayesinn.core.errors import InputError
from bayesinn.estimators.training_data import InMemory, TrainingData, Validation, training_data
from bayesinn.simulation.checks import check_simulations
from bayesinn.simulation.simulator import Arrays, Simulator

# Of models so often by chance, if arrays have the frequencies that are declared.
_LEAST_LIKELY = 1e-6


@dataclass(frozen=True)
class Rows:
    """Arrays (n, ...) that a user gave: data as a simulator declares them, and which model's.

    Models have the probabilities ``weights`` (models,).
    """

    arrays: Any
    simulator: Simulator
    weights: np.ndarray

    def checked(self, subject: str) -> Arrays:
        """Return them, or say what is wrong."""
        arrays = check_simulations(self.simulator, self.arrays, subject, {MODEL: ()})
        count = len(self.weights)
        if not np.isin(arrays[MODEL], np.arange(count)).all():
            raise InputError(
                subject,
                expected=f"numbers from 0 to {count - 1} as {MODEL!r}",
                got=f"{arrays[MODEL].min()} to {arrays[MODEL].max()}",
                do="pass what simulate(n, seed) returns",
            )
        # The classifier learns the frequencies, and Bayes factors leave out the weights.
        rows = np.bincount(arrays[MODEL].astype(int).ravel(), minlength=count)
        likely = self.weights > 0.0
        by_chance = stats.chisquare(rows[likely], rows.sum() * self.weights[likely]).pvalue
        if rows[~likely].any() or by_chance < _LEAST_LIKELY:
            shares = ", ".join(f"{share:.3g}" for share in rows / rows.sum())
            raise InputError(
                f"{subject}, {MODEL!r}",
                expected="models as often as their weights say: "
                + ", ".join(f"{weight:.3g}" for weight in self.weights),
                got=f"shares {shares} of {len(arrays[MODEL]):,} rows",
                do="pass weights=[...] with the shares, or as many rows of each as weights say",
            )
        return arrays


@training_data.register
def _(data: Rows, simulator: None, validation: Validation, seed: int) -> TrainingData:
    apart = isinstance(validation, Mapping)
    given = InMemory(None, data.checked("Training data"), 0.0 if apart else validation, seed)
    if apart:
        given.held_out = replace(data, arrays=validation).checked("Validation data")
    return given
