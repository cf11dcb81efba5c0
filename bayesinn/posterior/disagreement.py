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
        # In units of a power of two, which changes no digit: in single precision, squares of huge
        # numbers would overflow, and those of tiny ones vanish.
        largest = np.max([np.abs(part[name]).max(axis=1, keepdims=True) for part in drawn], axis=0)
        _, exponent = np.frexp(largest)
        scaled = [np.ldexp(part[name], -exponent) for part in drawn]
        means = np.stack([np.mean(values, axis=1) for values in scaled])
        variances = np.stack([np.var(values, axis=1) for values in scaled])
        centre = np.average(means, axis=0, weights=weights)
        between = np.average((means - centre) ** 2, axis=0, weights=weights)
        # Means of a few draws differ by chance.
        sizes = np.array([values.shape[1] for values in scaled])
        chance = np.tensordot(weights * (1.0 - weights) / sizes, variances, axes=1)
        between = np.maximum(between - chance, 0.0)
        inside = np.average(variances, axis=0, weights=weights)
        shares[name] = between / np.maximum(between + inside, np.finfo(float).tiny)
    return shares
