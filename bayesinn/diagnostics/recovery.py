"""Recovery: how near posteriors come to the truth, and how much they learn beyond the prior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesinn.diagnostics.arrays import check_fraction, columns_like, paired
from bayesinn.diagnostics.tested import Effect


@dataclass(frozen=True, eq=False, repr=False)
class RecoveryResult:
    """Posterior summaries of n data sets beside the truths.

    Parameters
    ----------
    columns : names of the k columns
    truth, mean, median, standard_deviation : arrays (n, k); the last three of the posterior
    lower, upper : arrays (n, k), ends of the central posterior interval
    interval : float, coverage of that interval
    prior_variance : array (k,)
    """

    columns: tuple[str, ...]
    truth: np.ndarray
    mean: np.ndarray
    median: np.ndarray
    standard_deviation: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    interval: float
    prior_variance: np.ndarray

    @property
    def simulations(self) -> int:
        """The number n of data sets."""
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
        error = np.sqrt(np.mean((self.truth - self.median) ** 2, axis=0))
        return _ratio(error, np.ptp(self.truth, axis=0))

    @property
    def contraction(self) -> np.ndarray:
        """Array (k,): 1 - median posterior variance / prior variance; 0: nothing learnt, 1: known exactly."""
        return 1.0 - _ratio(np.median(self.standard_deviation**2, axis=0), self.prior_variance)

    @property
    def z_score(self) -> np.ndarray:
        """Array (n, k): (posterior mean - truth) / posterior standard deviation."""
        return _ratio(self.mean - self.truth, self.standard_deviation)

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
        worst, best = int(np.nanargmin(self.r_squared)), int(np.nanargmax(self.r_squared))
        return (
            f"R2 from {self.r_squared[worst]:.2f} ({self.columns[worst]}) "
            f"to {self.r_squared[best]:.2f} ({self.columns[best]})"
        )

    def to_dataframe(self) -> pd.DataFrame:
        """One row a column; mean and spread of the z-score are over data sets."""
        return pd.DataFrame(
            {
                "r_squared": self.r_squared,
                "correlation": self.correlation,
                "nrmse": self.nrmse,
                "contraction": self.contraction,
                "z_score_mean": np.mean(self.z_score, axis=0),
                "z_score_sd": np.std(self.z_score, axis=0),
            },
            index=pd.Index(self.columns, name="column"),
        )

    def __repr__(self) -> str:
        table = self.to_dataframe().to_string(float_format="%.3g")
        return f"Recovery of {self.simulations} simulations\n{table}"


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
    truth : dict of name to array (n, *event)
    draws : dict of name to array (n, draws, *event)
    prior : dict of name to array (m, *event)
        Draws from the prior, for its variance.
    interval : float
        Coverage of the central interval that is kept for figures.

    Returns
    -------
    RecoveryResult

    Raises
    ------
    InputError
        Names, shapes or values do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> truth = generator.normal(size=4000)
    >>> data = truth + generator.normal(size=4000)
    >>> draws = data[:, None] / 2 + np.sqrt(0.5) * generator.normal(size=(4000, 50))
    >>> result = recovery({"mean": truth}, {"mean": draws}, {"mean": generator.normal(size=4000)})
    >>> bool(abs(result.contraction[0] - 0.5) < 0.03)
    True
    """
    check_fraction("interval of recovery", interval)
    pairs = paired(truth, draws)
    tail = 0.5 * (1.0 - interval)
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
        prior_variance=columns_like(truth, prior, "prior").var(axis=0, ddof=1),
    )


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide; NaN where the denominator is zero (a parameter that does not vary), without a warning."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0.0)
