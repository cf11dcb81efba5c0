"""Maximum mean discrepancy (MMD): a distance between two sets of points, and a test.

The test asks whether both sets have the same distribution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import distance

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.diagnostics.arrays import check_sets, subset
from bayesinn.diagnostics.tested import Tested, check_repetitions, p_values

#: Bandwidths of the summed kernels, as multiples of the median distance: small ones detect modes,
#: large ones shifts.
LADDER: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
#: Largest number of points of each set in the test. Twice 2000 points take 0.7 s and 0.4 GB; both
#: grow with the square.
MOST_POINTS = 2000
ROUNDING = 1e-12 * len(LADDER)  #: sums of kernels in another order agree within this: they are ties


@dataclass(frozen=True, eq=False, repr=False)
class KernelTest(Tested):
    """MMD^2, and its values if both sets have one distribution.

    The p-value ranks MMD^2 among these values; the observed one counts among them.
    """

    shown = ("p_value", "inside", "squared", "critical")
    squared: float
    null: np.ndarray  #: (repetitions,)

    @property
    def critical(self) -> float:
        """The MMD^2 that sets of one distribution exceed with a probability of about 1 - level."""
        return float(np.quantile(self.null, self.level))

    @property
    def summary(self) -> str:
        return (
            f"MMD^2 = {self.squared:.2g} (below {self.critical:.2g} expected), p = "
            f"{self.p_value[0]:.2g}"
        )

    def __repr__(self) -> str:
        return f"{self.title} {self._verdict} at {100 * self.level:.4g} %: {self.summary}"


@dataclass(frozen=True, eq=False, repr=False)
class MMDResult(KernelTest):
    """MMD of two sets, and of random partitions of all points.

    ``squared`` is unbiased, and may be negative.
    """

    title = "MMD"
    bandwidths: tuple[float, ...]  #: standard deviations of the kernels, in units of the data
    used: tuple[int, int]  #: points of each set that were used
    given: tuple[int, int]  #: points of each set that there were

    @property
    def subsampled(self) -> bool:
        return self.used != self.given

    @property
    def summary(self) -> str:
        part = (
            f", {self.used[0]} and {self.used[1]} of {self.given[0]} and {self.given[1]} "
            "points used"
        )
        return super().summary + part * self.subsampled


def mmd(
    first: np.ndarray,
    second: np.ndarray,
    *,
    seed: int,
    permutations: int = 500,
    level: float = 0.99,
    bandwidths: Sequence[float] | None = None,
) -> MMDResult:
    """Test whether two sets of points (m, d) and (n, d) have the same distribution.

    Gretton et al. 2008, "A kernel method for the two-sample problem", arXiv:0805.2368. The kernel
    is a sum of Gaussians of standard deviations ``bandwidths``, chosen without knowing which point
    is in which set. The null distribution comes from random partitions of all points, so that the
    p-value is exact for any sizes. Points must be independent (thin MCMC), and coordinates on one
    scale.

    >>> import numpy as np
    >>> first, second = np.random.default_rng(1).normal(size=(2, 200, 3))
    >>> mmd(first, second, seed=1).passed, mmd(first, second + 0.5, seed=1).passed
    (True, False)
    """
    check_repetitions("permutations", permutations, level)
    first, second = check_sets(first, second)
    generator = seeds.generator(seed, "mmd")
    given = (len(first), len(second))
    first = subset(first, MOST_POINTS, generator)
    second = subset(second, MOST_POINTS, generator)
    pooled = np.concatenate([first, second])
    squares = distance.pdist(pooled, "sqeuclidean")
    if bandwidths is None:
        # From all points together: if it knew the partition, permutations would no longer be
        # exchangeable.
        bandwidths = ladder(squares)
    elif np.size(bandwidths) == 0 or not np.all(_positive(bandwidths)):
        raise InputError(
            "Argument 'bandwidths'",
            expected="positive, finite numbers",
            got=str(list(bandwidths)),
            do="leave them out for multiples of the median distance",
        )
    # squareform leaves zeros on the diagonal: pairs of a point with itself do not belong to the
    # unbiased estimate.
    kernel = distance.squareform(_kernel(squares, bandwidths))
    members = np.tile(np.arange(len(pooled)) < len(first), (permutations + 1, 1))
    members[1:] = generator.permuted(members[1:], axis=1)
    squared, null = np.split(_partitioned(kernel, members, len(first)), [1])
    p_value = p_values(squared, null[:, None], ROUNDING)
    used = (len(first), len(second))
    return MMDResult(
        ("joint",),
        p_value,
        level,
        float(squared[0]),
        null,
        tuple(map(float, bandwidths)),
        used,
        given,
    )


def kernel_matrix(first: np.ndarray, second: np.ndarray, bandwidths: Sequence[float]) -> np.ndarray:
    """Return kernels (m, n) between (m, d) and (n, d): sum over h of exp(-distance^2 / (2 h^2))."""
    # From differences: |x|^2 - 2 x y + |y|^2 loses digits for close points far from zero.
    return _kernel(distance.cdist(first, second, "sqeuclidean"), bandwidths)


def ladder(squared_distances: np.ndarray) -> list[float]:
    """Return bandwidths around the median distance; if it is zero, the mean; if all are, 1."""
    middle = np.sqrt(np.median(squared_distances)) or np.mean(np.sqrt(squared_distances)) or 1.0
    return [float(middle) * step for step in LADDER]


def _positive(numbers: Sequence[float]) -> np.ndarray:
    return np.isfinite(numbers) & (np.asarray(numbers) > 0.0)


def _kernel(squared_distances: np.ndarray, bandwidths: Sequence[float]) -> np.ndarray:
    return np.asarray(
        sum(np.exp(squared_distances / (-2.0 * bandwidth**2)) for bandwidth in bandwidths)
    )


def _partitioned(kernel: np.ndarray, members: np.ndarray, size: int) -> np.ndarray:
    """Return the unbiased MMD^2 of partitions, booleans (partitions, points).

    A boolean tells whether the point is in the first set, of ``size``.
    """
    other = len(kernel) - size
    indicator = members.T.astype(float)
    reached = kernel @ indicator
    within = np.einsum("ij,ij->j", indicator, reached)
    between = np.sum(reached, axis=0) - within
    rest = np.sum(kernel) - 2.0 * between - within
    return np.asarray(
        within / (size * (size - 1)) + rest / (other * (other - 1)) - 2.0 * between / (size * other)
    )
