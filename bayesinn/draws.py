"""Posterior draws with the warning that belongs to them."""

from __future__ import annotations

import numpy as np

_FLAG_LEVEL = 0.01


class Draws(dict[str, np.ndarray]):
    """A dict of name to draws (n_obs, draws, *event), or (draws, *event) for one observation without batch axis.

    Attributes
    ----------
    p_value : array (n_obs,), or a number
        How typical the observation is of the simulations that the network was trained on.
    out_of_distribution : boolean array (n_obs,), or a bool
        Whether the p-value is below 0.01: the posterior is then an extrapolation, and not to be trusted.
    """

    def __init__(self, values: dict[str, np.ndarray], p_value: np.ndarray) -> None:
        super().__init__(values)
        self.p_value = p_value

    @property
    def out_of_distribution(self) -> np.ndarray:
        """See the class."""
        return self.p_value < _FLAG_LEVEL
