"""Comparison of the posterior draws given one observation with reference draws: MCMC, or an exact posterior."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.arrays import check_fraction
from bayesinn.diagnostics.c2st import c2st
from bayesinn.diagnostics.mmd import MMDResult, mmd
from bayesinn.diagnostics.point_sets import named_sets, standardised, subset
from bayesinn.diagnostics.sliced_wasserstein import same_law_distance, sliced_wasserstein
from bayesinn.diagnostics.tested import Effect, Tested

_STREAM = 0x636F6D70


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Tested):
    """How far draws are from reference draws, jointly and in each column.

    Parameters
    ----------
    columns : names of the k columns
    draws, reference : ints, how many there were of each
    mean_error : array (k,), mean of the draws minus that of the reference, in standard deviations of the reference
    sd_ratio : array (k,), standard deviation of the draws divided by that of the reference
    ks : array (k,), two-sample Kolmogorov-Smirnov statistic: the largest difference of the ECDFs
    p_value : array (k,), of ``ks``; conservative for discrete parameters
    c2st : float, accuracy of a classifier (0.5: can't tell them apart, 1: always can); NaN if left out
    c2st_draws : int, how many draws of each it had
    mmd : MMDResult, the joint test; columns in standard deviations of all points together
    sliced_wasserstein : float, in standard deviations of the reference
    sliced_wasserstein_floor : float, about what draws of the reference's law would give; from its two halves
    points : array (p, k), increasing: where the ECDFs of a column are compared, ``ks`` being reached at one of them
    ecdf_difference : array (p, k), ECDF of the draws minus that of the reference
    level : float, probability that one column of right draws passes
    """

    columns: tuple[str, ...]
    draws: int
    reference: int
    mean_error: np.ndarray
    sd_ratio: np.ndarray
    ks: np.ndarray
    p_value: np.ndarray
    c2st: float
    c2st_draws: int
    mmd: MMDResult
    sliced_wasserstein: float
    sliced_wasserstein_floor: float
    points: np.ndarray
    ecdf_difference: np.ndarray
    level: float

    @property
    def effect(self) -> Effect:
        """Largest difference of two ECDFs."""
        return Effect("difference of distribution functions", 100.0 * float(self.ks.max()), "percentage points")

    @property
    def passed(self) -> bool:
        """All columns pass, and so does MMD; right draws fail with a probability of up to (k + 1)(1 - level)."""
        return super().passed and self.mmd.passed

    @property
    def family_p_value(self) -> float:
        """One p-value for everything: twice the smaller of that of the joint law and that of all columns together."""
        return min(1.0, 2.0 * min(self.mmd.family_p_value, super().family_p_value))

    @property
    def passed_family_wise(self) -> bool:
        """Nothing fails after Bonferroni: right draws fail with a probability of up to 1 - level."""
        return self.family_p_value > 1.0 - self.level

    @property
    def summary(self) -> str:
        """One line for a table of verdicts."""
        joint = "" if np.isnan(self.c2st) else f"C2ST {self.c2st:.3f}, "
        return f"{joint}MMD p = {self.mmd.p_value[0]:.2g}; KS: {super().summary}"

    @property
    def ks_critical(self) -> float:
        """The KS statistic that right draws exceed with a probability of about 1 - level."""
        return float(
            stats.kstwo.isf(1.0 - self.level, round(self.draws * self.reference / (self.draws + self.reference)))
        )

    def to_dataframe(self) -> pd.DataFrame:
        """One row a column: effect sizes first, then the KS test."""
        return pd.DataFrame(
            {
                "mean_error": self.mean_error,
                "sd_ratio": self.sd_ratio,
                "ks": self.ks,
                "p_value": self.p_value,
                "inside": self.inside,
            },
            index=pd.Index(self.columns, name="column"),
        )

    def __repr__(self) -> str:
        joint = [
            f"MMD^2 {self.mmd.squared:.2g}, p = {self.mmd.p_value[0]:.2g}",
            f"sliced Wasserstein {self.sliced_wasserstein:.3f} (same law: about {self.sliced_wasserstein_floor:.3f})",
        ]
        if not np.isnan(self.c2st):
            error = 1.0 / np.sqrt(2.0 * self.c2st_draws)
            joint.insert(0, f"C2ST {self.c2st:.3f} (same law: 0.5 +- {error:.2g}), {self.c2st_draws} draws of each")
        table = self.to_dataframe().to_string(float_format="%.3g")
        return (
            f"Comparison {self._verdict()}: {self.draws} draws, {self.reference} of the reference, each test at "
            f"{self.level:.0%}\n{'\n'.join(joint)}\n{table}"
        )


def compare(
    draws: Mapping[str, np.ndarray],
    reference: Mapping[str, np.ndarray],
    *,
    seed: int,
    level: float = 0.99,
    c2st_draws: int = 1500,
) -> Comparison:
    """Compare the posterior draws given one observation with reference draws.

    Both must be independent draws: thin MCMC to its effective sample size, or right posteriors fail. With many draws
    the tests also reject differences too small to matter, as no approximation is exact: look at the effect sizes first
    (``mean_error``, ``sd_ratio``, ``ks``, ``c2st``), at p-values when you ask whether there is a difference at all.

    Marginal laws are compared by :func:`scipy.stats.ks_2samp`, the joint law by :mod:`~bayesinn.diagnostics.c2st`,
    :mod:`~bayesinn.diagnostics.mmd` and :mod:`~bayesinn.diagnostics.sliced_wasserstein`, which see what no marginal
    shows. Not by ArviZ's ``kl_divergence`` and ``wasserstein``: these look at 500 draws, on whatever scale the
    parameters have, and come without the value that right draws would give.

    Parameters
    ----------
    draws : dict of name to array (m, *event)
    reference : dict of name to array (n, *event)
    seed : int
        Decides which draws C2ST and MMD use of more than they can, partitions and directions.
    level : float
        Probability that one test of right draws passes.
    c2st_draws : int
        Most draws of each for C2ST, which takes nearly all the time: 12 of 14 s for 4000 draws of five columns on a
        busy core. Take 10,000 to compare with published values, 0 to leave it out.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        Names, shapes or values do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> draws, reference = np.random.default_rng(1).normal(size=(2, 500, 2))
    >>> result = compare({"rate": draws}, {"rate": reference}, seed=1, c2st_draws=0)
    >>> result.passed, result.columns
    (True, ('rate[0]', 'rate[1]'))
    >>> compare({"rate": 2.0 * draws}, {"rate": reference}, seed=1, c2st_draws=0).sd_ratio.round(1)
    array([1.9, 1.9])
    """
    check_fraction("level of a comparison", level)
    if c2st_draws < 0:
        raise InputError(
            "c2st_draws",
            expected="0 or more: the most draws of each for C2ST",
            got=str(c2st_draws),
            do="pass 0 to leave it out, or leave it at 1500",
        )
    names, first, second = named_sets(draws, reference)
    generator = np.random.default_rng([seed, _STREAM])
    tests = [_kolmogorov_smirnov(ours, theirs) for ours, theirs in zip(first.T, second.T, strict=True)]
    points = np.stack([_points(*pair) for pair in zip(first.T, second.T, [test[2] for test in tests], strict=True)], -1)
    scaled, scaled_reference = standardised(first, second)
    # Against a constant, any error is infinitely many standard deviations; none is none.
    constant, error = np.ptp(second, axis=0) == 0.0, np.mean(scaled, axis=0)
    # For the permutations to be exact, not even the scale may know which points are the reference.
    pooled = np.concatenate([first, second])
    pooled = standardised(pooled, pooled)[0]
    size = min(c2st_draws, len(first), len(second))
    return Comparison(
        columns=names,
        draws=len(first),
        reference=len(second),
        mean_error=np.where(constant & (error != 0.0), np.copysign(np.inf, error), error),
        sd_ratio=np.where(constant, np.where(np.ptp(first, axis=0) > 0.0, np.inf, 1.0), np.std(scaled, axis=0, ddof=1)),
        ks=np.array([test[0] for test in tests]),
        p_value=np.array([test[1] for test in tests]),
        # With the seed of the published protocol for folds and weights.
        c2st=c2st(subset(first, size, generator), subset(second, size, generator)) if size else np.nan,
        c2st_draws=size,
        mmd=mmd(pooled[: len(first)], pooled[len(first) :], seed=seed, level=level),
        sliced_wasserstein=sliced_wasserstein(scaled, scaled_reference, seed=seed),
        sliced_wasserstein_floor=same_law_distance(scaled_reference, len(first), seed=seed),
        points=points,
        ecdf_difference=np.stack(
            [_ecdf(ours, at) - _ecdf(theirs, at) for ours, theirs, at in zip(first.T, second.T, points.T, strict=True)],
            axis=-1,
        ),
        level=level,
    )


def _kolmogorov_smirnov(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Statistic, p-value and where the statistic is reached."""
    size = max(len(first), len(second))
    # Of large sets with unequal sizes the exact law takes up to seconds a column, and the asymptotic one is within 2 %.
    exact = size <= 2000 or (len(first) == len(second) and size <= 10_000)
    with warnings.catch_warnings():
        # Where the exact law underflows, SciPy takes the asymptotic one and says so; the p-value is nil either way.
        warnings.simplefilter("ignore", RuntimeWarning)
        test = stats.ks_2samp(first, second, method="exact" if exact else "asymp")
    return float(test.statistic), float(test.pvalue), float(test.statistic_location)


def _points(first: np.ndarray, second: np.ndarray, farthest: float) -> np.ndarray:
    """Array (202,): values of both sets at equal steps of probability, and where their ECDFs lie farthest apart."""
    # Values that occur, not interpolated ones: between two of them the ECDF of a discrete parameter is flat.
    steps = np.quantile(np.concatenate([first, second]), np.linspace(0.0, 1.0, 201), method="inverted_cdf")
    return np.sort(np.append(steps, farthest))


def _ecdf(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.sort(values), points, side="right") / len(values)
