"""Recovery: how near posteriors are to the truth, what they learn, how far members disagree."""

from dataclasses import dataclass

import numpy as np

from bayesinn.core.errors import check_number
from bayesinn.core.labels import columns
from bayesinn.diagnostics.arrays import Arrays, by_column, paired, split_rows
from bayesinn.diagnostics.deviation import Result, sort_columns


@dataclass(frozen=True, eq=False, repr=False)
class RecoveryResult(Result):
    """Posterior summaries (n, k) of n data sets, compared with the truths.

    The comparison is NaN if the truths do not vary.
    """

    shown = ("r_squared", "correlation", "nrmse", "contraction", "z_score_mean", "z_score_sd")
    truth: np.ndarray  #: (n, k), as all up to ``upper``
    mean: np.ndarray
    median: np.ndarray
    standard_deviation: np.ndarray
    lower: np.ndarray  #: lower end of the central posterior interval
    upper: np.ndarray  #: upper end
    interval: float  #: coverage of that interval
    #: (k,), median variance of as many draws of the prior as of each posterior: of a heavy-tailed
    #: prior, few draws show less than all
    prior_variance: np.ndarray
    #: (k,), share of the truths' variance that medians explain; at most 1, may be negative
    r_squared: np.ndarray
    correlation: np.ndarray  #: (k,), Pearson correlation of medians with truths
    #: (k,), root mean squared error of medians, divided by the range (max - min) of the truths
    nrmse: np.ndarray
    #: (k,), 1 - median posterior variance / prior variance; 0: nothing learned, 1: all known
    contraction: np.ndarray
    #: (n, k), (posterior mean - truth) / posterior standard deviation; infinite where all draws are
    #: equal and wrong, as of an integer
    z_score: np.ndarray

    @property
    def simulations(self) -> int:
        return len(self.truth)

    @property
    def z_score_mean(self) -> np.ndarray:
        """Array (k,): mean of the finite z-scores."""
        return np.asarray(self._finite_z_scores.mean(axis=0).filled(np.nan))

    @property
    def z_score_sd(self) -> np.ndarray:
        """Array (k,): standard deviation of the finite z-scores."""
        return np.asarray(self._finite_z_scores.std(axis=0).filled(np.nan))

    @property
    def sure_and_wrong(self) -> np.ndarray:
        """Array (k,): share of posteriors whose draws are all equal, and not the truth."""
        return np.mean(np.isinf(self.z_score), axis=0)

    @property
    def _finite_z_scores(self) -> np.ma.MaskedArray:
        return np.ma.masked_invalid(self.z_score)

    @property
    def ranking(self) -> tuple[str, ...]:
        return sort_columns(self.columns, self.r_squared)

    @property
    def summary(self) -> str:
        if np.all(np.isnan(self.r_squared)):
            return "truths do not vary: nothing to recover"
        ends = dict.fromkeys([int(np.nanargmin(self.r_squared)), int(np.nanargmax(self.r_squared))])
        text = "R² from " if len(ends) > 1 else "R² "
        text += " to ".join(
            f"{self.r_squared[index]:.2f} ({self.columns[index]})" for index in ends
        )
        worst = int(np.argmax(self.sure_and_wrong))
        share = self.sure_and_wrong[worst]
        if share > 0.0:
            name = self.columns[worst]
            text += f"; {100.0 * share:.3g} % of posteriors of {name} are one wrong value"
        return text

    @property
    def _heading(self) -> str:
        return f"Recovery of {self.simulations} simulations"


def recovery(
    truth: Arrays, draws: Arrays, prior: Arrays, *, interval: float = 0.9
) -> RecoveryResult:
    """Compare posteriors with the truths of their data sets; ``interval`` is kept for figures.

    R2 and NRMSE are those of Radev et al. 2020, "BayesFlow", arXiv:2003.06281. Contraction and
    z-score are those of Schad, Betancourt & Vasishth 2021, arXiv:1904.12765. R2 and NRMSE use
    posterior medians, contraction the median over data sets: otherwise a single heavy-tailed
    posterior would decide them. It is compared with the median over sets of as many prior draws:
    posteriors equal to the prior then have a contraction of zero, whatever its tails.
    """
    tail = 0.5 * (1.0 - check_number("Argument 'interval'", interval, above=0, below=1))
    columns, true, drawn = paired(truth, draws)
    lower, median, upper = np.quantile(drawn, [tail, 0.5, 1.0 - tail], axis=1)
    mean = drawn.mean(axis=1)
    deviation = _unless_constant(drawn.std(axis=1, ddof=1), drawn, 1)
    prior_sets = split_rows(by_column("prior", prior, truth), drawn.shape[1])
    prior_variances = _unless_constant(prior_sets.var(axis=1, ddof=1), prior_sets, 1)
    # Most sets of draws of a rare event are constant, posteriors equal to the prior as well: only
    # means over all sets tell it from one that is known.
    rare = np.median(prior_variances, axis=0) == 0.0
    prior_variance = _typical(prior_variances, rare)
    squared_error = (true - median) ** 2
    point = median - median.mean(axis=0)
    centred = true - true.mean(axis=0)
    variation = _unless_constant(np.sum(centred**2, axis=0), true)
    # Of draws that are all equal; their mean may be rounded.
    only = drawn[:, 0]
    certain = np.where(only == true, 0.0, np.copysign(np.inf, only - true))
    certain = np.where(variation > 0.0, certain, np.nan)
    return RecoveryResult(
        columns,
        truth=true,
        mean=mean,
        median=median,
        standard_deviation=deviation,
        lower=lower,
        upper=upper,
        interval=interval,
        prior_variance=prior_variance,
        r_squared=1.0 - _ratio(np.sum(squared_error, axis=0), variation),
        correlation=_ratio(
            np.sum(point * centred, axis=0), np.sqrt(np.sum(point**2, axis=0) * variation)
        ),
        nrmse=_ratio(np.sqrt(np.mean(squared_error, axis=0)), np.ptp(true, axis=0)),
        contraction=1.0 - _ratio(_typical(deviation**2, rare), prior_variance),
        z_score=np.where(deviation > 0.0, _ratio(mean - true, deviation), certain),
    )


def _unless_constant(spread: np.ndarray, values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return the spread of values; exactly zero, without rounding error, if they are equal."""
    return np.where(np.ptp(values, axis=axis) > 0.0, spread, 0.0)


def _typical(variances: np.ndarray, rare: np.ndarray) -> np.ndarray:
    """Return the median of variances (n, k); their mean for columns of rare events."""
    return np.where(rare, np.mean(variances, axis=0), np.median(variances, axis=0))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide; NaN where the denominator is zero, without a warning."""
    return np.divide(
        numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0.0
    )


#: Share of the data sets above which members that disagree there are worth a remark.
_OFTEN = 0.05


@dataclass(frozen=True, eq=False, repr=False)
class DisagreementResult(Result):
    """Shares of the variance of each parameter between members: 0 where all agree, at most 1."""

    shown = ("disagreement", "often", "observed")
    _heading = "Share of variance between members of the ensemble"
    share: np.ndarray  #: (n, k), of each data set
    observed: np.ndarray  #: (k,), of the observation; NaN without one
    most: float  #: share above which members disagree

    @property
    def disagreement(self) -> np.ndarray:
        """Mean share (k,) over data sets."""
        return self.share.mean(axis=0)

    @property
    def often(self) -> np.ndarray:
        """Fraction (k,) of the data sets where members disagree."""
        return np.mean(self.share > self.most, axis=0)

    @property
    def flagged(self) -> bool:
        """Whether members disagree at the observation, or on more than 5 % of the data sets."""
        return bool(np.any(self.observed > self.most) or np.any(self.often > _OFTEN))

    @property
    def summary(self) -> str:
        worst = int(np.argmax(self.often))
        text = f"members disagree on {100 * self.often[worst]:.0f} % of data sets "
        text += f"({self.columns[worst]})"
        if np.any(self.observed > self.most):
            worst = int(np.argmax(self.observed))
            text += f", and at the observation ({self.columns[worst]}: "
            text += f"{100 * self.observed[worst]:.0f} % of the variance lies between them)"
        return text


def disagreement(share: Arrays, observed: Arrays | None, most: float) -> DisagreementResult:
    """Gather shares of variance between members, (n, *event), and of an observation (1, *event)."""
    by_column = columns(share, batch_ndim=1)
    seen = columns(observed, batch_ndim=1) if observed is not None else {}
    return DisagreementResult(
        tuple(by_column),
        np.stack([*by_column.values()], axis=-1),
        np.array([seen[name][0] if seen else np.nan for name in by_column]),
        most,
    )
