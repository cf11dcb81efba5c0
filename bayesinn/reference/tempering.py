"""Steps of tempering: temperatures, resampling, how far particles have moved, rounding errors."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

# In nats. Larger steps of log densities in single precision change posteriors.
MOST_ROUNDING = 0.25
_SMALLEST_LOG_STEP = -100.0


def next_temperature(
    log_likelihood: np.ndarray, temperature: float, ess: float
) -> tuple[float, np.ndarray, float]:
    """Return the next temperature, normalised weights, and the log of their unnormalised mean.

    The effective sample size falls to the share ``ess`` of all particles, if the way is so long.
    """
    values = log_likelihood.astype(np.float64)

    def log_excess(step: float) -> float:
        """Return the log of the effective size after a step, relative to the one wanted."""
        log_size = 2.0 * logsumexp(step * values) - logsumexp(2.0 * step * values)
        return float(log_size - np.log(len(values) * ess))

    def of_log_step(log_step: float) -> float:
        return log_excess(np.exp(log_step))

    left = 1.0 - temperature
    step = left
    if log_excess(left) < 0.0:
        # Steps may be smaller than any absolute tolerance: log likelihoods of single draws may
        # differ by 1e14.
        step = float(np.exp(brentq(of_log_step, _SMALLEST_LOG_STEP, np.log(left))))
    upper = 1.0 if step == left else temperature + step
    total = logsumexp(step * values)
    return upper, np.exp(step * values - total), float(total - np.log(len(values)))


def systematic(weights: np.ndarray, uniform: float, count: int | None = None) -> np.ndarray:
    """Return rows, each as often as its expected number, rounded up or down; by default n of n."""
    count = len(weights) if count is None else count
    positions = (np.arange(count) + uniform) / count
    return np.minimum(np.searchsorted(np.cumsum(weights), positions), len(weights) - 1)


def relative_variance(roots: np.ndarray) -> float:
    """Return the relative variance of an evidence, from the first particles of the last ones.

    ``roots`` (n,) are the numbers of the first particles that the last ones descend from. The
    estimate of Lee and Whiteley (2018), without what multinomial resampling would add: it is a
    little too large for systematic resampling.

    Examples
    --------
    >>> relative_variance(np.arange(4)), relative_variance(np.array([3, 3, 3, 3]))
    (0.0, 0.75)
    """
    shares = np.bincount(roots) / len(roots)
    return float(np.sum(shares**2)) - 1.0 / len(roots)


def mean_correlation(start: np.ndarray, now: np.ndarray) -> float:
    """Return the mean correlation of vectors (n, d) with those at the start, over the elements."""
    first = start - start.mean(axis=0)
    second = now - now.mean(axis=0)
    scale = np.sqrt(np.sum(first**2, axis=0) * np.sum(second**2, axis=0))
    return float(np.mean(np.sum(first * second, axis=0) / np.maximum(scale, 1e-30)))


def rounding(log_density: np.ndarray) -> float:
    """Return the distance of neighbouring numbers in single precision at the highest density.

    Examples
    --------
    >>> rounding(np.array([-30.0, -1e8]))
    1.9073486328125e-06
    """
    return float(abs(np.spacing(np.float32(log_density.max()))))
