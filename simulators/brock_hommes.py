"""Brock and Hommes: traders of four beliefs, whose shares follow the profits of each.

x is the distance of a price from its fundamental value. Belief h expects g_h x + b_h:

    profit_h = (x_{t-1} - R x_{t-2}) (g_h x_{t-3} + b_h - R x_{t-2})
    share_h = softmax_h(beta profit_h)
    x_t = (sum_h share_h (g_h x_{t-1} + b_h) + sigma e_t) / R,    e_t ~ Normal(0, 1)

with R = 1.01, sigma = 0.04 and x = 0 before the 97 steps that are observed. The first belief is
g = b = 0, the fourth g = 1.01, b = 0; those of the second and third are inferred. Given its past a
price is normal: the likelihood is exact.

``brock_hommes``: Brock and Hommes: traders of four beliefs, who switch slowly between them.
``brock_hommes_switching``: The same with traders who switch at once, so that prices swing widely.

In the first beta is 10, and noise hides most about the trends g; in the second it is 120.

Source: Brock and Hommes (1998), Journal of Economic Dynamics and Control 22; tasks of Platt (2020),
same journal, 113, and Dyer, Cannon, Farmer and Schmon (2024), same journal, 161.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

tfd = tfp.distributions

STEPS = 97
INTEREST = 1.01
NOISE = 0.04
CALM = 10.0
SWITCHING = 120.0
TRUTH = {"g2": -0.7, "b2": -0.4, "g3": 0.5, "b3": 0.3}
SWITCHING_TRUTH = {"g2": 0.9, "b2": 0.2, "g3": 0.9, "b3": -0.2}

_NAMES = ("g2", "b2", "g3", "b3")
_LABELS = {"g2": "$g_2$", "b2": "$b_2$", "g3": "$g_3$", "b3": "$b_3$", "x": "$x_t$"}

type Past = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def expected(parameters: Mapping[str, tf.Tensor], past: Past, choice: float = CALM) -> tf.Tensor:
    """Return the mean of the next x (n, m), given the three before, (n, m) each, latest first."""
    last, before, first = (value[..., None] for value in past)
    trend2, bias2, trend3, bias3 = (parameters[name] for name in _NAMES)
    zero = tf.zeros_like(trend2)
    trend = tf.stack([zero, trend2, trend3, zero + INTEREST], axis=-1)[:, None]
    bias = tf.stack([zero, bias2, bias3, zero], axis=-1)[:, None]
    profit = (last - INTEREST * before) * (trend * first + bias - INTEREST * before)
    share = tf.nn.softmax(choice * profit)
    return tf.reduce_sum(share * (trend * last + bias), axis=-1) / INTEREST


def likelihood(choice: float) -> Callable[..., tf.Tensor]:
    """Return the log likelihood of one intensity of choice."""

    def log_likelihood(
        parameters: Mapping[str, tf.Tensor], data: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """Return the log density (n,) of x, (97,) or (n, 97), for parameters (n,); double."""
        exact = {name: tf.cast(parameters[name], tf.float64) for name in _NAMES}
        x = tf.cast(data["x"], tf.float64) + tf.zeros_like(exact["g2"])[:, None]
        padded = tf.pad(x, [(0, 0), (3, 0)])
        past = (padded[:, 2:-1], padded[:, 1:-2], padded[:, :-3])
        sd = NOISE / INTEREST
        white = (x - expected(exact, past, choice)) / sd
        normaliser = STEPS * (0.5 * math.log(2.0 * math.pi) + math.log(sd))
        return -0.5 * tf.reduce_sum(white**2, axis=1) - normaliser

    return log_likelihood


def simulate(parameters: Mapping[str, tf.Tensor], seed: tf.Tensor, choice: float) -> tf.Tensor:
    """Simulate x (n, 97)."""
    rows = tf.shape(parameters["g2"])[0]
    noise = NOISE / INTEREST * tf.random.stateless_normal((STEPS, rows, 1), seed)
    zero = tf.zeros_like(noise[0])

    def step(past: Past, drawn: tf.Tensor) -> Past:
        return expected(parameters, past, choice) + drawn, past[0], past[1]

    series = tf.scan(step, noise, (zero, zero, zero))[0]
    return tf.transpose(series[..., 0])


@bi.simulator(
    prior={
        "g2": tfd.Uniform(-1.0, 0.0),
        "b2": tfd.Uniform(-1.0, 0.0),
        "g3": tfd.Uniform(0.0, 1.0),
        "b3": tfd.Uniform(0.0, 1.0),
    },
    labels=_LABELS,
    coordinates={"x": np.arange(1, STEPS + 1)},
    log_likelihood=likelihood(CALM),
)
def brock_hommes(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Simulate prices around their fundamental value, where traders switch slowly."""
    return {"x": simulate(parameters, seed, CALM)}


@bi.simulator(
    prior={
        "g2": tfd.Uniform(0.0, 1.0),
        "b2": tfd.Uniform(0.0, 1.0),
        "g3": tfd.Uniform(0.0, 1.0),
        "b3": tfd.Uniform(-1.0, 0.0),
    },
    labels=_LABELS,
    coordinates={"x": np.arange(1, STEPS + 1)},
    log_likelihood=likelihood(SWITCHING),
)
def brock_hommes_switching(
    parameters: dict[str, tf.Tensor], seed: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Simulate prices around their fundamental value, where traders switch at once."""
    return {"x": simulate(parameters, seed, SWITCHING)}
