"""The linear toy without noise: the sum of two numbers is observed exactly, and both are inferred.

    x1, x2 ~ Normal(0, 1),    y = x1 + x2

Given y the two lie on a line: (y/2 + t, y/2 - t) with t ~ Normal(0, 1/2). Its density in the plane
is infinite, so that a network trained on the density never converges; one that splits x into y and
a latent solves it with a rotation. :mod:`simulators.linear` is the same with noise.

Source: U. Koethe, "Normalizing flows, part 2", tutorial at CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

tfd = tfp.distributions

#: Posterior covariance (2, 2) of (x1, x2), for every y.
COVARIANCE = np.array([[0.5, -0.5], [-0.5, 0.5]])


def exact(data: Mapping[str, np.ndarray], draws: int, seed: int) -> dict[str, np.ndarray]:
    """Draw x1 and x2 (draws,) from the exact posterior of one observation."""
    middle = 0.5 * float(np.reshape(data["y"], ()))
    along = np.sqrt(0.5) * np.random.default_rng(seed).standard_normal(draws)
    return {"x1": middle + along, "x2": middle - along}


@bi.simulator(
    prior={"x1": tfd.Normal(0.0, 1.0), "x2": tfd.Normal(0.0, 1.0)},
    labels={"x1": "$x_1$", "x2": "$x_2$", "y": "$y$"},
    observed={"y": 1.5},
    exact=exact,
)
def slide_toy(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Compute y = x1 + x2, without noise."""
    return {"y": parameters["x1"] + parameters["x2"]}
