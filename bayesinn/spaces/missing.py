"""More missing values than simulations have: the posterior extrapolates, and a warning says so."""

from __future__ import annotations

import numpy as np
from scipy import special

from bayesinn.core.masks import broadcast_mask, padding
from bayesinn.core.warning import warn
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import Observations

# Probability with which simulations lose as many values as an observation that is warned of, or
# more; for several observations, that any does.
_RARE = 1e-3
# Shares that are averaged over.
_SHARES = 200


def warn_of_missing(simulator: Simulator, observations: Observations) -> None:
    """Warn of observations that lack more values than simulations with ``missing=share`` do.

    Where the simulator itself decides what is missing, nothing is known.
    """
    if not simulator.missing:
        return
    lost = np.zeros(observations.count, int)
    size = np.zeros(observations.count, int)
    for name in simulator.observable_shapes:
        value = observations.arrays[name]
        there = np.ones(value.shape, bool)
        if name in simulator.lengths:
            beyond = padding(value, observations.arrays[simulator.lengths[name]])
            there &= ~broadcast_mask(beyond, value)
        axes = tuple(range(1, value.ndim))
        lost += np.sum(there & np.isnan(value), axis=axes)
        size += np.sum(there, axis=axes)
    # The share of a simulation is uniform up to the declared one.
    shares = simulator.missing * (np.arange(_SHARES) + 0.5) / _SHARES
    more = special.bdtrc(lost[:, None] - 1, size[:, None], shares).mean(axis=1)
    rare = np.flatnonzero(more < _RARE / observations.count)
    if len(rare):
        worst = rare[np.argmin(more[rare])]
        which = f" of observation {worst}" if observations.batched else ""
        others = f", and too many of {len(rare) - 1} others" if len(rare) > 1 else ""
        warn(
            f"{lost[worst]} of {size[worst]} values{which} are missing{others}, where simulations "
            f"lose up to {simulator.missing:.0%} of theirs: the posterior is an extrapolation. "
            "Declare a larger share, missing=..., and train with it."
        )
