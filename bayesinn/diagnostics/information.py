"""Information gain, and how it grows with the number of simulations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special, stats

from bayesinn.core.arrays import numbers
from bayesinn.core.errors import InputError, check_integer
from bayesinn.diagnostics.arrays import Arrays, by_column, paired, split_rows
from bayesinn.diagnostics.deviation import CONFIDENCE, Result, interval_of_mean, sort_columns

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


#: Possible exponents. The excess falls with 1/n for a network of fixed size and enough data; more
#: slowly if there is ever more to resolve; faster if few simulations were overfitted.
_EXPONENTS = np.linspace(0.1, 2.0, 39)
_QUANTILES = (0.5, 0.05, 0.95)
# A gain of at most this many nats doesn't matter.
_LITTLE = 0.02


class Gain(NamedTuple):
    """Nats gained by twice as many simulations, with a 90 % interval; NaN where unknown.

    The interval averages over the exponents of power laws that fit about as well. Of a curve that
    falls very slowly, it may be too low.
    """

    nats: float
    lower: float
    upper: float


@dataclass(frozen=True, eq=False, repr=False)
class Advice:
    """How the held-out nats fall with the number of simulations; the gain from twice as many.

    Attributes
    ----------
    table : DataFrame
        One row per size:

        - ``simulations``: the size
        - ``nats``: held-out mean of -log q(parameters | data), less is better; ``error``: its
          standard error
        - ``gain``: nats gained over the row before; ``gain_error``: its standard error, which is
          paired, with the same held-out data and nested subsets
    gain : Gain
        Expected nats gained by twice as many simulations as in the last row, with a 90 % interval.
    """

    table: pd.DataFrame
    gain: Gain
    #: number of held-out truths whose density is zero, or undefined, for a network of any size
    impossible: int = 0

    @property
    def is_conclusive(self) -> bool:
        """Whether the interval excludes no gain at all, or a gain that matters."""
        return bool(self.gain.lower > 0.0 or self.gain.upper <= _LITTLE)

    @property
    def _do(self) -> str:
        """What to do where the gain can't be told."""
        if self.impossible:
            return "train for longer"
        # Three numbers of a power law don't follow from two sizes, however often repeated.
        return (
            "pass three or more sizes" if len(self.table) < 3 else "pass more repeats or more data"
        )

    def __repr__(self) -> str:
        gain = self.gain
        last = self.table.iloc[-1]
        if not self.is_conclusive:
            interval = "" if np.isnan(gain.nats) else f": {gain.lower:.2g} to {gain.upper:.2g}"
            text = f"What twice as many simulations would gain can't be told{interval}; {self._do}"
        elif gain.lower <= 0.0:
            text = f"Twice as many simulations would gain at most {gain.upper:.2g} nats"
        else:
            interval = f"{gain.lower:.2g} to {gain.upper:.2g}"
            text = f"Twice as many simulations would gain about {gain.nats:.2g} nats ({interval})"
        if self.impossible:
            text += f"\n  Held-out truths with zero or undefined density: {self.impossible:,}"
        now = f"{last['nats']:.3f} ± {last['error']:.2g} nats with {last['simulations']:,.0f}"
        table = self.table.to_string(index=False, float_format=lambda value: f"{value:.3g}")
        return f"{text}\n  {now}\n{table}"


def learning_curve(nats: np.ndarray, sizes: Sequence[int]) -> Advice:
    """Return the learning curve from held-out values of -log q, (sizes, repeats, held out).

    The gain of twice as many simulations comes from a power law a + b n^-c. Four sizes with noise
    don't determine three numbers: the most likely ones would be far too optimistic. So the exponent
    c is averaged from 0.1 to 2, weighted by likelihood; a and b follow by linear regression. The
    ratio of the last two gains would lose the earlier sizes, and a noisy ratio of noisy numbers has
    no useful interval.

    The error of each point is that of repeats and that of the held-out data. Three repeats
    determine a variance only to within a factor of several: half of it is that of the size itself,
    half that of a trend along all sizes. The error that all sizes share on the held-out data
    doesn't change the gain, and is left out.

    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> sizes = np.array([125, 250, 500, 1000])
    >>> curve = 2.0 + 50.0 / sizes[:, None, None]
    >>> noise = 0.002 * generator.normal(size=(4, 3, 1)) + generator.normal(size=600)
    >>> gain = learning_curve(curve + noise, sizes).gain  # the curve gains 0.025
    >>> bool(gain.lower < 0.025 < gain.upper), bool(0.02 < gain.nats < 0.03)
    (True, True)
    """
    nats, counts = (numbers("Learning curve", part).astype(float) for part in (nats, sizes))
    if (
        nats.ndim != 3
        or counts.shape != nats.shape[:1]
        or min(nats.shape[1:]) < 2
        or np.any(np.diff(counts) <= 0)
    ):
        raise InputError(
            "Learning curve",
            expected="an array (sizes, repeats, held out), two or more of each of the latter, and "
            "increasing sizes",
            got=f"shape {nats.shape}, sizes {counts.tolist()}",
            do="repeat each size two times or more",
        )
    repeats, held_out = nats.shape[1:]
    spread = _smoothed(nats.mean(axis=2).var(axis=1, ddof=1), counts, repeats - 1) / repeats
    steps = -np.diff(nats, axis=0)
    paired = (
        steps.mean(axis=2).var(axis=1, ddof=1) / repeats
        + steps.mean(axis=1).var(axis=1, ddof=1) / held_out
    )
    table = pd.DataFrame(
        {
            "simulations": [int(size) for size in sizes],
            "nats": nats.mean(axis=(1, 2)),
            "error": np.sqrt(spread + nats.mean(axis=1).var(axis=1, ddof=1) / held_out),
            "gain": [np.nan, *steps.mean(axis=(1, 2))],
            "gain_error": [np.nan, *np.sqrt(paired)],
        }
    )
    own = nats.mean(axis=1) - nats.mean(axis=(0, 1))
    variance = spread + own.var(axis=1, ddof=1) / held_out
    return Advice(
        table,
        _gain_of_doubling(
            counts / counts[-1], own.mean(axis=1), variance, len(counts) * (repeats - 1)
        ),
        impossible=int(np.sum(~np.isfinite(nats).all(axis=(0, 1)))),
    )


def _smoothed(variances: np.ndarray, sizes: np.ndarray, freedom: int) -> np.ndarray:
    """Return the means of estimated variances (sizes,) and of a power law through them."""
    # The logarithm of an estimate is too small on average.
    logs = (
        np.log(np.maximum(variances, 1e-12))
        - special.digamma(freedom / 2.0)
        + np.log(freedom / 2.0)
    )
    trend = (
        np.polyval(np.polyfit(np.log(sizes), logs, 1), np.log(sizes)) if len(sizes) > 1 else logs
    )
    return 0.5 * (variances + np.exp(trend))


def _gain_of_doubling(
    sizes: np.ndarray, levels: np.ndarray, variance: np.ndarray, freedom: int
) -> Gain:
    """Return the gain of twice the last size (1), by power laws through levels with variances."""
    if len(sizes) < 3 or not np.all(np.isfinite(levels)) or not np.all(variance > 0.0):
        return Gain(np.nan, np.nan, np.nan)
    means = []
    sds = []
    log_weights = []
    for exponent in _EXPONENTS:
        # Weighted regression on n^-c, whose coefficient is b.
        design = np.stack([np.ones_like(sizes), sizes**-exponent], axis=1)
        precision = design.T @ (design / variance[:, None])
        coefficients = np.linalg.solve(precision, design.T @ (levels / variance))
        residual = levels - design @ coefficients
        share = 1.0 - 2.0**-exponent
        means.append(share * coefficients[1])
        sds.append(share * np.sqrt(np.linalg.inv(precision)[1, 1]))
        # Each exponent's prediction has the same prior: only the likelihood gives it weight.
        log_weights.append(-0.5 * np.sum(residual**2 / variance))
    weights = np.exp(np.array(log_weights) - max(log_weights))
    mixture = stats.t(freedom, np.array(means)[:, None], np.array(sds)[:, None])
    grid = np.linspace(np.min(mixture.ppf(0.01)), np.max(mixture.ppf(0.99)), 4_001)
    distribution = weights / weights.sum() @ mixture.cdf(grid)
    return Gain(*(float(np.interp(level, distribution, grid)) for level in _QUANTILES))
