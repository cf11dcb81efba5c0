"""The MMD of two sets, without a test."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import distance

from bayesinn.diagnostics.two_samples import kernel_matrix


def squared_mmd(first: np.ndarray, second: np.ndarray, bandwidths: Sequence[float]) -> float:
    """Return the unbiased MMD^2 of two sets (m, d) and (n, d), of any size; may be negative."""
    within = [
        _mean_of_pairs(kernel_matrix(points, points, bandwidths)) for points in (first, second)
    ]
    return float(sum(within) - 2.0 * np.mean(kernel_matrix(first, second, bandwidths)))


def _mean_of_pairs(kernel: np.ndarray) -> float:
    return float(np.mean(distance.squareform(kernel, checks=False)))
