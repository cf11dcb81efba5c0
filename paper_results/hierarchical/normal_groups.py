"""Normal groups of normal data, and their exact posterior.

    mean ~ Normal(0, 1),    sd ~ HalfNormal(1), or known,    level_j ~ Normal(mean, sd)
    y_jk ~ Normal(level_j, 1),    k = 1, ..., 4

Given the sd all is normal; an unknown sd is integrated over by a quadrature.
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.special import softmax

import bayesinn as bi

tfd = tfp.distributions

TRIALS = 4
KNOWN_SD = 0.7
FEWEST = 5
MOST = 50
# Nodes of Gauss and Legendre on [0, 8]: beyond lies 1e-15 of the prior. With half as many more, no
# moment changes by 1e-6.
NODES = 400
_HIGHEST = 8.0


def _measure(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    level = parameters["level"][:, None]
    return {"y": level + tf.random.stateless_normal((tf.shape(level)[0], TRIALS), seed)}


def _level(mean: tf.Tensor, sd: tf.Tensor) -> tfd.Distribution:
    return tfd.Normal(mean, sd)


known = bi.simulator(
    prior={
        "mean": tfd.Normal(0.0, 1.0),
        "level": lambda mean: tfd.Normal(mean, KNOWN_SD),
    },
    name="normal, known sd",
)(_measure)
unknown = bi.simulator(
    prior={
        "mean": tfd.Normal(0.0, 1.0),
        "sd": tfd.HalfNormal(1.0),
        "level": _level,
    },
    name="normal, unknown sd",
)(_measure)


def exact_moments(
    y: np.ndarray, sd: float | None = None, nodes: int = NODES
) -> dict[str, tuple[float, float]]:
    """Return posterior mean and sd of mean, sd and the first level, given y (groups, TRIALS)."""
    if sd is not None:
        scales = np.array([sd])
        weights = np.ones(1)
    else:
        points, shares = _quadrature(nodes)
        scales = _HIGHEST * (points + 1) / 2
        weights = shares * np.exp(-(scales**2) / 2)
    observed = y.astype(np.float64).mean(axis=1)
    noise = 1 / y.shape[1]
    # Of the observed means, given the population's mean.
    variance = scales**2 + noise
    precision = len(observed) / variance + 1
    centre = observed.sum() / variance / precision
    log_evidence = -0.5 * (
        len(observed) * np.log(variance)
        + (observed**2).sum() / variance
        - precision * centre**2
        + np.log(precision)
    )
    weights = softmax(log_evidence + np.log(weights))
    share = scales**2 / variance
    level = (1 - share) * centre + share * observed[0]
    level_variance = share * noise + (1 - share) ** 2 / precision
    return {
        "mean": _moments(weights, centre, 1 / precision),
        "sd": _moments(weights, scales, 0.0),
        "level": _moments(weights, level, level_variance),
    }


@functools.cache
def _quadrature(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(nodes)


def _moments(
    weights: np.ndarray, means: np.ndarray, variances: np.ndarray | float
) -> tuple[float, float]:
    """Return mean and sd of a mixture."""
    mean = weights @ means
    return float(mean), float(np.sqrt(weights @ (variances + (means - mean) ** 2)))


def sets_of(
    posterior: bi.HierarchicalPosterior, groups: int, count: int, seed: int
) -> dict[str, np.ndarray]:
    """Simulate data sets of so many groups: parameters, data (count, MOST, TRIALS), context."""
    simulator = posterior.simulator
    drawn = simulator.draw(count, seed)
    context = {"group_count": np.full(count, groups)}
    data = simulator.simulate(drawn.parameters, seed, context)
    return {**drawn.parameters, **data, **context}


def errors(
    posterior: bi.HierarchicalPosterior,
    rows: dict[str, np.ndarray],
    draws: int,
    seed: int,
    sd: float | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return errors of posterior means, in exact sds, and ratios of sds less one, by parameter."""
    data = {name: rows[name] for name in ("y", "group_count")}
    found = posterior.sample(data, draws=draws, seed=seed)
    exact = [
        exact_moments(y[:groups], sd)
        for y, groups in zip(data["y"], data["group_count"], strict=True)
    ]
    means = {}
    widths = {}
    for name, values in found.items():
        centre, width = np.array([moments[name] for moments in exact]).T
        means[name] = (values.mean(axis=1) - centre) / width
        widths[name] = values.std(axis=1) / width - 1
    return means, widths
