"""P-values of the hypothesis that an error is within its tolerance; valid for few simulations, too.

Of intervals that hold with 95 % each, one of twenty does not. "Outside" must be safe for all errors
of a diagnosis together. So each is tested far out in the tail of its estimate, which is not normal
with few simulations. Each function takes what was measured and a tolerance, and returns p-values
(k,), each column by itself.
"""

import numpy as np
from scipy import special, stats

from bayesinn.diagnostics.bands import band_p_values

# Bounds of missing sharpness lie below -t with a probability of exp(-t) at most, whatever the
# posterior. What lies below -4 is cut, which adds less than exp(-4) = 0.02 nats to their mean.
_CUT = 4.0
# Stakes of the bets, as shares of the largest that no single loss can ruin; from bold to careful.
_STAKES = 0.98 * 1.5 ** -np.arange(14.0)


def of_mean(values: np.ndarray, tolerance: float) -> np.ndarray:
    """Judge means of values (n, k) by Student's t.

    The test is exact for normal values, as scores of a correct posterior are.
    """
    freedom = len(values) - 1
    error = _error_of_mean(values)
    near, far = (
        _ratio(np.abs(values.mean(axis=0)) + part, error) for part in (-tolerance, tolerance)
    )
    return np.minimum(stats.t.sf(near, freedom) + stats.t.sf(far, freedom), 1.0)


def of_excess(values: np.ndarray, tolerance: float) -> np.ndarray:
    """Judge means of values (n, k) by Student's t, where only a positive mean is an error."""
    return np.asarray(
        stats.t.sf(_ratio(values.mean(axis=0) - tolerance, _error_of_mean(values)), len(values) - 1)
    )


def of_spread(
    sd: np.ndarray, error: np.ndarray, size: int, least: float, most: float
) -> np.ndarray:
    """Judge standard deviations (k,) of ``size`` values, which may be from ``least`` to ``most``.

    They are one for a correct posterior.

    ``error`` is the standard error of their logarithms. The result is the larger of two p-values:
    by chi-square, exact for normal values, and by Student's t with ``error``, which knows the tails
    of values that are not normal.
    """
    freedom = size - 1
    wide = sd > 1.0
    exact = np.where(
        wide,
        _chance_of_wide(sd, freedom, least, most),
        _chance_of_narrow(sd, freedom, least, most),
    )
    # In standard errors of the logarithm, from the nearer end of what is allowed.
    distance = np.where(wide, np.log(sd / most), np.log(least / sd)) / error
    allowed = np.log(most / least) / error
    rough = stats.t.sf(distance, freedom) + stats.t.sf(distance + allowed, freedom)
    return np.minimum(np.maximum(exact, rough), 1.0)


def _chance_of_wide(sd: np.ndarray, freedom: int, least: float, most: float) -> np.ndarray:
    """Return how probable an ``sd`` above one is at least, by chi-square, if ``most`` is true."""
    beyond_most = stats.chi2.sf(freedom * (sd / most) ** 2, freedom)
    # Chance may also cross the other end, by as much.
    mirrored = stats.chi2.ppf(beyond_most, freedom) * (least / most) ** 2
    return np.asarray(beyond_most + stats.chi2.cdf(mirrored, freedom))


def _chance_of_narrow(sd: np.ndarray, freedom: int, least: float, most: float) -> np.ndarray:
    """Return how probable an ``sd`` below one is at least, by chi-square, if ``least`` is true."""
    beyond_least = stats.chi2.cdf(freedom * (sd / least) ** 2, freedom)
    mirrored = stats.chi2.isf(beyond_least, freedom) * (most / least) ** 2
    return np.asarray(beyond_least + stats.chi2.sf(mirrored, freedom))


def of_distribution(
    counts: np.ndarray, points: np.ndarray, size: int, tolerance: float
) -> np.ndarray:
    """Judge the largest distance of distribution functions from the uniform one; exact.

    The tolerance is in percentage points.

    Of all functions that lie no more than the tolerance above the uniform one, that which does so
    everywhere gives the largest counts (k, points). How probable these are is known: they are those
    of uniform values at shifted points.
    """
    move = tolerance / 100.0
    result = np.ones(len(counts))
    for side in (1, -1):
        moved = points + side * move
        kept = (moved > 0.0) & (moved < 1.0)
        seen = counts[:, kept]
        beyond = np.any(side * (seen - size * moved[kept]) > 0.0, axis=1)
        if beyond.any():
            p_values = band_p_values(seen[beyond], tuple(map(float, moved[kept])), size, side)
            result[beyond] = np.minimum(result[beyond], 2.0 * p_values)
    return result


def of_median(values: np.ndarray, tolerance: float) -> np.ndarray:
    """Judge the median of values (n,) by signs, whatever their distribution: exact."""
    most = max(np.sum(values > tolerance), np.sum(values < -tolerance))
    return np.minimum(2.0 * stats.binom.sf(np.array([most]) - 1, len(values), 0.5), 1.0)


def of_missing_nats(values: np.ndarray, most: float, tolerance: float) -> np.ndarray:
    """Judge the mean of values (n,) of at most ``most``.

    The mean of ``exp(-values)`` is known to be one at most. The test is valid for any number of
    values and any distribution: the gain from bets on a larger mean is a number that no luck makes
    large (Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting",
    Journal of the Royal Statistical Society B 86, arXiv:2010.09686).
    """
    mean = tolerance + _CUT + np.exp(-_CUT)
    if mean >= most + _CUT:
        return np.ones(1)
    gains = np.log1p(_STAKES[:, None] * (np.maximum(values, -_CUT) + _CUT - mean) / mean).sum(
        axis=1
    )
    return np.exp(np.minimum(np.log(len(_STAKES)) - special.logsumexp(gains, keepdims=True), 0.0))


def _error_of_mean(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.std(axis=0, ddof=1) / np.sqrt(len(values)))


def _ratio(distance: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return distances in standard errors; infinite where nothing varies."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(distance / error, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
