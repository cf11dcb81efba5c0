"""Recovery: how near posteriors come to the truth, and how much they learn beyond the prior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayesinn.core.validation import check_number
from bayesinn.diagnostics.arrays import by_column, paired
from bayesinn.diagnostics.tested import Effect, Result


@dataclass(frozen=True, eq=False, repr=False)
class RecoveryResult(Result):
    """Posterior summaries of n data sets, and the truths."""

    shown = ("r_squared", "correlation", "nrmse", "contraction", "z_score_mean", "z_score_sd")

    columns: tuple[str, ...]
    truth: np.ndarray  #: (n, k)
    mean: np.ndarray  #: (n, k), as are all summaries of the posterior
    median: np.ndarray
    standard_deviation: np.ndarray
    lower: np.ndarray  #: lower end of the central posterior interval
    upper: np.ndarray  #: upper end
    interval: float  #: coverage of that interval
    prior_variance: np.ndarray  #: (k,)

    @property
    def simulations(self) -> int:
        """Number n of data sets."""
        return len(self.truth)

    @property
    def r_squared(self) -> np.ndarray:
        """Array (k,): share of the truths' variance that posterior medians explain; at most 1, may be negative."""
        residual = np.sum((self.truth - self.median) ** 2, axis=0)
        return 1.0 - _ratio(residual, np.sum((self.truth - self.truth.mean(axis=0)) ** 2, axis=0))

    @property
    def correlation(self) -> np.ndarray:
        """Array (k,): Pearson correlation of posterior medians with truths."""
        point, truth = self.median - self.median.mean(axis=0), self.truth - self.truth.mean(axis=0)
        return _ratio(np.sum(point * truth, axis=0), np.sqrt(np.sum(point**2, axis=0) * np.sum(truth**2, axis=0)))

    @property
    def nrmse(self) -> np.ndarray:
        """Array (k,): root mean squared error of posterior medians, divided by the range (max - min) of the truths."""
        return _ratio(np.sqrt(np.mean((self.truth - self.median) ** 2, axis=0)), np.ptp(self.truth, axis=0))

    @property
    def contraction(self) -> np.ndarray:
        """Array (k,): 1 - median posterior variance / prior variance; 0: nothing learnt, 1: known exactly."""
        return 1.0 - _ratio(np.median(self.standard_deviation**2, axis=0), self.prior_variance)

    @property
    def z_score(self) -> np.ndarray:
        """Array (n, k): (posterior mean - truth) / posterior standard deviation."""
        return _ratio(self.mean - self.truth, self.standard_deviation)

    @property
    def z_score_mean(self) -> np.ndarray:
        """Array (k,): mean z-score over data sets."""
        return np.mean(self.z_score, axis=0)

    @property
    def z_score_sd(self) -> np.ndarray:
        """Array (k,): standard deviation of the z-score over data sets."""
        return np.std(self.z_score, axis=0)

    @property
    def effect(self) -> Effect:
        """Median contraction over columns that vary."""
        known = self.contraction[np.isfinite(self.contraction)]
        return Effect("median contraction", 100.0 * float(np.median(known)) if len(known) else float("nan"), "%")

    @property
    def summary(self) -> str:
        """One line for a table of verdicts."""
        if np.all(np.isnan(self.r_squared)):
            return "truths do not vary: nothing to recover"
        ends = (int(np.nanargmin(self.r_squared)), int(np.nanargmax(self.r_squared)))
        return "R2 from " + " to ".join(f"{self.r_squared[index]:.2f} ({self.columns[index]})" for index in ends)

    @property
    def _heading(self) -> str:
        """First line of the text."""
        return f"Recovery of {self.simulations} simulations"


def recovery(
    truth: Mapping[str, np.ndarray],
    draws: Mapping[str, np.ndarray],
    prior: Mapping[str, np.ndarray],
    *,
    interval: float = 0.9,
) -> RecoveryResult:
    """Compare posteriors with the truths behind their data sets.

    R2 and NRMSE are those of Radev et al. 2020, "BayesFlow", arXiv:2003.06281, contraction and z-score those of Schad,
    Betancourt & Vasishth 2021, arXiv:1904.12765, with two changes: point estimates are posterior medians, and the
    contraction is that of the median data set. A single heavy-tailed posterior would otherwise decide all of them.

    Parameters
    ----------
    interval : float
        Coverage of the central interval that is kept for figures.
    """
    tail = 0.5 * (1.0 - check_number("Argument 'interval'", interval, above=0, below=1))
    pairs = paired(truth, draws)
    lower, median, upper = np.quantile(pairs.draws, [tail, 0.5, 1.0 - tail], axis=1)
    return RecoveryResult(
        columns=pairs.columns,
        truth=pairs.truth,
        mean=pairs.draws.mean(axis=1),
        median=median,
        standard_deviation=pairs.draws.std(axis=1, ddof=1),
        lower=lower,
        upper=upper,
        interval=interval,
        prior_variance=by_column("prior", prior, truth).var(axis=0, ddof=1),
    )


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide; NaN where the denominator is zero (a parameter that does not vary), without a warning."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0.0)
