"""Test statistics of data (1 + draws, ...): observation, then replications; NaN where unobserved.

Replications may lack further values. Statistics are those of the values that are there, and NaN
where there are none.

Results are dicts of (column of the observable, statistic) to array (1 + draws,).
"""

import warnings
from collections.abc import Callable, Mapping

import numpy as np

from bayesinn.core.errors import InputError

#: A function of data sets (n, ...), row by row, that returns one number each: (n,).
Statistic = Callable[[np.ndarray], np.ndarray]

#: up to this many channels (last axis) are looked at one by one, more of them together
MOST_CHANNELS = 8
#: a single axis of more elements is a series: it is drawn as one, its autocorrelation of interest
FEW_ELEMENTS = 8


def default_statistics(name: str, data: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """Return the statistics that suit an observable's shape.

    Each of up to eight channels is a column of its own.
    """
    with_channels = data.ndim >= 3 and data.shape[-1] <= MOST_CHANNELS
    parts = (
        {f"{name}[{index}]": data[..., index] for index in range(data.shape[-1])}
        if with_channels
        else {name: data}
    )
    found: dict[tuple[str, str], np.ndarray] = {}
    with warnings.catch_warnings():
        # Of replications without a value.
        warnings.simplefilter("ignore", RuntimeWarning)
        for column, part in parts.items():
            found |= _statistics(column, part, with_channels)
    return found


def _statistics(
    column: str, part: np.ndarray, with_channels: bool
) -> dict[tuple[str, str], np.ndarray]:
    """Return the statistics of one column of an observable."""
    found = {}
    observed = ~np.isnan(part[0])
    values = part.reshape(len(part), -1)[:, observed.ravel()]
    if values.shape[1] == 1:
        found[column, "value"] = values[:, 0]
    elif values.shape[1] > 1:
        low, high = np.nanquantile(values, [0.025, 0.975], axis=0)
        there = np.sum(~np.isnan(values), axis=1)
        found[column, "mean"] = np.nanmean(values, axis=1)
        found[column, "standard deviation"] = np.nanstd(values, axis=1)
        found[column, "minimum"] = np.nanmin(values, axis=1)
        found[column, "maximum"] = np.nanmax(values, axis=1)
        if part.ndim > 1 and (with_channels or part.ndim > 2 or observed.sum() > FEW_ELEMENTS):
            found[column, "lag-one autocorrelation"] = _autocorrelation(part, observed)
        # Sums of fewer values are made comparable with that of all.
        deviations = np.nansum(_standardised(values) ** 2, axis=1)
        found[column, "discrepancy"] = deviations * (values.shape[1] / there)
        outside = np.sum((values < low) | (values > high), axis=1)
        found[column, "share outside 95 %"] = outside / there
    return found


def own_statistics(
    name: str, data: np.ndarray, statistics: Mapping[str, Statistic]
) -> dict[tuple[str, str], np.ndarray]:
    """Return the user's own statistics; each must be one finite number for each data set."""
    found = {}
    for label, function in statistics.items():
        values = np.asarray(function(data))
        numbers = values.dtype.kind in "biuf"
        if values.shape != (len(data),) or not numbers or not np.all(np.isfinite(values)):
            infinite = (
                ", NaN or infinite values" if numbers and not np.isfinite(values).all() else ""
            )
            raise InputError(
                f"statistic {label!r} of observable {name!r}",
                expected=f"one finite number for each data set of an array {data.shape}: shape "
                f"{(len(data),)}",
                got=f"shape {values.shape}, dtype {values.dtype}{infinite}",
                do="reduce all axes but the first, leaving out NaN, which marks what was not "
                "observed: np.nanmean, ...",
            )
        found[name, label] = values.astype(float)
    return found


def _standardised(values: np.ndarray) -> np.ndarray:
    """Return deviations (1 + draws, m) from the mean of all rows, in their sd.

    All rows are treated alike, so that ranks of the first one, the observation, are exact.
    """
    # Where all agree, their mean and deviation may differ from exact ones by rounding.
    least = np.fmin.reduce(values, axis=0)
    constant = least == np.fmax.reduce(values, axis=0)
    centre = np.where(constant, least, np.nanmean(values, axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = (values - centre) / np.where(constant, 0.0, np.nanstd(values, axis=0))
    return np.where(values == centre, 0.0, scaled)


def _autocorrelation(part: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return the lag-one autocorrelation (1 + draws,) along the first axis of data.

    It is 0 for constant data.
    """
    axes = tuple(range(1, part.ndim))
    there = ~np.isnan(part)
    count = there.sum(axis=axes)
    mean = np.nanmean(part, axis=axes, keepdims=True)
    centred = np.where(there, part - mean, 0.0)
    # Sums of fewer pairs and values are made comparable with those of all.
    pairs = np.sum(there[:, 1:] & there[:, :-1], axis=axes)
    product = np.sum(centred[:, 1:] * centred[:, :-1], axis=axes)
    product = product * (np.sum(observed[1:] & observed[:-1]) / np.maximum(pairs, 1))
    square = np.sum(centred**2, axis=axes) * (observed.sum() / np.maximum(count, 1))
    varies = square > 1e-24 * (observed.sum() * mean.ravel() ** 2)
    return np.divide(product, square, out=np.zeros_like(square), where=varies)
