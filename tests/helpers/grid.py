"""Exact moments of a posterior of three parameters, on a grid refined where the posterior is."""

import numpy as np

# A point with a smaller share of the largest marginal doesn't count.
_LEAST = 1e-7


def moments(log_density, low, high, size=40):
    """Return mean and sd (3,) of an unnormalised log density of (m, 1, 1), (m, 1), (m,).

    The arguments are arrays; bounds are given.

    The bounds must be those of the support, or wide enough for all of the posterior.
    """
    edges = np.array([low, high], float)
    bounds = edges.copy()
    for _ in range(4):
        step = (bounds[1] - bounds[0]) / size
        axes = [
            start + width * (np.arange(size) + 0.5)
            for start, width in zip(bounds[0], step, strict=True)
        ]
        values = log_density(axes[0][:, None, None], axes[1][:, None], axes[2])
        share = np.exp(values - values.max())
        marginals = [share.sum(axis=tuple({0, 1, 2} - {axis})) / share.sum() for axis in range(3)]
        for axis, (places, weights) in enumerate(zip(axes, marginals, strict=True)):
            kept = places[weights > _LEAST * weights.max()]
            # Between the points left out and those kept there may be more.
            bounds[0, axis] = max(kept[0] - 1.5 * step[axis], edges[0, axis])
            bounds[1, axis] = min(kept[-1] + 1.5 * step[axis], edges[1, axis])
    mean = np.array([weights @ places for places, weights in zip(axes, marginals, strict=True)])
    squares = [
        weights @ (places - m) ** 2
        for places, weights, m in zip(axes, marginals, mean, strict=True)
    ]
    return mean, np.sqrt(squares)
