"""Maximum mean discrepancy (MMD): a distance between two sets of points, and a test whether they share one law."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import distance

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.arrays import check_fraction
from bayesinn.diagnostics.point_sets import check_sets, subset
from bayesinn.diagnostics.tested import Effect, Tested

#: Bandwidths of the summed kernels, as multiples of the median distance. A single one sees only differences of its own
#: size: small ones see modes and tails, large ones see shifts.
LADDER: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)

#: Most points of each set that the test uses. Twice 2000 points take 0.7 s and 0.4 GB; both grow with the square.
MOST_POINTS = 2000

_STREAM = 0x6D6D64


@dataclass(frozen=True, eq=False, repr=False)
class MMDResult(Tested):
    """MMD of two sets, beside what it is if both have one law.

    Parameters
    ----------
    squared : float
        Unbiased estimate of MMD^2. Under one law its mean is 0, so it is negative about as often as positive: average
        it as it is, and take no square root.
    null : array (permutations,), the same of random partitions of all points
    p_value : array (1,), share of partitions (the given one included) with at least this MMD^2
    level : float, probability that sets of one law pass
    bandwidths : tuple of the kernels' standard deviations, in units of the data
    used, given : tuples of two ints, points of each set that were used, and that there were
    columns : ("joint",)
    """

    squared: float
    null: np.ndarray
    p_value: np.ndarray
    level: float
    bandwidths: tuple[float, ...]
    used: tuple[int, int]
    given: tuple[int, int]
    columns: tuple[str, ...] = ("joint",)

    @property
    def subsampled(self) -> bool:
        """Whether points were left out for the sake of memory and time."""
        return self.used != self.given

    @property
    def effect(self) -> Effect:
        """Squared MMD."""
        return Effect("MMD^2", self.squared, "")

    @property
    def critical(self) -> float:
        """The MMD^2 that sets of one law exceed with a probability of about 1 - level."""
        return float(np.quantile(self.null, self.level))

    @property
    def summary(self) -> str:
        """One line for a table of verdicts."""
        part = f", {self.used[0]} and {self.used[1]} of {self.given[0]} and {self.given[1]} points used"
        return (
            f"MMD^2 = {self.squared:.2g} (below {self.critical:.2g} expected), p = {self.p_value[0]:.2g}"
            f"{part if self.subsampled else ''}"
        )

    def to_dataframe(self) -> pd.DataFrame:
        """One row: MMD^2, what it may be, and the p-value."""
        return super().to_dataframe().assign(squared=self.squared, critical=self.critical)

    def __repr__(self) -> str:
        return f"MMD {self._verdict()} at {self.level:.0%}: {self.summary}"


def mmd(
    first: np.ndarray,
    second: np.ndarray,
    *,
    seed: int,
    permutations: int = 500,
    level: float = 0.99,
    bandwidths: Sequence[float] | None = None,
) -> MMDResult:
    """Test whether two sets of points have the same law.

    Gretton et al. 2008, "A kernel method for the two-sample problem", arXiv:0805.2368, with a sum of Gaussian kernels.
    The null law comes from random partitions of all points, so that the p-value is exact for any sizes: the given
    partition counts as one of them (Phipson & Smyth 2010, arXiv:1603.05766). Points must be independent: thin MCMC.
    Distances mix all coordinates, so bring these to one scale first.

    Parameters
    ----------
    first : array (m, d)
    second : array (n, d)
    seed : int
        Decides the partitions, and the points used of sets with more than ``MOST_POINTS``.
    permutations : int
        Number of random partitions; the smallest p-value is 1 / (1 + permutations).
    level : float
        Probability that sets of one law pass.
    bandwidths : sequence of float, optional
        Standard deviations of the kernels, chosen without a look at which point is in which set; the median distance
        of all points times ``LADDER`` if left out.

    Returns
    -------
    MMDResult

    Raises
    ------
    InputError
        Shapes or values do not fit, there are too few permutations for the level, or a bandwidth is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> first, second = np.random.default_rng(1).normal(size=(2, 200, 3))
    >>> mmd(first, second, seed=1).passed, mmd(first, second + 0.5, seed=1).passed
    (True, False)
    """
    check_fraction("level of MMD", level)
    first, second = check_sets(first, second)
    _check(permutations, level, bandwidths)
    generator = np.random.default_rng([seed, _STREAM])
    given = (len(first), len(second))
    first, second = subset(first, MOST_POINTS, generator), subset(second, MOST_POINTS, generator)
    pooled = np.concatenate([first, second])
    pair_distances = distance.pdist(pooled, "sqeuclidean")
    if bandwidths is None:
        # Of all points together: it must not know the partition, or permutations would no longer be exchangeable.
        bandwidths = [_median(pair_distances) * step for step in LADDER]
    # squareform leaves zeros on the diagonal: pairs of a point with itself do not belong to the unbiased estimate.
    kernel = distance.squareform(_kernel(pair_distances, bandwidths))
    members = np.tile(np.arange(len(pooled)) < len(first), (permutations + 1, 1))
    members[1:] = generator.permuted(members[1:], axis=1)
    every = _partitioned(kernel, members, len(first))
    squared, null = every[0], every[1:]
    # Partitions that agree but for rounding are ties, and ties count.
    count = np.count_nonzero(null >= squared - 1e-12 * len(bandwidths))
    return MMDResult(
        squared=float(squared),
        null=null,
        p_value=np.array([(1 + count) / (1 + permutations)]),
        level=level,
        bandwidths=tuple(map(float, bandwidths)),
        used=(len(first), len(second)),
        given=given,
    )


def squared_mmd(first: np.ndarray, second: np.ndarray, bandwidths: Sequence[float]) -> float:
    """Unbiased MMD^2 of two sets, of any size and without a test; may be negative.

    Parameters
    ----------
    first : array (m, d)
    second : array (n, d)
    bandwidths : sequence of float
        Standard deviations of the kernels.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> squared_mmd(np.array([[0.0], [0.0]]), np.array([[100.0], [100.0]]), [1.0])
    2.0
    """
    first, second = check_sets(first, second)
    within = [
        2.0 * np.sum(_kernel(distance.pdist(points, "sqeuclidean"), bandwidths)) / (len(points) * (len(points) - 1))
        for points in (first, second)
    ]
    return float(sum(within) - 2.0 * np.mean(kernel_matrix(first, second, bandwidths)))


def kernel_matrix(first: np.ndarray, second: np.ndarray, bandwidths: Sequence[float]) -> np.ndarray:
    """Sum of Gaussian kernels between all points: sum over h of exp(-distance^2 / (2 h^2)).

    Parameters
    ----------
    first : array (m, d)
    second : array (n, d)
    bandwidths : sequence of float
        Standard deviations h of the kernels, in units of the data.

    Returns
    -------
    array (m, n)

    Examples
    --------
    >>> import numpy as np
    >>> kernel_matrix(np.zeros((1, 2)), np.array([[0.0, 0.0], [3.0, 4.0]]), [5.0]).round(3)
    array([[1.   , 0.607]])
    """
    # From differences; the expanded form |x|^2 - 2 x y + |y|^2 cancels for points that lie close together far out.
    return _kernel(distance.cdist(first, second, "sqeuclidean"), bandwidths)


def median_bandwidth(points: np.ndarray) -> float:
    """Median distance between different points of a set (n, d): the middle of the ladder.

    If more than half of the distances are zero, the mean distance; if all are, 1.

    Examples
    --------
    >>> import numpy as np
    >>> median_bandwidth(np.array([[0.0], [1.0], [3.0]]))
    2.0
    """
    return _median(distance.pdist(points, "sqeuclidean"))


def _kernel(squared_distances: np.ndarray, bandwidths: Sequence[float]) -> np.ndarray:
    total = np.zeros_like(squared_distances)
    for bandwidth in bandwidths:
        total += np.exp(squared_distances / (-2.0 * bandwidth**2))
    return total


def _median(squared_distances: np.ndarray) -> float:
    middle = np.sqrt(np.median(squared_distances))
    return float(middle or np.mean(np.sqrt(squared_distances)) or 1.0)


def _partitioned(kernel: np.ndarray, members: np.ndarray, size: int) -> np.ndarray:
    """Unbiased MMD^2 of each partition.

    Parameters
    ----------
    kernel : array (points, points), zeros on the diagonal
    members : boolean array (partitions, points), whether a point is in the first set
    size : int, points in the first set
    """
    other = len(kernel) - size
    indicator = members.T.astype(float)
    reached = kernel @ indicator
    within = np.einsum("ij,ij->j", indicator, reached)
    between = np.sum(reached, axis=0) - within
    rest = np.sum(kernel) - 2.0 * between - within
    return within / (size * (size - 1)) + rest / (other * (other - 1)) - 2.0 * between / (size * other)


def _check(permutations: int, level: float, bandwidths: Sequence[float] | None) -> None:
    if 1.0 / (1 + permutations) > 1.0 - level:
        raise InputError(
            "permutations of MMD",
            expected=f"at least {int(np.ceil(1.0 / (1.0 - level) - 1e-6)) - 1}, or nothing can fail at level {level:g}",
            got=str(permutations),
            do="take more permutations, or a lower level",
        )
    if bandwidths is not None and not (len(bandwidths) and np.all(np.asarray(bandwidths) > 0.0)):
        raise InputError(
            "bandwidths of MMD",
            expected="one or more positive numbers",
            got=str(list(bandwidths)),
            do="leave them out for multiples of the median distance",
        )
