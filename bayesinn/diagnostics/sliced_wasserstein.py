"""Sliced Wasserstein distance: how far two sets of draws lie apart, on average over directions."""

from __future__ import annotations

import numpy as np
from scipy import stats

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.point_sets import check_sets

_STREAM = 0x736C6963


def sliced_wasserstein(first: np.ndarray, second: np.ndarray, *, seed: int, projections: int = 200) -> float:
    """Mean Wasserstein-1 distance of two sets projected on random directions.

    Bonneel et al. 2015, "Sliced and Radon Wasserstein barycenters of measures", J. Math. Imaging Vision 51. In units of
    the data, so bring the columns to one scale first. A shift by v gives the mean over directions u of abs(<u, v>):
    abs(v) in one dimension, 2/pi abs(v) in two, abs(v)/2 in three. The distance of finite sets of one law is above zero
    and falls with the square root of their size.

    The joint ``arviz_stats.wasserstein`` is an optimal transport in d dimensions by linear programming, which stops at
    500 draws; this one takes all of them.

    Parameters
    ----------
    first : array (m, d)
    second : array (n, d)
    seed : int
        Decides the directions.
    projections : int
        Number of directions.

    Returns
    -------
    float

    Raises
    ------
    InputError
        Shapes or values do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> points = np.random.default_rng(1).normal(size=(500, 1))
    >>> round(sliced_wasserstein(points, points + 0.3, seed=1), 6)
    0.3
    """
    first, second = check_sets(first, second)
    if projections < 1:
        raise InputError(
            "projections of the sliced Wasserstein distance",
            expected="at least 1",
            got=str(projections),
            do="leave it out for 200",
        )
    directions = np.random.default_rng([seed, _STREAM]).normal(size=(first.shape[1], projections))
    directions /= np.linalg.norm(directions, axis=0)
    return float(np.mean(list(map(stats.wasserstein_distance, (first @ directions).T, (second @ directions).T))))


def same_law_distance(reference: np.ndarray, size: int, *, seed: int) -> float:
    """The distance to expect between ``size`` points of the reference's law and the reference itself.

    Measured between two halves of the reference, and scaled by the root of 1/m + 1/n, with which the distance of sets
    of m and n points falls.

    Parameters
    ----------
    reference : array (n, d)
    size : int
    seed : int
        Decides the halves and the directions.

    Returns
    -------
    float; NaN for fewer than four reference points

    Examples
    --------
    >>> import numpy as np
    >>> reference = np.random.default_rng(1).normal(size=(1000, 2))
    >>> bool(same_law_distance(reference, 10, seed=1) > 3.0 * same_law_distance(reference, 1000, seed=1))
    True
    """
    if len(reference) < 4:
        return float("nan")
    shuffled = np.random.default_rng([seed, _STREAM, 1]).permutation(reference)
    first, second = np.array_split(shuffled, 2)
    distance = sliced_wasserstein(first, second, seed=seed)
    factors = [1.0 / m + 1.0 / n for m, n in ((size, len(reference)), (len(first), len(second)))]
    return distance * float(np.sqrt(factors[0] / factors[1]))
