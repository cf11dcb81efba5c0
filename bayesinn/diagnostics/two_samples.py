"""Distances between two sets of draws: tables, C2ST, MMD, sliced Wasserstein."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.spatial import distance
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier

from bayesinn.core import seeds
from bayesinn.core.errors import InputError, check_integer
from bayesinn.core.labels import columns
from bayesinn.diagnostics.arrays import (
    Arrays,
    by_column,
    check_level,
    check_sets,
    refuse_many_observations,
    standardised,
    subset,
)
from bayesinn.diagnostics.deviation import (
    MOST_REPETITIONS,
    Tested,
    check_repetitions,
    p_values,
    repetitions_for,
)

# Below, the training set of a fold may hold one class only.
_POINTS_OF_FOLD = 10
_FOLDS = 5
#: Fewest draws of each that the usual folds can take.
FEWEST_DRAWS = _FOLDS * _POINTS_OF_FOLD // 2


def c2st(draws: np.ndarray, reference: np.ndarray, *, folds: int = _FOLDS, seed: int = 1) -> float:
    """Return a classifier's cross-validated accuracy at telling draws (m, d) from reference (n, d).

    0.5: it can't tell them apart, up to the error of an accuracy measured on m + n points; 1: it
    always can. Lopez-Paz & Oquab 2017, arXiv:1610.06545. The protocol is that of Lueckmann et al.
    2021, arXiv:2101.04653, so that values compare with published ones: both sets standardised by
    the reference, two hidden layers of 10 d rectified linear units, Adam, shuffled folds. More
    draws train a better classifier and raise the value; the benchmark takes 10,000 of each. The
    larger set is cut at random to the size of the smaller: otherwise, always naming the larger one
    would score above 0.5. If a column is constant in the reference, draws that differ from it are
    told apart.

    On one busy core, 1000 draws of each take 1 s with one column. Five columns take 13 s for up to
    2000 of each, 23 s for 4000 and 90 s for 10,000; fewer than 2000 are overfitted, which takes
    more rounds.

    >>> import numpy as np
    >>> draws, reference = np.random.default_rng(1).normal(size=(2, 200, 1))
    >>> bool(c2st(draws, reference) < 0.6), bool(c2st(draws + 6.0, reference) > 0.98)
    (True, True)
    """
    draws, reference = check_sets(draws, reference, ("draws", "reference"))
    generator = seeds.generator(seed, "c2st")
    size = min(len(draws), len(reference))
    if folds < 2 or 2 * size < _POINTS_OF_FOLD * folds:
        raise InputError(
            "folds of C2ST",
            expected=f"at least 2, with {_POINTS_OF_FOLD} or more points in each",
            got=f"{folds} folds for twice {size} points",
            do="pass more draws (useful: some thousands) or fewer folds",
        )
    draws, reference = standardised(
        subset(draws, size, generator), subset(reference, size, generator)
    )
    units = 10 * draws.shape[1]
    classifier = MLPClassifier(
        hidden_layer_sizes=(units, units), max_iter=10_000, random_state=seed % 2**32
    )
    # The benchmark's order and precision: the reference comes first, and networks compute in single
    # precision.
    points = np.concatenate([reference, draws]).astype(np.float32)
    labels = np.repeat([0, 1], size)
    shuffled = KFold(n_splits=folds, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # One process: worker processes would start before they help, and not every caller lets
        # them.
        return float(
            np.mean(cross_val_score(classifier, points, labels, cv=shuffled, scoring="accuracy"))
        )


# Maximum mean discrepancy (MMD): a distance between two sets of points, and a test.
#
# The test asks whether both sets have the same distribution.

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
    elif np.size(bandwidths) == 0 or not np.all(
        np.isfinite(bandwidths) & (np.asarray(bandwidths) > 0.0)
    ):
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
    most = MOST_REPETITIONS
    check_integer("Argument 'projections'", projections, most=most, do="leave it out for 200")
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


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Tested):
    """How far draws are from reference draws, jointly and by column.

    ``p_value`` is that of the Kolmogorov-Smirnov statistic ``ks``.
    """

    shown = ("mean_error", "sd_ratio", "ks", "p_value", "inside")
    draws: int  #: how many there were
    reference: int
    #: (k,), mean of the draws minus that of the reference, in its standard deviations
    mean_error: np.ndarray
    sd_ratio: np.ndarray  #: (k,), standard deviation of the draws divided by that of the reference
    #: (k,), two-sample Kolmogorov-Smirnov statistic: the largest difference of the ECDFs
    ks: np.ndarray
    #: accuracy of a classifier (0.5: can't tell them apart, 1: always can); NaN if left out
    c2st: float
    c2st_draws: int  #: how many draws of each it had
    mmd: MMDResult  #: the joint test; columns in standard deviations of all points together
    sliced_wasserstein: float  #: in standard deviations of the reference
    #: about the distance that correct draws would have; from the two halves of the reference
    sliced_wasserstein_floor: float
    #: (p, k), increasing: points where the ECDFs are compared; ``ks`` is reached at one of them
    points: np.ndarray
    ecdf_difference: np.ndarray  #: (p, k), ECDF of the draws minus that of the reference

    @property
    def passed(self) -> bool:
        """Whether all columns and MMD pass.

        Correct draws fail with a probability of up to (k + 1)(1 - level).
        """
        return super().passed and self.mmd.passed

    @property
    def family_p_value(self) -> float:
        """One p-value: twice the smaller of those of the joint distribution and of all columns."""
        return min(1.0, 2.0 * min(self.mmd.family_p_value, super().family_p_value))

    @property
    def summary(self) -> str:
        joint = "" if np.isnan(self.c2st) else f"C2ST {self.c2st:.3f}, "
        return f"{joint}MMD p = {self.mmd.p_value[0]:.2g}; KS: {super().summary}"

    @property
    def ks_critical(self) -> float:
        """The KS statistic that correct draws exceed with a probability of about 1 - level."""
        size = round(self.draws * self.reference / (self.draws + self.reference))
        return float(stats.kstwo.isf(1.0 - self.level, size))

    @property
    def _heading(self) -> str:
        joint = ""
        if self.c2st_draws:
            error = 1.0 / np.sqrt(2.0 * self.c2st_draws)
            joint = (
                f"C2ST {self.c2st:.3f} (same law: 0.5 +- {error:.2g}), {self.c2st_draws} "
                "draws of each\n"
            )
        return (
            f"Comparison {self._verdict}: {self.draws} draws, {self.reference} of the reference, "
            f"each test at {100 * self.level:.4g} %\n{joint}"
            f"MMD^2 {self.mmd.squared:.2g}, p = {self.mmd.p_value[0]:.2g}\n"
            f"sliced Wasserstein {self.sliced_wasserstein:.3f} (same law: about "
            f"{self.sliced_wasserstein_floor:.3f})"
        )


def compare_draws(
    draws: Arrays, reference: Arrays, *, seed: int, level: float = 0.99, c2st_draws: int = 1500
) -> Comparison:
    """Compare posterior draws (m, *event) for one observation with reference draws (n, *event).

    Draws must be independent: thin MCMC to its effective sample size, or correct posteriors fail.
    Many draws also reveal differences too small to matter: look at sizes first (``mean_error``,
    ``sd_ratio``, ``ks``, ``c2st``).

    Marginal distributions are compared by :func:`scipy.stats.ks_2samp`, which is conservative for
    discrete parameters. Joint distributions are compared by C2ST, MMD and sliced Wasserstein
    distance. C2ST uses up to ``c2st_draws`` of each (10,000 to compare with published values, 0 to
    leave it out); it is left out if there are fewer than 25 of either. It takes 12 of 14 s for 4000
    draws of five columns on a busy core.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> first, second = ({"x": generator.normal(size=500)} for _ in range(2))
    >>> compare_draws(first, second, seed=1, c2st_draws=0).passed
    True
    """
    # ArviZ's kl_divergence and wasserstein look at 500 draws, on any scale, and give no value of
    # correct draws to compare with.
    check_level(level)
    refuse_many_observations(draws)
    refuse_many_observations(reference, "reference")
    do = "pass 0 to leave C2ST out, or leave it at 1500"
    if check_integer("Argument 'c2st_draws'", c2st_draws, 0, do=do):
        check_integer("Argument 'c2st_draws', if not 0", c2st_draws, FEWEST_DRAWS, do=do)
    first = by_column("draws", draws, draws)
    second = by_column("reference", reference, draws)
    generator = seeds.generator(seed, "comparison")
    tests = [_kolmogorov_smirnov(*pair) for pair in zip(first.T, second.T, strict=True)]
    ks, p_value, points, difference = (np.stack(part, axis=-1) for part in zip(*tests, strict=True))
    scaled, scaled_reference = standardised(first, second)
    # Against a constant reference, any error is infinitely many standard deviations, and no error
    # is zero.
    constant = np.ptp(second, axis=0) == 0.0
    error = np.mean(scaled, axis=0)
    # For the permutations to be exact, not even the scale may know which points are the reference.
    pooled = np.concatenate([first, second])
    pooled = standardised(pooled, pooled)[0]
    size = min(c2st_draws, len(first), len(second))
    if size < FEWEST_DRAWS:
        size = 0
    # The p-value of a comparison is twice the smaller of two.
    permutations = repetitions_for(level, 500)
    return Comparison(
        columns=tuple(columns(draws, batch_ndim=1)),
        draws=len(first),
        reference=len(second),
        mean_error=np.where(constant & (error != 0.0), np.copysign(np.inf, error), error),
        sd_ratio=np.where(
            constant,
            np.where(np.ptp(first, axis=0) > 0.0, np.inf, 1.0),
            np.std(scaled, axis=0, ddof=1),
        ),
        ks=ks,
        p_value=p_value,
        # With the seed of the published protocol for folds and weights.
        c2st=c2st(subset(first, size, generator), subset(second, size, generator))
        if size
        else np.nan,
        c2st_draws=size,
        mmd=mmd(
            pooled[: len(first)],
            pooled[len(first) :],
            seed=seed,
            level=level,
            permutations=permutations,
        ),
        sliced_wasserstein=sliced_wasserstein(scaled, scaled_reference, seed=seed),
        sliced_wasserstein_floor=same_law_distance(scaled_reference, len(first), seed=seed),
        points=points,
        ecdf_difference=difference,
        level=level,
    )


def _kolmogorov_smirnov(
    first: np.ndarray, second: np.ndarray
) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Return the statistic, its p-value, points (202,), and the difference of the ECDFs there."""
    size = max(len(first), len(second))
    # The exact distribution for large sets of unequal sizes takes up to seconds a column; the
    # asymptotic one is within 2 %.
    exact = size <= 2000 or (len(first) == len(second) and size <= 10_000)
    with warnings.catch_warnings():
        # If the exact distribution underflows, SciPy takes the asymptotic one and says so; the
        # p-value is 0 in effect.
        warnings.simplefilter("ignore", RuntimeWarning)
        test = stats.ks_2samp(first, second, method="exact" if exact else "asymp")
    # Values that occur, not interpolated ones: between two of them the ECDF of a discrete parameter
    # is flat.
    steps = np.quantile(
        np.concatenate([first, second]), np.linspace(0.0, 1.0, 201), method="inverted_cdf"
    )
    points = np.sort(np.append(steps, test.statistic_location))
    ours, theirs = (
        np.searchsorted(np.sort(values), points, side="right") / len(values)
        for values in (first, second)
    )
    return float(test.statistic), float(test.pvalue), points, ours - theirs
