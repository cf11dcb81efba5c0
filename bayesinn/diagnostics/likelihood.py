"""What a likelihood tells of a posterior: how well draws explain the data, and missing sharpness.

Missing sharpness is measured in nats.

A simulator may have a likelihood that training does not use. Densities are log densities of n
truths, (n,), and of L posterior draws given the data of each, (n, L).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from bayesinn.diagnostics import beyond
from bayesinn.diagnostics.arrays import paired
from bayesinn.diagnostics.calibration import SBCResult, compare_ranks, ranks
from bayesinn.diagnostics.deviation import Deviation, Interval, Result, interval_of_mean, of_median

Pair = tuple[np.ndarray, np.ndarray]

_ALL = ("all parameters",)
# Most nats that a posterior misses at one truth: its density may be zero there.
_MOST_NATS = 50.0


@dataclass(frozen=True, eq=False, repr=False)
class FitResult(SBCResult):
    """How well truths explain the data, compared with draws."""

    title = "Fit to the data"
    gap: np.ndarray  #: (n,), log likelihood of the truth minus the median of its draws, in nats
    parameters: int  #: number of parameters

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """Median gap: zero if the posterior is correct, as the truth is then one more draw."""
        words = (
            "draws explain the data better than the truth",
            "the truth explains the data better than draws",
        )
        return (of_median(self.gap, self.columns[0], "gap in fit", "nats", words, self.parameters),)


def fit_to_data(
    log_likelihood: Pair, parameters: int, *, seed: int, level: float = 0.99
) -> FitResult:
    """Compare the log likelihood of each truth with those of its draws, up to a constant.

    The constant may differ from data set to data set. The check is SBC of the log likelihood, a
    test quantity that sees whatever a posterior forgets of the data: Modrak et al. 2023,
    "Simulation-based calibration checking for Bayesian computation", arXiv:2211.02383.
    """
    pairs = paired(
        *({"log likelihood": np.maximum(value, np.finfo(float).min)} for value in log_likelihood)
    )
    rank = ranks(pairs.truth, pairs.draws, seed=seed)
    draws = pairs.draws.shape[1]
    return FitResult(
        *compare_ranks(pairs.columns, rank, draws, seed, level),
        ranks=rank,
        draws=draws,
        gap=pairs.truth[:, 0] - np.median(pairs.draws[..., 0], axis=1),
        parameters=parameters,
    )


@dataclass(frozen=True, eq=False, repr=False)
class SharpnessResult(Result):
    """Nats by which the truth's log density falls short of the exact posterior's, with bounds."""

    at_least: np.ndarray  #: (n,), bounds from below: their mean is at most the missing nats
    #: (n,), bounds from above: their mean is at least the missing nats; inf where only the other
    #: bound is known
    at_most: np.ndarray
    parameters: int  #: number of parameters
    most: float = np.inf  #: largest value that ``at_least`` can take; inf if there is none
    left_out: int = 0  #: number of data sets whose likelihood is zero at the truth
    excluded: int = 0  #: number of truths at which the posterior's density is zero

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """Mean over data sets: the divergence of the posterior from the exact one."""
        ends = interval_of_mean(self.at_least[:, None])
        gap = np.inf
        size = len(self.at_least)
        if np.isfinite(self.at_most).all():
            high = interval_of_mean(self.at_most[:, None])
            gap = 0.5 * float(high.estimate[0] - ends.estimate[0])
            ends = Interval(ends.estimate + gap, ends.lower, high.upper)
        else:
            ends = ends._replace(upper=np.array([np.inf]))
        words = "sharper than the exact posterior", "falls short of the exact posterior"
        return (
            Deviation(
                "missing sharpness",
                unit="nats",
                tolerance="nats",
                columns=self.columns,
                estimate=ends.estimate,
                lower=ends.lower,
                upper=ends.upper,
                simulations=size,
                words=words,
                scale=self.parameters,
                gap=gap,
                one_sided=bool(np.isinf(self.at_most).all()),
                beyond=self._beyond,
            ),
        )

    def _beyond(self, tolerance: float) -> np.ndarray:
        # A divergence is never negative: only what is missing counts.
        if np.isfinite(self.most):
            return beyond.of_missing_nats(self.at_least, self.most, tolerance)
        # Under a correct posterior, the ratio of another density to its own is one in the mean, and
        # rarely large.
        ratio = np.exp(np.minimum(-np.sum(self.at_least), 0.0))
        return np.maximum(beyond.of_excess(self.at_least[:, None], tolerance), ratio)

    @property
    def summary(self) -> str:
        found = self.deviations[0]
        if np.isinf(found.upper[0]):
            text = f"at least {found.least[0]:.2g} nats missing"
        else:
            interval = f"{found.lower[0]:.2g} to {found.upper[0]:.2g}"
            text = f"{found.estimate[0]:.2g} ({interval}) nats missing"
        if self.excluded:
            text += f"; the density of {self.excluded:,} truths is zero"
        if self.left_out:
            text += f"; without {self.left_out:,} data sets whose likelihood is zero at the truth"
        return text

    @property
    def _heading(self) -> str:
        return "Sharpness"

    def to_dataframe(self) -> pd.DataFrame:
        """Return the missing nats with their interval."""
        found = self.deviations[0]
        numbers = {"nats_missing": found.estimate, "lower": found.lower, "upper": found.upper}
        return pd.DataFrame(numbers, index=pd.Index(self.columns, name="column"))


def sharpness(
    log_likelihood: Pair, log_prior: Pair, log_prob: Pair, parameters: int
) -> SharpnessResult:
    """Bound the divergence from the exact posterior, with evidence from importance weights.

    Importance weights of draws alone underestimate the log evidence in the mean; with the weight of
    the truth, which is an exact posterior draw, they overestimate it (Burda, Grosse & Salakhutdinov
    2015, "Accurate and conservative estimates of MRF log-likelihood using reverse annealing"). With
    more draws, the bounds come together.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.testing import Conjugate
    >>> problem, exact = Conjugate("too wide"), Conjugate()
    >>> theta, data = problem.simulate(2000, seed=1)
    >>> both = np.concatenate([theta[:, None], problem.sample(data, draws=100, seed=2)], axis=1)
    >>> prior, density = exact.prior_log_prob(both), problem.log_prob(both, data)
    >>> pairs = [
    ...     (values[:, 0], values[:, 1:])
    ...     for values in (exact.log_prob(both, data) - prior, prior, density)
    ... ]
    >>> missing = sharpness(*pairs, parameters=2).deviations[0].estimate[0]
    >>> bool(abs(missing - 2 * (np.log(1.15) + 0.5 / 1.15**2 - 0.5)) < 0.01)
    True
    """
    of_truth, of_draws = (
        # Draws that the prior excludes weigh nothing, whatever their density.
        np.where(
            np.isneginf(prior),
            -np.inf,
            likelihood + prior - np.where(np.isneginf(prior), 0.0, density),
        )
        for likelihood, prior, density in zip(log_likelihood, log_prior, log_prob, strict=True)
    )
    # A likelihood that is zero at the truth is one that could not be computed.
    known = ~np.isneginf(log_likelihood[0])
    of_truth = of_truth[known]
    of_draws = of_draws[known]
    draws = of_draws.shape[1]
    alone = special.logsumexp(of_draws, axis=1)
    at_most = of_truth - (alone - np.log(draws))
    # Finite also for a truth that the posterior excludes.
    at_least = np.log(draws + 1.0) - np.logaddexp(alone - of_truth, 0.0)
    return SharpnessResult(
        _ALL,
        at_least,
        at_most,
        parameters,
        float(np.log(draws + 1.0)),
        left_out=int(np.sum(~known)),
        excluded=int(np.sum(np.isneginf(log_prob[0]) & known)),
    )


def compared_sharpness(log_prob: np.ndarray, other: np.ndarray, parameters: int) -> SharpnessResult:
    """Bound the divergence from below by another posterior's log densities (n,) of truths.

    The other posterior is given the same data; its densities are finite. A truth whose density is
    zero counts as 50 nats, which keeps the bound a bound.
    """
    gap = np.minimum(other - log_prob, _MOST_NATS)
    excluded = int(np.sum(np.isneginf(log_prob)))
    return SharpnessResult(_ALL, gap, np.full(len(gap), np.inf), parameters, excluded=excluded)
