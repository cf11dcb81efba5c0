"""How far the members of an ensemble disagree about the parameters of some data sets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayesinn.simulation.simulator import Arrays

#: Share of a parameter's variance between members above which they disagree.
DISAGREEMENT = 0.2


def share_between(drawn: Sequence[Arrays], weights: np.ndarray) -> Arrays:
    """Return the share (n, *event) of each parameter's variance that lies between members.

    ``drawn`` are draws (n, draws, *event) of each member.
    """
    shares = {}
    for name in drawn[0]:
        means = np.stack([np.mean(part[name], axis=1) for part in drawn])
        variances = np.stack([np.var(part[name], axis=1) for part in drawn])
        centre = np.average(means, axis=0, weights=weights)
        between = np.average((means - centre) ** 2, axis=0, weights=weights)
        # Means of a few draws differ by chance.
        sizes = np.array([part[name].shape[1] for part in drawn])
        chance = np.tensordot(weights * (1.0 - weights) / sizes, variances, axes=1)
        between = np.maximum(between - chance, 0.0)
        inside = np.average(variances, axis=0, weights=weights)
        shares[name] = between / np.maximum(between + inside, np.finfo(float).tiny)
    return shares
