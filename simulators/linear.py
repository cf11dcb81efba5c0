"""The linear toy: the sum of two numbers is observed, and both are inferred.

    x1, x2 ~ Normal(0, 1),    y = x1 + x2 + 0.5 e,    e ~ Normal(0, 1)

Without noise the posterior given y is a line, whose density is infinite: a network that maximises
the density never converges. With noise of sd s it is the Gaussian below.

Source: U. Koethe, "Normalizing flows, part 2", tutorial at CVPR 2021, with noise added.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

tfd = tfp.distributions

NOISE = 0.5


def posterior_moments(y: np.ndarray, noise: float = NOISE) -> tuple[np.ndarray, np.ndarray]:
    """Return exact posterior mean (n, 2) and covariance (2, 2) of (x1, x2) for data y (n,).

    The data are observations.
    """
    share = 1.0 / (2.0 + noise**2)
    return np.multiply.outer(np.asarray(y) * share, np.ones(2)), np.eye(2) - share * np.ones((2, 2))


def entropy(noise: float = NOISE) -> float:
    """Return the expected negative log posterior density, in nats: the smallest possible loss.

    No network has a smaller one.
    """
    return float(np.log(2.0 * np.pi) + 1.0 + 0.5 * np.log(noise**2 / (2.0 + noise**2)))


def exact(data: Mapping[str, np.ndarray], draws: int, seed: int) -> dict[str, np.ndarray]:
    """Draw x1 and x2 (draws,) from the exact posterior of one observation."""
    mean, covariance = posterior_moments(np.reshape(data["y"], (1,)))
    values = np.random.default_rng(seed).multivariate_normal(mean[0], covariance, draws)
    return {"x1": values[:, 0], "x2": values[:, 1]}


@bi.simulator(
    prior={"x1": tfd.Normal(0.0, 1.0), "x2": tfd.Normal(0.0, 1.0)},
    labels={"x1": "$x_1$", "x2": "$x_2$", "y": "$y$"},
    observed={"y": 1.5},
    exact=exact,
)
def linear(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Compute y = x1 + x2 + noise."""
    total = parameters["x1"] + parameters["x2"]
    return {"y": total + NOISE * tf.random.stateless_normal(tf.shape(total), seed)}
