"""Franke and Westerhoff: a market of fundamentalists and chartists, who herd.

    n_t = sigmoid(a_t),    a_1 = alpha_0
    a_{t+1} = alpha_n (2 n_t - 1) + alpha_0 + alpha_p p_{t-1}^2
    p_t = p_{t-1} - mu n_t phi p_{t-1} + mu (1 - n_t) chi (p_{t-1} - p_{t-2}) + mu s_t e_t
    s_t^2 = (n_t sigma_f)^2 + ((1 - n_t) sigma_c)^2,    e_t ~ Normal(0, 1)

n is the share of fundamentalists, who expect the log price p to return to zero; chartists expect it
to go on. mu = 0.01, phi = 0.12, chi = 1.5, sigma_f = 0.758; 100 log returns p_t - p_{t-1} are seen,
from p = 0. Given its past a return is normal: the likelihood is exact.

Source: Franke and Westerhoff (2012), Journal of Economic Dynamics and Control 36, model HPM; with
these priors in Dyer, Cannon, Farmer and Schmon (2024), same journal, 161.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

tfd = tfp.distributions

STEPS = 100
MU = 0.01
PHI = 0.12
CHI = 1.5
SIGMA_F = 0.758
TRUTH = {"alpha_0": -0.327, "alpha_n": 1.79, "alpha_p": 18.43, "sigma_c": 2.087}

PRIOR = {
    "alpha_0": tfd.Uniform(-1.0, 1.0),
    "alpha_n": tfd.Uniform(0.0, 2.0),
    "alpha_p": tfd.Uniform(0.0, 20.0),
    "sigma_c": tfd.Uniform(0.0, 5.0),
}


class Market(NamedTuple):
    """The last two log prices and the attractiveness of fundamentalism, (n,) each."""

    last: tf.Tensor
    before: tf.Tensor
    attraction: tf.Tensor


def law(parameters: Mapping[str, tf.Tensor], market: Market) -> tuple[tf.Tensor, tf.Tensor]:
    """Return mean and sd (n,) of the next log return."""
    share = tf.sigmoid(market.attraction)
    chartists = 1.0 - share
    mean = -share * PHI * market.last + chartists * CHI * (market.last - market.before)
    variance = (share * SIGMA_F) ** 2 + (chartists * parameters["sigma_c"]) ** 2
    return MU * mean, MU * tf.sqrt(variance)


def advance(parameters: Mapping[str, tf.Tensor], market: Market, change: tf.Tensor) -> Market:
    """Return the market after a log return (n,)."""
    share = tf.sigmoid(market.attraction)
    herd = parameters["alpha_n"] * (2.0 * share - 1.0)
    attraction = herd + parameters["alpha_0"] + parameters["alpha_p"] * market.last**2
    return Market(market.last + change, market.last, attraction)


def log_likelihood(parameters: Mapping[str, tf.Tensor], data: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return the log density (n,) of log returns, (100,) or (n, 100), for parameters; double."""
    exact = {name: tf.cast(parameters[name], tf.float64) for name in PRIOR}
    zero = tf.zeros_like(exact["alpha_0"])
    returns = tf.transpose(tf.cast(data["log_return"], tf.float64) + zero[:, None])

    def add(
        index: tf.Tensor, market: Market, density: tf.Tensor
    ) -> tuple[tf.Tensor, Market, tf.Tensor]:
        mean, sd = law(exact, market)
        change = returns[index]
        terms = -0.5 * ((change - mean) / sd) ** 2 - tf.math.log(sd)
        return index + 1, advance(exact, market, change), density + terms

    start = Market(zero, zero, exact["alpha_0"])
    density = tf.while_loop(
        lambda index, *_: index < STEPS, add, (0, start, zero), maximum_iterations=STEPS
    )[2]
    return density - 0.5 * STEPS * math.log(2.0 * math.pi)


@bi.simulator(
    prior=PRIOR,
    labels={
        "alpha_0": r"$\alpha_0$",
        "alpha_n": r"$\alpha_n$",
        "alpha_p": r"$\alpha_p$",
        "sigma_c": r"$\sigma_c$",
        "log_return": "log return",
    },
    coordinates={"log_return": np.arange(1, STEPS + 1)},
    log_likelihood=log_likelihood,
)
def franke_westerhoff(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Simulate 100 log returns."""
    zero = tf.zeros_like(parameters["alpha_0"])
    noise = tf.random.stateless_normal((STEPS, tf.shape(zero)[0]), seed)

    def step(market: Market, drawn: tf.Tensor) -> Market:
        mean, sd = law(parameters, market)
        return advance(parameters, market, mean + sd * drawn)

    prices = tf.scan(step, noise, Market(zero, zero, parameters["alpha_0"]))
    return {"log_return": tf.transpose(prices.last - prices.before)}
