"""Information gain: how many nats the data tell about the parameters."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_integer
from bayesinn.diagnostics.arrays import Arrays, by_column, paired, split_rows
from bayesinn.diagnostics.deviation import CONFIDENCE, interval_of_mean
from bayesinn.diagnostics.tested import Result, sort_columns

#: Number of prior draws for the estimate of entropies: more cost time and add little.
_MOST_PRIOR_DRAWS = 5_000
# Draws for each value that count its frequency well enough.
_REPEATS = 10
# Parts of the prior draws whose entropies tell how precise it is, and the smallest part.
_PARTS = 10
_FEWEST = 5
# A rare event has less entropy than the few nats that count as nothing. Less than this share of it
# must be learnt, too.
_SHARE = 0.25
# Share of the numbers that are as small as others.
_SMALLEST = 0.01


@dataclass(frozen=True, eq=False, repr=False)
class InformationResult(Result):
    """Information gained from data in nats (1 nat = 1.44 bits); negative if uncertainty grows."""

    shown = ("information_gain", "standard_error")
    gain: np.ndarray  #: (n, k), entropy of the prior minus that of the posterior of each data set
    prior_error: np.ndarray  #: (k,), standard error of the prior's entropy, which all gains share
    #: (k,), entropy of the prior, the most that data can tell; infinite for a continuous one
    most: np.ndarray
    #: (n,), log posterior over prior density of the truths; None without densities
    joint: np.ndarray | None

    @property
    def mean(self) -> np.ndarray:
        """Array (k,): mean gain over data sets.

        It is the mutual information of each parameter and the data.
        """
        return self.gain.mean(axis=0)

    information_gain = mean

    @property
    def standard_error(self) -> np.ndarray:
        """Standard error (k,) of the mean gain."""
        own = self.gain.std(axis=0, ddof=1) / np.sqrt(len(self.gain))
        return np.hypot(own, self.prior_error)

    @property
    def ranking(self) -> tuple[str, ...]:
        return sort_columns(self.columns, self.mean)

    def below(self, nats: float) -> tuple[str, ...]:
        """Return the columns whose gain is below ``nats`` by its interval; all hold at once.

        Of a discrete parameter, it is also below a quarter of all there is to know.
        """
        mean, _, upper = interval_of_mean(self.gain)
        quantile = stats.norm.isf(0.5 * (1.0 - CONFIDENCE) / len(self.columns))
        upper = mean + np.hypot(upper - mean, quantile * self.prior_error)
        # About a constant there is nothing to know.
        share = np.where(self.most > 0.0, _SHARE * self.most, np.inf)
        below = upper < np.minimum(nats, share)
        return tuple(name for name, few in zip(self.columns, below, strict=True) if few)

    def exceeds_together(self, nats: float) -> bool | None:
        """Tell whether all parameters together gain more than ``nats`` for each of them.

        None where it can't be told: without densities, with one that is zero or infinite, or if
        the interval holds that number.
        """
        if self.joint is None or not np.all(np.isfinite(self.joint)):
            return None
        _, lower, upper = interval_of_mean(self.joint[:, None])
        needed = nats * len(self.columns)
        if lower[0] > needed:
            return True
        return False if upper[0] < needed else None

    @property
    def joint_mean(self) -> float:
        """Mean gain for all parameters together; NaN without densities."""
        return np.nan if self.joint is None else float(self.joint.mean())

    @property
    def summary(self) -> str:
        least = int(np.argmin(self.mean))
        most = int(np.argmax(self.mean))
        text = f"{self.mean[least]:.2f} nats ({self.columns[least]})"
        text += f" to {self.mean[most]:.2f} ({self.columns[most]})" if least != most else ""
        return text if self.joint is None else f"{text}; all together {self.joint_mean:.2f}"

    @property
    def _heading(self) -> str:
        return "Information gain in nats" + (
            "" if self.joint is None else f", all together {self.joint_mean:.3g}"
        )


def information(
    truth: Arrays, draws: Arrays, prior: Arrays, *, log_ratio: np.ndarray | None = None
) -> InformationResult:
    """Estimate the expected information gain: prior entropy minus mean posterior entropy.

    Lindley 1956, "On a measure of the information provided by an experiment", Annals of
    Mathematical Statistics 27. Entropies of single parameters are estimated from draws: by spacings
    (Vasicek 1976, corrected for few draws by Ebrahimi, Pflughoeft & Soofi 1994), or by shares if
    values repeat. ``log_ratio`` (n,) is the log posterior minus the log prior density of each
    truth; its mean is the gain for all parameters together.
    """
    pairs = paired(truth, draws)
    before = by_column("prior", prior, truth)
    number = pairs.draws.shape[1]
    check_integer("Number of draws of each posterior", number, _FEWEST, do="take 200 or more")
    # Two parts, whose entropies may differ.
    fewest = 2 * _FEWEST
    check_integer("Number of draws of the prior", len(before), fewest, do="take 2,000 or more")
    both = zip(before.T, np.moveaxis(pairs.draws, -1, 0), strict=True)
    gains, errors, most = zip(*(_gain(*column) for column in both), strict=True)
    joint = None if log_ratio is None else _checked(log_ratio, len(pairs.truth))
    return InformationResult(
        pairs.columns, np.stack(gains, axis=-1), np.array(errors), np.array(most), joint
    )


def _checked(log_ratio: np.ndarray, size: int) -> np.ndarray:
    """Return log ratios (n,); they are infinite where a density is zero."""
    ratio = np.asarray(log_ratio, dtype=float)
    unknown = int(np.sum(np.isnan(ratio)))
    if ratio.shape != (size,) or unknown:
        raise InputError(
            "Argument 'log_ratio'",
            expected=f"shape ({size},), a number for each truth",
            got=f"shape {ratio.shape}, {unknown:,} of them NaN",
            do="pass log posterior minus log prior density of each truth, or leave it out",
        )
    return ratio


def _gain(prior: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return the gain (n,) of one column, the error of the prior's entropy, and the largest gain.

    The arrays are prior (m,) and draws (n, L).
    """
    values = np.unique(prior)
    entropy = _discrete_entropy if len(values) < len(prior) // 2 else _entropy
    # Too few draws to count so many integers: each is spread over a unit interval, which keeps the
    # entropy.
    if np.array_equal(values, np.round(values)) and _REPEATS * len(values) > draws.shape[1]:
        entropy = _entropy_of_integers
    prior = prior[:_MOST_PRIOR_DRAWS]
    # As many draws from the prior as from the posterior: the bias of the estimate then mostly
    # cancels.
    number = draws.shape[1]
    blocks = entropy(split_rows(prior, number))
    # A few large blocks don't show how much they vary.
    size = max(len(prior) // _PARTS, _FEWEST)
    parts = entropy(split_rows(prior, min(number, size)))
    error = float(parts.std(ddof=1) / np.sqrt(len(parts)))
    before = float(np.mean(blocks))
    most = np.inf if entropy is _entropy else before
    return np.asarray(before - entropy(draws)), error, most


def _entropy(values: np.ndarray) -> np.ndarray:
    values = np.sort(values, axis=-1)
    # Equal draws, as on the edge of a support, would be infinitely dense: they are spread between
    # the neighbouring numbers of single precision. Zeros are like the smallest other numbers.
    size = np.abs(values)
    others = np.where(size > 0.0, size, np.inf)
    least = np.quantile(others, _SMALLEST, axis=-1, keepdims=True, method="lower")
    size = np.maximum(size, np.where(np.isfinite(least), least, 0.0))
    spread = np.spacing(size.astype(np.float32)) * np.linspace(-0.5, 0.5, values.shape[-1])
    values = np.sort(values + spread, axis=-1)
    return np.asarray(stats.differential_entropy(values, axis=-1, method="ebrahimi"))


def _entropy_of_integers(values: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, values.shape)
    return _entropy(values + noise)


def _discrete_entropy(values: np.ndarray) -> np.ndarray:
    return np.array([stats.entropy(np.unique(row, return_counts=True)[1]) for row in values])
