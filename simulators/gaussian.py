"""A conjugate Gaussian with 1 to 50 exchangeable observations: an exact test of networks for sets.

    mean ~ Normal(0, 1),    x_i ~ Normal(mean, 1),    i = 1 ... n,    n ~ Uniform{1 ... 50}

The posterior given n observations is Normal(n xbar / (n + 1), 1 / (n + 1)): a network must compute
the sample mean and the number of observations.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

tfd = tfp.distributions

MOST_OBSERVATIONS = 50


def posterior_moments(x: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return exact posterior means (m,) and sds (m,) for padded x (m, 50) with n (m,) valid."""
    valid = np.arange(x.shape[1]) < np.asarray(n)[:, None]
    return np.sum(x, axis=1, where=valid) / (np.asarray(n) + 1.0), 1.0 / np.sqrt(
        np.asarray(n) + 1.0
    )


def entropy() -> float:
    """Return the expected negative log posterior density over n, in nats: the smallest loss.

    No network has a smaller one.
    """
    variances = 1.0 / (np.arange(1, MOST_OBSERVATIONS + 1) + 1.0)
    return float(np.mean(0.5 * np.log(2.0 * np.pi * variances) + 0.5))


def exact(data: Mapping[str, np.ndarray], draws: int, seed: int) -> dict[str, np.ndarray]:
    """Draw means (draws,) from one observation's exact posterior; n defaults to the length of x."""
    x = np.reshape(data["x"], (1, -1))
    mean, sd = posterior_moments(x, np.reshape(data.get("n", x.shape[1]), (1,)))
    return {"mean": np.random.default_rng(seed).normal(mean[0], sd[0], draws)}


@bi.simulator(
    prior={"mean": tfd.Normal(0.0, 1.0)},
    context={
        "n": tfd.FiniteDiscrete(
            tf.range(1, MOST_OBSERVATIONS + 1), logits=tf.zeros(MOST_OBSERVATIONS)
        )
    },
    lengths={"x": "n"},
    labels={"mean": r"$\mu$", "x": "$x_i$"},
    observed={"x": [0.8, 1.9, -0.1, 1.2, 0.4]},
    exact=exact,
)
def gaussian(
    parameters: dict[str, tf.Tensor], context: dict[str, tf.Tensor], seed: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Draw n numbers around an unknown mean, padded to 50."""
    shape = (tf.shape(parameters["mean"])[0], MOST_OBSERVATIONS)
    x = parameters["mean"][:, None] + tf.random.stateless_normal(shape, seed)
    return {"x": tf.where(tf.range(MOST_OBSERVATIONS) < context["n"][:, None], x, 0.0)}
