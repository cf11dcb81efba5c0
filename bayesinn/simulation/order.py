"""Whether the rows of an observable have an order: a test on simulations."""

import itertools
from collections.abc import Mapping

import numpy as np

from bayesinn.core.labels import columns

_FEWEST_SIMULATIONS = 200
_MOST_NUMBERS = 2_000_000
_MOST_CHANNELS = 8
_LAGS = (1, 2)
_LEVEL = 0.01


def has_order(
    values: np.ndarray, parameters: Mapping[str, np.ndarray], generator: np.random.Generator
) -> bool | None:
    """Tell whether the rows of an observable (n, rows) or (n, rows, channels) have an order.

    Of exchangeable rows, each has a random rank in its own simulation, whatever the parameters, and
    neighbours are as alike as any two. So the mean rank at each place, its distance from the
    middle, the products of both with the parameters, and those of neighbours are tested, at a level
    of 1 % together. Ties are broken at random. None if this can't be told: too few simulations,
    very many channels, missing values, or equal ones.
    """
    import scipy.stats

    values = values.reshape(*values.shape[:2], -1)
    values = values[: max(_MOST_NUMBERS // values[0].size, 1)]
    simulations, rows, channels = values.shape
    if (
        simulations < _FEWEST_SIMULATIONS
        or rows <= max(_LAGS)
        or channels > _MOST_CHANNELS
        or not np.isfinite(values).all()
        or np.all(values == values[:, :1])
    ):
        return None
    keys = generator.random(values.shape)
    ranks = np.lexsort((keys, values), axis=1).argsort(axis=1) - (rows - 1) / 2.0
    spread = np.abs(ranks)
    # Centred in each simulation, as all ranks are there.
    series = np.concatenate([ranks, spread - spread.mean(axis=1, keepdims=True)], axis=2)
    places = series.reshape(simulations, -1)
    inputs = [
        scipy.stats.rankdata(column[:simulations])
        for column in columns(parameters, batch_ndim=1).values()
    ]
    one = np.ones((simulations, 1))
    z = [_z(places, scale) for scale in (one, scipy.stats.zscore(np.transpose(inputs)))]
    for first, second in itertools.product(range(series.shape[2]), repeat=2):
        before = series[..., first]
        after = series[..., second]
        # The mean over all pairs of different rows: sums of centred numbers are zero.
        any_two = -(before * after).sum(axis=1) / (rows * (rows - 1))
        near = [(before[:, :-lag] * after[:, lag:]).mean(axis=1) - any_two for lag in _LAGS]
        z.append(_z(np.transpose(near), one))
    tested = np.concatenate([np.ravel(part) for part in z])
    limit = scipy.stats.norm.isf(0.5 * _LEVEL / len(tested))
    return bool(np.nanmax(np.abs(tested), initial=0.0) > limit)


def _z(numbers: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return the means of products of columns (n, a) and (n, b), in standard errors, (a, b)."""
    mean = numbers.T @ factors / len(numbers)
    variance = (numbers**2).T @ factors**2 / len(numbers) - mean**2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(len(numbers)) * mean / np.sqrt(np.maximum(variance, 0.0))


def advice_on_order(name: str, rows: int) -> str:
    """Say what to do where no order was seen."""
    return (
        f"If its {rows} rows are exchangeable, such as trials, pass summary={{{name!r}: "
        "bi.summaries.DeepSet()}, or --summary deep-set on the command line: a set is learned from "
        f"fewer simulations. If they have an order, declare coordinates={{{name!r}: places}}, or "
        "pass the network yourself."
    )
