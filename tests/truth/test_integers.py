"""Posteriors of integers, beside a continuous parameter, against exact probabilities."""

from __future__ import annotations

import itertools

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.special import log_softmax
from scipy.stats import binom, norm

import bayesinn as bi

tfd = tfp.distributions

COUNTS, KINDS, FLAGS = (
    np.array(values)
    for values in zip(*itertools.product(range(11), range(3), range(2)), strict=True)
)
CHANCE = 0.4
NOISE = {"x": 0.5, "y": 0.7, "w": 1.0}
ROWS = 500


@bi.simulator(
    prior={
        "count": tfd.Binomial(10.0, probs=CHANCE),
        "kind": tfd.Binomial(2.0, probs=0.5),
        "flag": tfd.Bernoulli(probs=0.5),
        "mean": tfd.Normal(0.0, 1.0),
    }
)
def integers_and_a_mean(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    columns = {name: tf.cast(value, tf.float32)[:, None] for name, value in parameters.items()}
    noise = tf.random.stateless_normal((len(NOISE), tf.shape(columns["mean"])[0], 3), seed)
    expected = {
        "x": columns["mean"],
        "y": 0.4 * columns["count"] + 1.5 * columns["kind"],
        "w": 1.5 * columns["flag"] - columns["kind"],
    }
    return {
        name: expected[name] + scale * noise[index]
        for index, (name, scale) in enumerate(NOISE.items())
    }


def exact_log_probabilities(data: dict[str, np.ndarray]) -> np.ndarray:
    """Return those (n, 66) of all integers together, given data (n, 3)."""
    prior = binom.logpmf(COUNTS, 10, CHANCE) + binom.logpmf(KINDS, 2, 0.5)
    of_y = norm.logpdf(data["y"][..., None], 0.4 * COUNTS + 1.5 * KINDS, NOISE["y"]).sum(axis=1)
    of_w = norm.logpdf(data["w"][..., None], 1.5 * FLAGS - KINDS, NOISE["w"]).sum(axis=1)
    return log_softmax(prior + of_y + of_w, axis=1)


def exact_log_prob(rows: dict[str, np.ndarray]) -> np.ndarray:
    """Return log densities (n,) of the parameters of simulations, given their data."""
    variance = 1.0 / (1.0 + 3.0 / NOISE["x"] ** 2)
    location = variance * rows["x"].sum(axis=1) / NOISE["x"] ** 2
    place = (rows["count"] * 6 + rows["kind"] * 2 + rows["flag"]).astype(int)
    discrete = np.take_along_axis(exact_log_probabilities(rows), place[:, None], axis=1)[:, 0]
    return discrete + norm.logpdf(rows["mean"], location, np.sqrt(variance))


def test_default_networks_learn_several_integers() -> None:
    posterior = bi.AmortizedPosterior(integers_and_a_mean)
    posterior.fit(steps=2_000, batch_size=128, seed=1, progress=False)
    rows = integers_and_a_mean.sample(ROWS, seed=2)
    data = {name: rows[name] for name in NOISE}
    parameters = {name: rows[name][:, None] for name in integers_and_a_mean.prior.names}
    missing = exact_log_prob(rows) - posterior.log_prob(parameters, data)[:, 0]
    # Measured 0.013 and 0.018 for seeds 1 and 2, with a standard error of 0.007.
    assert -0.03 < missing.mean() < 0.05
    few = {name: value[:50] for name, value in data.items()}
    draws = posterior.sample(few, draws=2_000, seed=3)
    place = (draws["count"] * 6 + draws["kind"] * 2 + draws["flag"]).astype(int)
    found = np.stack([np.bincount(row, minlength=len(COUNTS)) for row in place]) / 2_000
    distance = np.abs(found - np.exp(exact_log_probabilities(few))).sum(axis=1) / 2.0
    # Measured 0.058 and 0.054. Exact draws are 0.03 away.
    assert distance.mean() < 0.08
