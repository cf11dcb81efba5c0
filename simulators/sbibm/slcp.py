"""SLCP (sbibm T.3), simple likelihood, complex posterior: mean and covariance of four points.

    theta ~ Uniform(-3, 3)^5
    x_i ~ Normal((theta1, theta2), [[s1^2, r s1 s2], [r s1 s2, s2^2]] + 1e-6 I),    i = 1 ... 4
    s1 = theta3^2,    s2 = theta4^2,    r = tanh(theta5)

Only the squares of theta3 and theta4 count: the posterior has four modes, or more, with edges.

Source: Papamakarios, Sterratt and Murray (2019), Sequential neural likelihood, arXiv:1805.07226, as
task T.3 of Lueckmann et al. (2021), Benchmarking simulation-based inference, arXiv:2101.04653.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

tfd = tfp.distributions

POINTS = 4
BOUND = 3.0
JITTER = 1e-6
"""Added to both variances, so that a covariance always has an inverse."""

PRIOR = {"theta": tfd.Sample(tfd.Uniform(-BOUND, BOUND), 5)}


def log_likelihood(
    parameters: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the log density (n,) of x, (8,) or (n, 8), for theta (n, 5)."""
    theta = np.asarray(parameters["theta"], np.float64)
    x = np.asarray(data["x"], np.float64)
    errors = x.reshape(*x.shape[:-1], POINTS, 2) - theta[:, None, :2]
    first = theta[:, 2] ** 4 + JITTER
    second = theta[:, 3] ** 4 + JITTER
    cross = np.tanh(theta[:, 4]) * theta[:, 2] ** 2 * theta[:, 3] ** 2
    determinant = first * second - cross**2
    squares = second * np.sum(errors[..., 0] ** 2, axis=1)
    squares += first * np.sum(errors[..., 1] ** 2, axis=1)
    squares -= 2.0 * cross * np.sum(errors[..., 0] * errors[..., 1], axis=1)
    normaliser = POINTS * (np.log(2.0 * math.pi) + 0.5 * np.log(determinant))
    return -0.5 * squares / determinant - normaliser


def draw_points(theta: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw four points for each theta (n, 5), one after another: (n, 8)."""
    noise = tf.random.stateless_normal((tf.shape(theta)[0], POINTS, 2), seed)
    variances = theta[:, 2:4] ** 4 + JITTER
    cross = tf.tanh(theta[:, 4]) * theta[:, 2] ** 2 * theta[:, 3] ** 2
    # The Cholesky factor of the covariance.
    sd = tf.sqrt(variances[:, 0])
    slope = cross / sd
    rest = tf.sqrt(tf.maximum(variances[:, 1] - slope**2, 0.0))
    first = theta[:, None, 0] + sd[:, None] * noise[..., 0]
    second = theta[:, None, 1] + slope[:, None] * noise[..., 0] + rest[:, None] * noise[..., 1]
    return tf.reshape(tf.stack([first, second], axis=-1), (-1, 2 * POINTS))


@bi.simulator(
    prior=PRIOR,
    labels={"theta": r"$\theta$", "x": "$x$"},
    log_likelihood=log_likelihood,
)
def slcp(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Draw four points, one after another, from a Gaussian."""
    return {"x": draw_points(parameters["theta"], seed)}
