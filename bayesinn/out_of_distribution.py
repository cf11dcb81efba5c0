"""Is an observation like anything the network was trained on? A p-value for every answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_SMALLEST_EIGENVALUE = 1e-6


@dataclass(frozen=True)
class Reference:
    """Simulated observations that new ones are compared with.

    Two distances are taken: Mahalanobis' in the space of the flow's condition (summaries and context), and the largest
    absolute value among the standardised inputs, which a summary network may have squashed. Each gets the share of
    simulated observations at least as far out; the p-value is twice the smaller share (Bonferroni), exact in size
    because observation and simulations are exchangeable if the model is right.

    Parameters
    ----------
    mean, whitening : arrays (c,) and (c, c)
        Of the condition, from one half of the simulations.
    distances, extremes : arrays (m,), sorted
        Of the other half.

    References
    ----------
    Schmitt, Buerkner, Koethe and Radev (2023), Detecting model misspecification in amortized Bayesian inference with
    neural networks, arXiv:2112.08866 (summary space as the place to look).
    """

    mean: np.ndarray
    whitening: np.ndarray
    distances: np.ndarray
    extremes: np.ndarray

    @classmethod
    def fit(cls, condition: np.ndarray, inputs: Mapping[str, np.ndarray]) -> Reference:
        """Measure on simulations: condition (n, c), standardised inputs (n, ...)."""
        half = len(condition) // 2
        first = condition[:half].astype(np.float64)
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(first, rowvar=False)))
        floor = _SMALLEST_EIGENVALUE * max(values.max(), _SMALLEST_EIGENVALUE)
        whitening = vectors / np.sqrt(np.maximum(values, floor))
        unfinished = cls(first.mean(axis=0), whitening, np.zeros(0), np.zeros(0))
        distances = unfinished._distance(condition[half:])
        return cls(
            unfinished.mean, whitening, np.sort(distances), np.sort(_extreme({k: v[half:] for k, v in inputs.items()}))
        )

    def p_value(self, condition: np.ndarray, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """p-value (n,) of observations with condition (n, c) and standardised inputs (n, ...)."""
        shares = [
            _share_at_least(self.distances, self._distance(condition)),
            _share_at_least(self.extremes, _extreme(inputs)),
        ]
        return np.minimum(1.0, 2.0 * np.minimum(*shares))

    def arrays(self) -> dict[str, np.ndarray]:
        """All there is to save."""
        return {"mean": self.mean, "whitening": self.whitening, "distances": self.distances, "extremes": self.extremes}

    def _distance(self, condition: np.ndarray) -> np.ndarray:
        return np.linalg.norm((condition.astype(np.float64) - self.mean) @ self.whitening, axis=1)


def _extreme(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    sizes = [np.abs(value.reshape(len(value), -1)).max(axis=1) for value in inputs.values()]
    return np.max(sizes, axis=0)


def _share_at_least(sorted_values: np.ndarray, values: np.ndarray) -> np.ndarray:
    above = len(sorted_values) - np.searchsorted(sorted_values, values, side="left")
    return (1.0 + above) / (1.0 + len(sorted_values))
