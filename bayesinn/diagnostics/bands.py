"""Simultaneous bands for the ECDF of uniform values, with their exact coverage.

Saeilynoja, Buerkner & Vehtari 2022, "Graphical test for discrete uniformity and its applications in
goodness-of-fit evaluation and multiple sample comparison", Statistics and Computing 32:32. At every
point the band is the central binomial interval of one common coverage, 1 - gamma, such that the
whole ECDF stays inside with probability ``level``. Counts below the points are a Poisson process
conditioned on its total, so that one convolution a point gives this probability: Moscovich & Nadler
2017, "Fast calculation of boundary crossing probabilities for Poisson processes", Statistics &
Probability Letters 123. Points are k increasing numbers between 0 and 1, ends excluded; size is the
number n of values.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special, stats

from bayesinn.core.errors import InputError, check_integer, check_type
from bayesinn.diagnostics.arrays import check_level

# Counts that are less probable than this at a point need not be followed.
_NEVER = 1e-15


@dataclass(frozen=True, eq=False, repr=False)
class Band:
    """Limits for the number of values below each point."""

    points: np.ndarray  #: (k,), increasing, between 0 and 1
    lower: np.ndarray  #: integers (k,), inside
    upper: np.ndarray  #: integers (k,), inside
    size: int  #: number n of values
    level: float  #: probability that n uniform values stay inside at all points
    gamma: float  #: one minus the coverage at each single point

    def contains(self, counts: np.ndarray) -> np.ndarray:
        """Return whether counts (..., k) stay inside at all points: a boolean array (...)."""
        return np.all((counts >= self.lower) & (counts <= self.upper), axis=-1)

    def __repr__(self) -> str:
        return (
            f"Band({100 * self.level:.1f} % over {len(self.points)} points, {self.size} values, "
            f"gamma={self.gamma:.3g})"
        )


@lru_cache(maxsize=64)
def simultaneous_band(points: tuple[float, ...], size: int, level: float) -> Band:
    """Find the narrowest band that n uniform values leave with probability <= 1 - level.

    The band has the same pointwise coverage at all points.

    >>> simultaneous_band((0.25, 0.5, 0.75), size=100, level=0.95)
    Band(95.0 % over 3 points, 100 values, gamma=0.0222)
    """
    check_level(level)
    _check_points(points, size)
    # Bonferroni bounds gamma from below; log scale, because gamma is small.
    low = math.log((1.0 - level) / len(points))
    high = 0.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        inside = _inside_probability(points, size, math.exp(middle)) >= level
        low, high = (middle, high) if inside else (low, middle)
    gamma = math.exp(low)
    band = Band(np.array(points), *_limits(points, size, gamma), size, level, gamma)
    for shared in (band.points, band.lower, band.upper):
        shared.setflags(write=False)  # the cache hands the same band to every caller
    return band


def band_p_values(
    counts: np.ndarray, points: tuple[float, ...], size: int, side: int = 0
) -> np.ndarray:
    """Return exact p-values (c,) of uniformity; the smallest is 1e-16.

    A p-value is one minus the smallest level whose band holds the counts.

    Counts are integers (c, k): how many of the n values of each column lie below each point. With
    ``side`` 1 or -1, only counts that are too large, or too small, are evidence.
    """
    _check_points(points, size)
    first, table = _pointwise(points, size)
    index = counts - first
    within = np.clip(index, 0, table.shape[1] - 1)
    pointwise = np.where(index == within, table[np.arange(len(points)), within], 0.0)
    if side:
        pointwise = np.where(side * (counts - size * np.array(points)) > 0.0, pointwise, 1.0)
    gammas = np.min(pointwise, axis=1)
    # The tail that holds the worst count has weight gamma / 2, which bounds the p-value where 1 - P
    # rounds to zero.
    exact = [
        max(1.0 - _inside_probability(points, size, gamma, side), 0.5 * gamma) for gamma in gammas
    ]
    return np.maximum(exact, 1e-16)


@lru_cache(maxsize=32)
def _pointwise(points: tuple[float, ...], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return first (k,) and p-values (k, width) of counts first + (0, ..., width - 1).

    The p-values are two-sided; beyond these counts, they are 0.
    """
    probability = np.array(points)
    mean = size * probability
    half = int(np.ceil(9.0 * np.sqrt(np.max(mean * (1.0 - probability))) + 30.0))
    width = min(size + 1, 2 * half + 1)
    first = np.clip(np.rint(mean).astype(int) - half, 0, size + 1 - width)
    counts = first[:, None] + np.arange(width)
    below = stats.binom.cdf(counts, size, probability[:, None])
    above = stats.binom.sf(counts - 1, size, probability[:, None])
    pointwise = np.minimum(2.0 * np.minimum(below, above), 1.0)
    # Equal by symmetry must be equal as numbers, and others apart by more than the bisection for
    # gamma resolves: so the band and the p-values agree on every sample.
    with np.errstate(divide="ignore"):
        return first, np.exp(np.round(np.log(pointwise), 9))


def _limits(points: tuple[float, ...], size: int, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    first, table = _pointwise(points, size)
    inside = table > gamma
    lower = first + np.argmax(inside, axis=1)
    from_the_end = np.argmax(inside[:, ::-1], axis=1)
    upper = first + table.shape[1] - 1 - from_the_end
    return lower, upper


def _inside_probability(points: tuple[float, ...], size: int, gamma: float, side: int = 0) -> float:
    """Return the probability that all pointwise p-values of n uniform values are above gamma.

    With ``side`` 1 or -1, p-values are small for counts that are too large, or too small, alone.
    """
    if gamma >= 1.0:
        return 0.0
    lower, upper = _limits(points, size, gamma)
    if side:
        widest = _limits(points, size, min(gamma, _NEVER))
        lower, upper = (widest[0], upper) if side > 0 else (lower, widest[1])
    rates = size * np.diff(points, prepend=0.0, append=1.0)
    # of the counts start, start + 1, ...
    start = 0
    weights = np.ones(1)
    for rate, low, high in zip(rates, [*lower, size], [*upper, size], strict=True):
        # Poisson weights beyond this length are below 1e-20.
        length = min(high - start + 1, int(rate + 12.0 * math.sqrt(rate) + 40.0))
        jumps = np.arange(max(length, 1))
        kernel = np.exp(special.xlogy(jumps, rate) - rate - special.gammaln(jumps + 1))
        reached = np.zeros(high - low + 1)
        inside = np.convolve(weights, kernel)[max(low - start, 0) : high - start + 1]
        offset = max(start - low, 0)
        reached[offset : offset + len(inside)] = inside
        start = low
        weights = reached
    return float(weights[0] / stats.poisson.pmf(size, size))


# More values than any ECDF needs; the band of more takes gigabytes.
_MOST_VALUES = 10**7


def _check_points(points: tuple[float, ...], size: int) -> None:
    check_integer("Number of values", size, most=_MOST_VALUES)
    kind = "numbers between 0 and 1"
    check_type("points of the ECDF", points, tuple, f"a tuple of {kind}", "pass (0.25, 0.5, 0.75)")
    if not points or not np.all(np.diff(points, prepend=0.0, append=1.0) > 0.0):
        raise InputError(
            "points of the ECDF",
            expected=f"increasing {kind}, ends excluded",
            got=f"points {tuple(points)[:5]}...",
            do="sort the points, leave out 0 and 1",
        )


# Blur: ranks among few draws show smaller errors than there are, and by how much.
#
# The rank of a truth among L draws is a noisy copy of the probability that a draw is below the
# truth. For a correct posterior both are uniform. Otherwise the noise hides a part of the error,
# the more the fewer draws there are.

# Scores of probabilities that count: those of truths farther away differ by nothing.
_SCORES = np.linspace(-8.0, 8.0, 321)
_SHIFTS = np.linspace(-6.0, 6.0, 121)
_SDS = np.geomspace(0.02, 20.0, 161)
# Places within a rank, in all ranks together; and the fewest within each.
_PLACES = 20_000
_FEWEST_PLACES = 4


@dataclass(frozen=True, eq=False)
class Blur:
    """What ranks show of normal errors.

    The probability that a draw is below the truth has a normal score, whose mean is the shift of a
    posterior, and whose standard deviation is the error of its spread. The scores of ranks have
    others.
    """

    means: np.ndarray  #: mean of the scores of ranks, for each of the shifts
    sds: np.ndarray  #: their standard deviation, for each of the errors of spread

    def shift(self, mean: np.ndarray) -> np.ndarray:
        """Return the shifts that means of scores of ranks stand for; inf where all are alike."""
        return np.interp(mean, self.means, _SHIFTS, left=-np.inf, right=np.inf)

    def sd(self, sd: np.ndarray) -> np.ndarray:
        """Return what standard deviations of scores of ranks stand for."""
        return np.interp(sd, self.sds, _SDS, left=0.0, right=np.inf)

    def shown_shift(self, shift: float) -> float:
        """Return the mean of scores of ranks of a shift."""
        return float(np.interp(shift, _SHIFTS, self.means))

    def shown_sd(self, sd: float) -> float:
        """Return the standard deviation of scores of ranks."""
        return float(np.interp(sd, _SDS, self.sds))


@lru_cache(maxsize=32)
def blur(draws: int) -> Blur:
    """Return the blur of ranks among a number of draws.

    Examples
    --------
    Of 10 draws, ranks show 88 % of a shift of 0.1 sd, and 56 % of a spread that is 5 % too wide.

    >>> round(blur(10).shown_shift(0.1), 3), round(blur(10).shown_sd(1.05), 3)
    (0.088, 1.028)
    >>> bool(abs(blur(10).sd(blur(10).shown_sd(0.5)) - 0.5) < 1e-3)
    True
    """
    count = max(_PLACES // (draws + 1), _FEWEST_PLACES)
    place = (np.arange(count) + 0.5) / count
    rank = np.arange(draws + 1.0)
    scores = special.ndtri((rank[:, None] + place) / (draws + 1.0))
    chances = stats.binom.pmf(rank, draws, special.ndtr(_SCORES)[:, None])
    first = chances @ scores.mean(axis=1)
    second = chances @ (scores**2).mean(axis=1)

    def expect(moment: np.ndarray, shift: np.ndarray, sd: np.ndarray) -> np.ndarray:
        true = shift[:, None] + sd[:, None] * _SCORES
        weights = stats.norm.pdf(_SCORES)
        return np.asarray(np.interp(true, _SCORES, moment) @ weights / weights.sum())

    means = expect(first, _SHIFTS, np.ones_like(_SHIFTS))
    sds = np.sqrt(expect(second, np.zeros_like(_SDS), _SDS))
    return Blur(means, sds)
