"""Smoothed weights that turn draws of one density into draws of another; how far to trust them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

#: Effective number of draws below which means over them are not close to exact.
FEWEST_DRAWS = 100.0
#: Of more than 2,000 draws; of fewer, the limit is smaller.
MOST_K_HAT = 0.7


class Weights(NamedTuple):
    """Normalised weights (n,) that turn draws of one density into draws of another.

    ``k_hat`` is the shape of the Pareto distribution of the largest ratios of densities.
    ``log_evidence`` is the log of the mean ratio, with its standard error.

    References
    ----------
    Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling, JMLR 25.
    """

    weights: np.ndarray
    k_hat: float
    log_evidence: float
    log_evidence_error: float

    @classmethod
    def smooth(cls, log_ratios: np.ndarray) -> Weights:
        """Return the weights of log ratios (n,) of unnormalised densities, some of them finite."""
        from arviz_stats.base.array import array_stats

        count = len(log_ratios)
        total = logsumexp(log_ratios)
        plain = np.exp(log_ratios - total)
        error = np.sqrt(max(float(np.sum(plain**2)) - 1.0 / count, 0.0))
        size = int(np.ceil(min(0.2 * count, 3.0 * np.sqrt(count))))
        tail = np.sort(log_ratios)[-size:]
        weights = plain
        # No distribution fits a tail of equal weights, which is the best case, or one with zeros.
        k_hat = -np.inf if tail[0] == tail[-1] else np.inf
        if np.isfinite(tail[0]) and tail[0] < tail[-1]:
            # ArviZ takes the logs of what divides weights.
            smoothed, found = array_stats.psislw(-log_ratios)
            k_hat = float(np.nan_to_num(found, nan=np.inf))
            weights = np.exp(smoothed)
        return cls(weights / weights.sum(), k_hat, float(total - np.log(count)), error)

    @property
    def effective_size(self) -> float:
        """Number of independent draws that are as precise."""
        return float(1.0 / np.sum(self.weights**2))

    @property
    def trustworthy(self) -> bool:
        """Whether k-hat is small enough for so many draws."""
        most = min(MOST_K_HAT, 1.0 - 1.0 / np.log10(len(self.weights)))
        return self.k_hat <= most

    @property
    def reliable(self) -> bool:
        """Whether means over weighted draws are close to exact.

        A single draw in a mode that all others miss has a large weight, which smoothing cuts and
        k-hat does not see. The error of the evidence does.
        """
        precise = FEWEST_DRAWS * self.log_evidence_error**2 <= 1.0
        return self.trustworthy and precise and self.effective_size >= FEWEST_DRAWS
