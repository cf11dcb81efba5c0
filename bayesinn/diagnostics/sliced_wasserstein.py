"""Sliced Wasserstein distance: how far two sets of draws lie apart, on average over directions."""

import numpy as np
from scipy import stats

from bayesinn.core import seeds
from bayesinn.core.validation import check_integer
from bayesinn.diagnostics.arrays import check_sets


def sliced_wasserstein(
    first: np.ndarray, second: np.ndarray, *, seed: int, projections: int = 200
) -> float:
    """Return the mean Wasserstein-1 distance of sets (m, d) and (n, d) in random projections.

    Bonneel et al. 2015, "Sliced and Radon Wasserstein barycenters of measures", J. Math. Imaging
    Vision 51. The distance is in units of the data: bring the columns to one scale first. A shift
    by v gives the mean over directions u of abs(<u, v>): abs(v) in one dimension, 2/pi abs(v) in
    two, abs(v)/2 in three. For finite sets of one distribution, the distance is above zero and
    falls with the square root of their size.
    """
    # arviz_stats.wasserstein is an optimal transport by linear programming, which stops at 500
    # draws.
    first, second = check_sets(first, second)
    check_integer("Argument 'projections'", projections, do="leave it out for 200")
    directions = seeds.generator(seed, "sliced wasserstein").normal(
        size=(first.shape[1], projections)
    )
    directions /= np.linalg.norm(directions, axis=0)
    pairs = zip((first @ directions).T, (second @ directions).T, strict=True)
    distances = [stats.wasserstein_distance(one, other) for one, other in pairs]
    return float(np.mean(distances))


def same_law_distance(reference: np.ndarray, size: int, *, seed: int) -> float:
    """Return the expected distance of a reference (n, d) and ``size`` points of its distribution.

    It is measured between two halves of the reference; the distance of m and n points falls with
    the root of 1/m + 1/n. NaN if n < 4.
    """
    if len(reference) < 4:
        return np.nan
    shuffled = seeds.generator(seed, "sliced wasserstein", 1).permutation(reference)
    first, second = np.array_split(shuffled, 2)
    factors = [1.0 / m + 1.0 / n for m, n in ((size, len(reference)), (len(first), len(second)))]
    return sliced_wasserstein(first, second, seed=seed) * float(np.sqrt(factors[0] / factors[1]))
