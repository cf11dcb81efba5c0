"""Gaussian linear (sbibm T.1): ten means, each seen once, with a Gaussian prior.

    theta ~ Normal(0, 0.1 I),    x ~ Normal(theta, 0.1 I),    both in ten dimensions, 0.1 a variance

The posterior is Normal(x / 2, 0.05 I).

Source: Lueckmann et al. (2021), Benchmarking simulation-based inference, arXiv:2101.04653.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import bayesinn as bi

tfd = tfp.distributions

DIMENSION = 10
SD = math.sqrt(0.1)
"""Standard deviation of the prior, and of the noise."""
POSTERIOR_SD = math.sqrt(0.05)
ENTROPY = 0.5 * DIMENSION * math.log(2.0 * math.pi * math.e * 0.05)
"""Expected negative log posterior density in nats: the smallest loss of any network."""


def log_likelihood(
    parameters: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the log density (n,) of x, (10,) or (n, 10), for theta (n, 10)."""
    return stats.norm.logpdf(data["x"], parameters["theta"], SD).sum(axis=-1)


def log_posterior(
    parameters: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the exact log posterior density (n,) of theta (n, 10) given x, (10,) or (n, 10)."""
    mean = 0.5 * np.asarray(data["x"], np.float64)
    return stats.norm.logpdf(parameters["theta"], mean, POSTERIOR_SD).sum(axis=-1)


def exact(data: Mapping[str, np.ndarray], draws: int, seed: int) -> dict[str, np.ndarray]:
    """Draw theta (draws, 10) from the exact posterior of one observation."""
    mean = 0.5 * np.reshape(data["x"], DIMENSION)
    generator = np.random.default_rng(seed)
    return {"theta": generator.normal(mean, POSTERIOR_SD, (draws, DIMENSION))}


@bi.simulator(
    prior={"theta": tfd.MultivariateNormalDiag(tf.zeros(DIMENSION), tf.fill(DIMENSION, SD))},
    labels={"theta": r"$\theta$", "x": "$x$"},
    log_likelihood=log_likelihood,
    exact=exact,
)
def gaussian_linear(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Draw ten numbers around their means."""
    theta = parameters["theta"]
    return {"x": theta + SD * tf.random.stateless_normal(tf.shape(theta), seed)}
