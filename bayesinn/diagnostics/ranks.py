"""The rank of the truth among its posterior draws: what SBC and coverage are made of."""

from __future__ import annotations

import numpy as np

# Streams of their own: with the bare seed, whoever also simulated with NumPy from that seed would get random numbers
# that repeat those behind the truths, and ranks that are far from uniform.
_TIES, _CELLS = 20_180_418, 20_180_419


def ranks(truth: np.ndarray, draws: np.ndarray, *, seed: int) -> np.ndarray:
    """Rank of each truth among its draws; ties, as discrete parameters have them, are broken at random.

    If the truth and the L draws come from the same posterior, the rank is uniform on 0, ..., L: Talts et al. 2018,
    "Validating Bayesian inference algorithms with simulation-based calibration", arXiv:1804.06788. With ties that
    holds only when they are broken at random: Modrak et al. 2023, arXiv:2211.02383.

    Parameters
    ----------
    truth : array (n, *event)
    draws : array (n, L, *event)
    seed : int
        Decides how ties break.

    Returns
    -------
    integer array (n, *event), each between 0 and L

    Examples
    --------
    >>> import numpy as np
    >>> ranks(np.array([0.5, 9.0]), np.array([[0.1, 0.2, 0.9], [1.0, 2.0, 3.0]]), seed=0)
    array([2, 3])
    """
    generator = np.random.default_rng([seed, _TIES])
    below = np.sum(draws < truth[:, None], axis=1)
    ties = np.sum(draws == truth[:, None], axis=1)
    return below + generator.integers(0, ties, endpoint=True)


def uniform_ranks(rank: np.ndarray, draws: int, *, seed: int) -> np.ndarray:
    """Spread ranks over the unit interval: exactly uniform for a right posterior, whatever the number of draws.

    Parameters
    ----------
    rank : integer array, each between 0 and ``draws``
    draws : int
    seed : int
        Decides the position of each value within its rank's cell of width 1 / (draws + 1).

    Returns
    -------
    array like ``rank``, values in [0, 1)

    Examples
    --------
    >>> import numpy as np
    >>> value = uniform_ranks(np.array([0, 3]), draws=3, seed=0)
    >>> bool(value[0] < 0.25), bool(value[1] >= 0.75)
    (True, True)
    """
    generator = np.random.default_rng([seed, _CELLS])
    return (rank + generator.random(np.shape(rank))) / (draws + 1)
