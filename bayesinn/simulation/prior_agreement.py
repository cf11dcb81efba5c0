"""Whether arrays can be draws from a prior: a posterior learns that of its training data."""

from collections.abc import Mapping

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.labels import columns
from bayesinn.core.warning import warn
from bayesinn.simulation.prior import Prior

_DRAWS = 20_000
_LEVELS = (0.05, 0.5, 0.95)
# A shift by a quarter of a standard deviation, of Gaussians. What fails and is drawn again, or the
# last digit of rounded numbers, moves distribution functions less.
_DISTANCE = 0.1
_CHANCE = 1e-6


class PriorWarning(UserWarning):
    """Arrays to train on contradict the declared prior."""


def warn_of_other_prior(prior: Prior, rows: Mapping[str, np.ndarray]) -> None:
    """Warn of parameters (n, *event) whose distribution is not the prior's, by quantiles.

    One warning shows the farthest number of each parameter, and counts the others.
    """
    drawn = prior.sample(_DRAWS, seeds.tensor_seed(0, "prior"))
    for name in prior.names:
        expected = columns({name: drawn[name].numpy()}, 1)
        given = columns({name: rows[name]}, 1)
        other = {}
        for part, values in given.items():
            distance, p_value = _distance(values, expected[part])
            if distance > _DISTANCE and p_value < _CHANCE:
                other[part] = distance
        if other:
            farthest = max(other, key=other.__getitem__)
            own = _quantiles(given[farthest])
            theirs = _quantiles(expected[farthest])
            more = f", the farthest of {len(other)} numbers" if len(other) > 1 else ""
            warn(
                f"training data contradict the prior of {farthest!r}{more}: their 5, 50 and 95 % "
                f"quantiles are {own}, the prior's are {theirs}. The posterior learns the prior of "
                "its training data: declare the one that these were drawn from",
                PriorWarning,
            )


def _distance(values: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Return the distance of two distribution functions, and its p-value."""
    # Here, as declaring a model needs no statistics.
    from scipy import stats

    # In the precision of draws, or numbers that are equal but for rounding would differ.
    found = stats.ks_2samp(values.astype(np.float32), expected, method="asymp")
    return float(found.statistic), float(found.pvalue)


def _quantiles(values: np.ndarray) -> str:
    return ", ".join(f"{value:.4g}" for value in np.quantile(values, _LEVELS))
