"""Ranks, and other values on [0, 1] that are uniform for a correct posterior."""

from dataclasses import dataclass

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.diagnostics.bands import Band, band_p_values, simultaneous_band
from bayesinn.diagnostics.deviation import Deviation, of_distribution
from bayesinn.diagnostics.tested import Tested

#: Points at which the ECDF of continuous values is compared.
POINTS: tuple[float, ...] = tuple(round(0.01 * step, 2) for step in range(1, 100))


#: The fields of :class:`UniformityResult`, which results on uniform values begin with.
Uniformity = tuple[tuple[str, ...], np.ndarray, float, np.ndarray, Band]


@dataclass(frozen=True, eq=False, repr=False)
class UniformityResult(Tested):
    """Values that should be uniform.

    The ``p_value`` is one minus the smallest level whose ECDF band holds them.
    """

    title = "Uniformity"
    values: np.ndarray  #: (n, k), each from 0 to 1
    band: Band  #: for the number of values below each point, the same for all columns

    @property
    def simulations(self) -> int:
        return self.band.size

    @property
    def ecdf(self) -> np.ndarray:
        """Array (points, k): share of the values below each of ``band.points``."""
        return counts_below(self.values, self.band.points).T / self.simulations

    @property
    def ecdf_difference(self) -> np.ndarray:
        """Array (points, k): ECDF of the values minus that of uniform ones."""
        return self.ecdf - self.band.points[:, None]

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """Largest distance of each ECDF from the uniform one, at the points of the band."""
        return (self._distance(("too few small values", "too many small values")),)

    def _distance(
        self, words: tuple[str, str], measure: str = "distance from uniform"
    ) -> Deviation:
        points = tuple(map(float, self.band.points))
        return of_distribution(
            self.ecdf_difference, points, self.simulations, self.columns, words, measure
        )


def uniformity(
    columns: tuple[str, ...],
    values: np.ndarray,
    *,
    level: float = 0.99,
    points: tuple[float, ...] = POINTS,
) -> UniformityResult:
    """Test whether values (n, k) are uniform, by the simultaneous band of their ECDF.

    The values are independent within each column.

    See :mod:`bayesinn.diagnostics.bands`. The ECDF is compared at ``points``, increasing numbers
    between 0 and 1.
    """
    values = np.asarray(values)
    if values.ndim != 2 or len(values) == 0 or values.shape[1] != len(columns):
        raise InputError(
            "Values to compare with uniform ones",
            expected=f"shape (n, {len(columns)}), a column for each of the {len(columns)} names",
            got=f"shape {values.shape}",
            do="put one value in a row, and name all columns; a single column is values[:, None]",
        )
    # Not "any outside": NaN is neither inside nor outside.
    bad = np.size(values) - np.count_nonzero((values >= 0.0) & (values <= 1.0))
    if bad:
        raise InputError(
            "Values to compare with uniform ones",
            expected="numbers from 0 to 1",
            got=f"{bad:,} of {values.size:,} that are NaN or outside",
            do="divide ranks by the number of draws plus one, and leave out NaN",
        )
    return UniformityResult(*compare_with_uniform(columns, values, level, points))


def compare_with_uniform(
    columns: tuple[str, ...], values: np.ndarray, level: float, points: tuple[float, ...] = POINTS
) -> Uniformity:
    """Return the fields of a result; see :func:`uniformity`."""
    points = tuple(map(float, points))
    size = len(values)
    band = simultaneous_band(points, size, level)
    p_value = band_p_values(counts_below(values, band.points), points, size)
    return tuple(columns), p_value, level, values, band


def counts_below(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Count the values (n, k) of each column below each point: integer array (k, points)."""
    return np.stack([np.searchsorted(np.sort(column), points, side="left") for column in values.T])


def ranks(truth: np.ndarray, draws: np.ndarray, *, seed: int) -> np.ndarray:
    """Rank each truth (n, *event) among draws (n, L, *event), from 0 to L; break ties at random.

    If truth and draws come from the same posterior, the rank is uniform on 0, ..., L (Talts et al.
    2018, "Validating Bayesian inference algorithms with simulation-based calibration",
    arXiv:1804.06788). If there are ties, this needs random breaking (Modrak et al. 2023,
    arXiv:2211.02383).

    >>> import numpy as np
    >>> ranks(np.array([0.5, 9.0]), np.array([[0.1, 0.2, 0.9], [1.0, 2.0, 3.0]]), seed=0)
    array([2, 3])
    """
    truth = np.asarray(truth)
    draws = np.asarray(draws)
    alike = draws.ndim == truth.ndim + 1 and truth.shape == draws.shape[:1] + draws.shape[2:]
    if truth.ndim == 0 or not alike or draws.size == 0:
        raise InputError(
            "Truths and draws to rank them among",
            expected="shapes (n, ...) and (n, draws, ...)",
            got=f"shapes {truth.shape} and {draws.shape}",
            do="put data sets on the first axis of both, and draws on the second of the draws",
        )
    # The smallest of numbers with a NaN is NaN.
    if np.isnan(np.min(truth)) or np.isnan(np.min(draws)):
        raise InputError(
            "Truths and draws to rank them among",
            expected="numbers",
            got=f"{np.sum(np.isnan(truth)):,} truths and {np.sum(np.isnan(draws)):,} draws that "
            "are NaN",
            do="leave out the data sets concerned and count them",
        )
    # A named stream: the bare seed would repeat the numbers of users who also simulate with NumPy
    # from that seed.
    below = np.sum(draws < truth[:, None], axis=1)
    ties = np.sum(draws == truth[:, None], axis=1)
    return below + seeds.generator(seed, "ties").integers(0, ties, endpoint=True)


def uniform_ranks(rank: np.ndarray, draws: int, *, seed: int) -> np.ndarray:
    """Spread ranks from 0 to ``draws`` over [0, 1): exactly uniform for a correct posterior.

    This holds for any number of draws.
    """
    return (rank + seeds.generator(seed, "cells").random(np.shape(rank))) / (draws + 1)


def pit(truth: np.ndarray, draws: np.ndarray, *, seed: int) -> np.ndarray:
    """Return the ranks of truths (n, *event) among draws (n, L, *event), spread over [0, 1)."""
    return uniform_ranks(ranks(truth, draws, seed=seed), draws.shape[1], seed=seed)
