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

# Smallest p-value, over all models, of frequencies that may still be those of the weights.
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
        self._check_frequencies(arrays[MODEL].astype(int).ravel(), f"{subject}, {MODEL!r}")
        return arrays

    def _check_frequencies(self, models: np.ndarray, subject: str) -> None:
        """Refuse models (n,) that are not as frequent as their weights say.

        The classifier would learn these frequencies, and Bayes factors divide by the weights.
        """
        counts = np.bincount(models, minlength=len(self.weights))
        # Exact tests: those of expected counts below one have no chi-square distribution.
        p_values = [
            stats.binomtest(int(count), len(models), float(weight)).pvalue
            for count, weight in zip(counts, self.weights, strict=True)
        ]
        if len(counts) * min(p_values) >= _LEAST_LIKELY:
            return
        raise InputError(
            subject,
            expected=f"models as often as their weights say: {_listed(self.weights)}",
            got=f"shares {_listed(counts / len(models))} of {len(models):,} rows",
            do="pass weights=[...] with the shares, or as many rows of each as weights say",
        )


def _listed(shares: np.ndarray) -> str:
    return ", ".join(f"{share:.3g}" for share in shares)


@training_data.register
def _(data: Rows, simulator: None, validation: Validation, seed: int) -> TrainingData:
    apart = isinstance(validation, Mapping)
    given = InMemory(None, data.checked("Training data"), 0.0 if apart else validation, seed)
    if apart:
        given.held_out = replace(data, arrays=validation).checked("Validation data")
    return given
