"""What standardises unconstrained parameters: means and standard deviations of prior draws."""

import numpy as np

# Standard deviations of a normal distribution in its interquartile range.
_QUARTILES = 1.349
# Largest scale, in standard deviations of the normal distribution with the same quartiles.
_MOST = 3.0
_SMALLEST = 1e-6


def moments(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means and scales (d,) of numbers (n, d), of any unit; the scale of constants is 1e-6.

    Scales are standard deviations. Where these are far larger than the quartiles say, as with a
    Cauchy distribution, the farthest draws decide them and the mean: scales are then made of the
    quartiles, and the median is the mean.

    Examples
    --------
    >>> mean, scale = moments(np.array([[0.0], [2.0], [4.0]]))
    >>> float(mean[0]), round(float(scale[0]), 3)
    (2.0, 1.633)
    """
    mean = np.mean(raw, axis=0)
    deviation = np.std(raw, axis=0)
    low, median, high = np.quantile(raw, (0.25, 0.5, 0.75), axis=0)
    most = _MOST * (high - low) / _QUARTILES
    heavy = (most > 0.0) & (deviation > most)
    mean = np.where(heavy, median, mean)
    scale = np.where(heavy, most, deviation)
    varies = scale > _SMALLEST * np.abs(mean)
    scale = np.where((scale > _SMALLEST) | varies, scale, _SMALLEST)
    return mean.astype(np.float32), scale.astype(np.float32)
