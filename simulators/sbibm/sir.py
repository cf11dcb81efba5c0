"""SIR (sbibm T.9): rates of infection and recovery, from ten tests of a thousand people each.

    beta ~ LogNormal(log 0.4, 0.5),    gamma ~ LogNormal(log 0.125, 0.2)
    S' = -beta S I / N,    I' = beta S I / N - gamma I,    N = 10^6,    I(0) = 1,    S(0) = N - 1
    infected_k ~ Binomial(1000, I(17 k) / N),    k = 0 ... 9,    t in days

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

POPULATION = 1e6
TESTS = 1000
DAYS = 17 * np.arange(10)
# Shares of the population are off by less than 1e-3 of themselves for 99.9 % of the prior.
_STEPS_A_DAY = 1

PRIOR = {
    "beta": tfd.LogNormal(np.float32(np.log(0.4)), 0.5),
    "gamma": tfd.LogNormal(np.float32(np.log(0.125)), 0.2),
}


@tf.function(jit_compile=True, reduce_retracing=True)
def infected_share(parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return the infected share of the population on the ten days, (n, 10)."""
    beta = parameters["beta"]
    gamma = parameters["gamma"]
    # In logarithms, which grow in straight lines while few are infected.
    start = tf.math.log(tf.constant([1.0 - 1.0 / POPULATION, 1.0 / POPULATION], beta.dtype))

    def rate(logs: tf.Tensor) -> tf.Tensor:
        shares = tf.exp(logs)
        return tf.stack([-beta * shares[:, 1], beta * shares[:, 0] - gamma], axis=1)

    first = tf.tile(start[None], (tf.shape(beta)[0], 1))
    logs = integrate(rate, first, 1.0 / _STEPS_A_DAY, 17 * _STEPS_A_DAY, len(DAYS))
    return tf.exp(tf.transpose(logs[:, :, 1]))


def log_likelihood(
    parameters: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the log probability (n,) of counts, (10,) or (n, 10), for parameters (n,)."""
    exact = {name: tf.constant(parameters[name], tf.float64) for name in PRIOR}
    share = infected_share(exact).numpy()
    return stats.binom.logpmf(data["infected"], TESTS, share).sum(axis=-1)


@bi.simulator(
    prior=PRIOR,
    labels={"beta": r"$\beta$", "gamma": r"$\gamma$", "infected": "infected of 1,000"},
    units={"beta": "1/day", "gamma": "1/day", "infected": "people", "time": "days"},
    coordinates={"infected": DAYS},
    log_likelihood=log_likelihood,
)
def sbibm_sir(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Draw how many of a thousand people are infected, on ten days."""
    share = infected_share(parameters)
    counts = tf.random.stateless_binomial(
        tf.shape(share), seed, float(TESTS), share, output_dtype=tf.float32
    )
    return {"infected": counts}
