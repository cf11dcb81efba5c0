"""Learning curve: held-out nats by number of simulations, and the gain from twice as many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special, stats

from bayesinn.core.errors import InputError

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
    nats = np.asarray(nats, np.float64)
    numbers = np.asarray(sizes, np.float64)
    if (
        nats.ndim != 3
        or len(nats) != len(numbers)
        or min(nats.shape[1:]) < 2
        or np.any(np.diff(numbers) <= 0)
    ):
        raise InputError(
            "Learning curve",
            expected="an array (sizes, repeats, held out), two or more of each of the latter, and "
            "increasing sizes",
            got=f"shape {nats.shape}, sizes {list(sizes)}",
            do="repeat each size two times or more",
        )
    repeats, held_out = nats.shape[1:]
    spread = _smoothed(nats.mean(axis=2).var(axis=1, ddof=1), numbers, repeats - 1) / repeats
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
        _gain(numbers / numbers[-1], own.mean(axis=1), variance, len(numbers) * (repeats - 1)),
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


def _gain(sizes: np.ndarray, levels: np.ndarray, variance: np.ndarray, freedom: int) -> Gain:
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
