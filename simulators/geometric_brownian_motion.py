"""Geometric Brownian motion of three prices: 99 steps, whose sum alone informs about the drift.

    b ~ Uniform(-1, 1)^3,    S = [[0.5, 0.1, 0], [0, 0.1, 0.3], [0, 0, 0.2]],    price_0 = 10
    log price_t = log price_{t-1} + (b - k) / 99 + S e_t / sqrt(99),    e_t ~ Normal(0, I)

with k_j half the sum of squares of column j of S. The posterior given the total log return r is
Normal(r + k, S S^T), cut to the prior's box.

Source: Dyer, Cannon, Farmer and Schmon (2024), Black-box Bayesian inference for agent-based models,
Journal of Economic Dynamics and Control 161.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special

import bayesinn as bi
from bayesinn.core.errors import InputError, warn

tfd = tfp.distributions

STEPS = 99
START = 10.0
BOUND = 1.0
VOLATILITY = np.array([[0.5, 0.1, 0.0], [0.0, 0.1, 0.3], [0.0, 0.0, 0.2]])
SHIFT = 0.5 * np.sum(VOLATILITY**2, axis=0)
TRUTH = (0.2, -0.5, 0.0)

# Proposals for each exact draw, which are resampled.
_PROPOSALS_A_DRAW = 20
# A tenth of the draws: fewer effective ones, which simulated data do not have, are told.
_LEAST_EFFECTIVE_SHARE = 0.1
_SMALLEST = np.finfo(np.float64).tiny


def log_likelihood(parameters: Mapping[str, tf.Tensor], data: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return the log density (n,) of prices, (99, 3) or (n, 99, 3), for drifts (n, 3); double."""
    prices = tf.math.log(tf.cast(data["price"], tf.float64))
    first = tf.fill(tf.shape(prices[..., :1, :]), tf.constant(math.log(START), tf.float64))
    increments = prices - tf.concat([first, prices[..., :-1, :]], axis=-2)
    mean = (tf.cast(parameters["b"], tf.float64) - SHIFT)[:, None] / STEPS
    white = tf.linalg.matvec(np.linalg.inv(VOLATILITY), increments - mean) * math.sqrt(STEPS)
    log_det = math.log(np.linalg.det(VOLATILITY)) - 1.5 * math.log(STEPS)
    normaliser = STEPS * (1.5 * math.log(2.0 * math.pi) + log_det)
    jacobian = tf.reduce_sum(prices, axis=(-1, -2))
    return -0.5 * tf.reduce_sum(white**2, axis=(-1, -2)) - normaliser - jacobian


def posterior_moments(price: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (3,) and covariance (3, 3) of the posterior before the prior's box cuts it."""
    total = np.log(np.asarray(price, np.float64)[-1] / START)
    return total + SHIFT, VOLATILITY @ VOLATILITY.T


def exact(data: Mapping[str, np.ndarray], draws: int, seed: int) -> dict[str, np.ndarray]:
    """Draw b (draws, 3) from the exact posterior of one observation.

    One drift after the other is drawn inside the box, given those before; weights, the shares of
    each normal law inside, are made up for by resampling. A warning says when few have all weight.

    Raises
    ------
    InputError
        When the observation lies too far outside of what the prior's box allows.
    """
    generator = np.random.default_rng(seed)
    mean, covariance = posterior_moments(np.reshape(data["price"], (STEPS, 3)))
    root = np.linalg.cholesky(covariance)
    count = _PROPOSALS_A_DRAW * draws
    white = np.zeros((count, 3))
    weights = np.ones(count)
    for axis in range(3):
        centre = mean[axis] + white @ root[axis]
        start = (-BOUND - centre) / root[axis, axis]
        end = (BOUND - centre) / root[axis, axis]
        # Shares in the upper tail are differences of numbers near one: the lower tail is precise.
        mirrored = start > 0.0
        low = special.ndtr(np.where(mirrored, -end, start))
        high = special.ndtr(np.where(mirrored, -start, end))
        weights *= high - low
        share = low + generator.uniform(size=count) * (high - low)
        drawn = special.ndtri(np.maximum(share, _SMALLEST))
        white[:, axis] = np.where(mirrored, -drawn, drawn)
    largest = weights.max()
    if not largest > 0.0:
        total = mean - SHIFT
        raise InputError(
            "Observation 'price' of 'geometric_brownian_motion'",
            expected="log returns that drifts between -1 and 1 can explain",
            got=f"({total[0]:g}, {total[1]:g}, {total[2]:g})",
            do="simulate data: geometric_brownian_motion.sample(1, seed=1)['price'][0]",
        )
    weights /= largest
    effective_size = weights.sum() ** 2 / np.sum(weights**2)
    if effective_size < _LEAST_EFFECTIVE_SHARE * draws:
        warn(
            f"exact draws of 'geometric_brownian_motion' are few: {draws:,} were asked for, and "
            f"their effective size is {effective_size:.0f}, as the log returns are far from what "
            "its prior allows"
        )
    rows = generator.choice(count, draws, p=weights / weights.sum())
    return {"b": np.clip(mean + white[rows] @ root.T, -BOUND, BOUND)}


@bi.simulator(
    prior={"b": tfd.Uniform(-BOUND * tf.ones(3), BOUND * tf.ones(3))},
    labels={"b": "$b$", "price": "price"},
    coordinates={"price": np.arange(1, STEPS + 1)},
    log_likelihood=log_likelihood,
    exact=exact,
)
def geometric_brownian_motion(
    parameters: dict[str, tf.Tensor], seed: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Simulate three prices over 99 steps."""
    drift = parameters["b"]
    noise = tf.random.stateless_normal((tf.shape(drift)[0], STEPS, 3), seed)
    volatility = tf.constant(VOLATILITY / math.sqrt(STEPS), drift.dtype)
    steps = (drift - tf.constant(SHIFT, drift.dtype))[:, None] / STEPS
    steps += tf.linalg.matvec(volatility, noise)
    return {"price": START * tf.exp(tf.cumsum(steps, axis=1))}
