"""Lotka-Volterra (sbibm T.10): four rates of predators and prey, from ten noisy counts of each.

    alpha, gamma ~ LogNormal(-0.125, 0.5),    beta, delta ~ LogNormal(-3, 0.5)
    X' = alpha X - beta X Y,    Y' = -gamma Y + delta X Y,    X(0) = 30,    Y(0) = 1
    prey_k ~ LogNormal(log X(2.1 k), 0.1),    predators_k ~ LogNormal(log Y(2.1 k), 0.1)

k = 0 ... 9; X and Y are first clipped to 10^-10 ... 10^4.

Source: Lueckmann et al. (2021), Benchmarking simulation-based inference, arXiv:2101.04653.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import bayesinn as bi

from .runge_kutta import integrate

tfd = tfp.distributions

TIMES = 2.1 * np.arange(10)
START = (30.0, 1.0)
NOISE = 0.1
SMALLEST = 1e-10
LARGEST = 1e4
SPECIES = ("prey", "predators")
# Steps from one time to the next: logarithms are off by 0.001 at most for 99.9 % of the prior.
_STEPS = 105

PRIOR = {
    "alpha": tfd.LogNormal(-0.125, 0.5),
    "beta": tfd.LogNormal(-3.0, 0.5),
    "gamma": tfd.LogNormal(-0.125, 0.5),
    "delta": tfd.LogNormal(-3.0, 0.5),
}


@tf.function(jit_compile=True, reduce_retracing=True)
def log_populations(parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return the logarithms of prey and predators at the ten times, (n, 10, 2)."""
    alpha, beta, gamma, delta = (parameters[name] for name in PRIOR)
    start = tf.math.log(tf.constant(START, alpha.dtype))

    def rate(logs: tf.Tensor) -> tf.Tensor:
        animals = tf.exp(logs)
        return tf.stack([alpha - beta * animals[:, 1], delta * animals[:, 0] - gamma], axis=1)

    first = tf.tile(start[None], (tf.shape(alpha)[0], 1))
    logs = integrate(rate, first, 2.1 / _STEPS, _STEPS, len(TIMES))
    bounds = np.log([SMALLEST, LARGEST])
    return tf.transpose(tf.clip_by_value(logs, bounds[0], bounds[1]), (1, 0, 2))


def log_likelihood(
    parameters: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the log density (n,) of counts, each (10,) or (n, 10), for parameters (n,)."""
    exact = {name: tf.constant(parameters[name], tf.float64) for name in PRIOR}
    mean = log_populations(exact).numpy()
    counts = np.stack([np.asarray(data[name], np.float64) for name in SPECIES], axis=-1)
    logs = np.log(counts)
    density = stats.norm.logpdf(logs, mean, NOISE) - logs
    return density.sum(axis=(-1, -2))


@bi.simulator(
    prior=PRIOR,
    labels={**{name: rf"$\{name}$" for name in PRIOR}, "prey": "$X$", "predators": "$Y$"},
    coordinates=dict.fromkeys(SPECIES, TIMES),
    log_likelihood=log_likelihood,
)
def lotka_volterra(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Draw noisy counts of prey and predators at ten times."""
    mean = log_populations(parameters)
    counts = tf.exp(mean + NOISE * tf.random.stateless_normal(tf.shape(mean), seed))
    return {"prey": counts[..., 0], "predators": counts[..., 1]}
