"""Gaussian linear with a uniform prior (sbibm T.2): ten means, whose posterior the box cuts off.

    theta ~ Uniform(-1, 1)^10,    x ~ Normal(theta, 0.1 I),    0.1 a variance

The posterior is Normal(x, 0.1 I), truncated to the box: ten independent truncated normals.

Source: Lueckmann et al. (2021), Benchmarking simulation-based inference, arXiv:2101.04653.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special, stats

import bayesinn as bi

tfd = tfp.distributions

DIMENSION = 10
SD = math.sqrt(0.1)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(400)


def log_likelihood(
    parameters: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the log density (n,) of x, (10,) or (n, 10), for theta (n, 10)."""
    return stats.norm.logpdf(data["x"], parameters["theta"], SD).sum(axis=-1)


def log_posterior(
    parameters: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the exact log posterior density (n,) of theta (n, 10) given x, (10,) or (n, 10)."""
    return _posterior(data["x"]).logpdf(parameters["theta"]).sum(axis=-1)


def exact(data: Mapping[str, np.ndarray], draws: int, seed: int) -> dict[str, np.ndarray]:
    """Draw theta (draws, 10) from the exact posterior of one observation."""
    posterior = _posterior(np.reshape(data["x"], DIMENSION))
    generator = np.random.default_rng(seed)
    return {"theta": posterior.rvs((draws, DIMENSION), random_state=generator)}


def entropy() -> float:
    """Return the expected negative log posterior density, in nats: the smallest possible loss."""
    # Of each dimension: the entropies of theta and of the noise, less that of x, by quadrature.
    reach = 1.0 + 10.0 * SD
    x = reach * _NODES
    density = 0.5 * (special.ndtr((1.0 - x) / SD) - special.ndtr((-1.0 - x) / SD))
    of_data = np.sum(reach * _WEIGHTS * special.entr(density))
    of_noise = 0.5 * math.log(2.0 * math.pi * math.e * SD**2)
    return float(DIMENSION * (math.log(2.0) + of_noise - of_data))


def _posterior(x: np.ndarray) -> stats.rv_continuous:
    x = np.asarray(x, np.float64)
    return stats.truncnorm((-1.0 - x) / SD, (1.0 - x) / SD, loc=x, scale=SD)


@bi.simulator(
    prior={"theta": tfd.Sample(tfd.Uniform(-1.0, 1.0), DIMENSION)},
    labels={"theta": r"$\theta$", "x": "$x$"},
    log_likelihood=log_likelihood,
    exact=exact,
)
def gaussian_linear_uniform(
    parameters: dict[str, tf.Tensor], seed: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Draw ten numbers around their means."""
    theta = parameters["theta"]
    return {"x": theta + SD * tf.random.stateless_normal(tf.shape(theta), seed)}
