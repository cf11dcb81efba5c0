"""Posterior draws with the warning that belongs to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np

from bayesinn.posterior.typicality import FLAG_LEVEL, Typicality
from bayesinn.spaces.observations import Observations


def finite_predictions(
    predicted: Mapping[str, np.ndarray],
    observed: Mapping[str, np.ndarray],
    on_nonfinite: str,
    missing: bool = False,
) -> dict[str, np.ndarray] | None:
    """Return the predicted data (draws, ...) that are finite; None if faulty or too few.

    Fewer than two are too few. Observed data (...) are NaN where there is padding. ``on_nonfinite``
    is the simulator's policy. With "redraw" the prior excludes what the simulator can't simulate;
    the few posterior draws that lie there are left out. With "raise" they are a fault.

    With ``missing``, NaN is a missing value, as the simulator declares, and stays. Predictions with
    no value where an observable was observed can't be compared, and are left out.
    """
    faultless = np.ones(len(next(iter(predicted.values()))), bool)
    comparable = faultless.copy()
    for name, seen in observed.items():
        values = predicted[name][:, np.isfinite(seen)]
        faultless &= np.all(~np.isinf(values) if missing else np.isfinite(values), axis=1)
        comparable &= np.isfinite(values).any(axis=1) | (values.shape[1] == 0)
    kept = faultless & comparable
    if kept.sum() < 2 or (on_nonfinite == "raise" and not faultless.all()):
        return None
    return {name: values[kept] for name, values in predicted.items()}


class Draws(dict[str, np.ndarray]):
    """A dict of name to draws (n_obs, draws, *event), with p-values of the observations.

    For one observation without batch axis, draws are (draws, *event).

    Attributes
    ----------
    p_value : array (n_obs,), or a number
        How typical the observation is among the training simulations.
    unusual : array (n_obs,) of names, or a name
        The quantity in which it is least typical; see
        :class:`bayesinn.posterior.typicality.Reference`.
    out_of_distribution : boolean array (n_obs,), or a bool
        Whether the p-value is below 0.01. The posterior is then an extrapolation: don't trust it.
    """

    def __init__(
        self, values: dict[str, np.ndarray], p_value: np.ndarray, unusual: np.ndarray
    ) -> None:
        super().__init__(values)
        self.p_value = p_value
        self.unusual = unusual

    @classmethod
    def of(
        cls, values: Mapping[str, np.ndarray], typical: Typicality, observations: Observations
    ) -> Self:
        """Return values (n_obs, ...) with p-values, all in the form of the data."""
        return cls(
            observations.all_like_data(values),
            observations.like_data(typical.p_value),
            observations.like_data(typical.unusual),
        )

    @property
    def out_of_distribution(self) -> np.ndarray:
        return self.p_value < FLAG_LEVEL
