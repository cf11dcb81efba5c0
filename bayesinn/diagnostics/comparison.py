"""Comparison of posterior draws for one observation with reference draws: MCMC, or exact."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bayesinn.core import seeds
from bayesinn.core.labels import columns
from bayesinn.core.validation import check_integer
from bayesinn.diagnostics.arrays import (
    Arrays,
    by_column,
    check_level,
    refuse_many_observations,
    standardised,
    subset,
)
from bayesinn.diagnostics.c2st import FEWEST_DRAWS, c2st
from bayesinn.diagnostics.mmd import MMDResult, mmd
from bayesinn.diagnostics.sliced_wasserstein import same_law_distance, sliced_wasserstein
from bayesinn.diagnostics.tested import Tested, repetitions_for


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


def compare(
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
    >>> compare(first, second, seed=1, c2st_draws=0).passed
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
