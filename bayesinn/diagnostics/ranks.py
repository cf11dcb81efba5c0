"""The rank of the truth among its posterior draws: what SBC and coverage are made of."""

from __future__ import annotations

import numpy as np

from bayesinn.core import seeds


def ranks(truth: np.ndarray, draws: np.ndarray, *, seed: int) -> np.ndarray:
    """Rank each truth (n, *event) among its draws (n, L, *event), from 0 to L; ties are broken at random.

    If truth and draws come from the same posterior, the rank is uniform on 0, ..., L: Talts et al. 2018, "Validating
    Bayesian inference algorithms with simulation-based calibration", arXiv:1804.06788. With ties, as discrete
    parameters have them, that holds only when they are broken at random: Modrak et al. 2023, arXiv:2211.02383.

    Examples
    --------
    >>> import numpy as np
    >>> ranks(np.array([0.5, 9.0]), np.array([[0.1, 0.2, 0.9], [1.0, 2.0, 3.0]]), seed=0)
    array([2, 3])
    """
    # Streams have numbers of their own: with the bare seed, whoever also simulated with NumPy from that seed would get
    # random numbers that repeat those behind the truths, and ranks that are far from uniform.
    below = np.sum(draws < truth[:, None], axis=1)
    ties = np.sum(draws == truth[:, None], axis=1)
    return below + seeds.generator(seed, "ties").integers(0, ties, endpoint=True)


def uniform_ranks(rank: np.ndarray, draws: int, *, seed: int) -> np.ndarray:
    """Spread ranks from 0 to ``draws`` over [0, 1): exactly uniform for a correct posterior and any number of draws."""
    return (rank + seeds.generator(seed, "cells").random(np.shape(rank))) / (draws + 1)


def pit(truth: np.ndarray, draws: np.ndarray, *, seed: int) -> np.ndarray:
    """Return the ranks of truths (n, *event) among draws (n, L, *event), spread over [0, 1)."""
    return uniform_ranks(ranks(truth, draws, seed=seed), draws.shape[1], seed=seed)
