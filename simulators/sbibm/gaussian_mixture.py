"""Gaussian mixture (sbibm T.7): the common mean of a wide and a narrow Gaussian, in two dimensions.

    theta ~ Uniform(-10, 10)^2,    x ~ 1/2 Normal(theta, I) + 1/2 Normal(theta, 0.01 I)

The posterior is the mixture around x, truncated to the box, which takes more from the wide part.

Source: Lueckmann et al. (2021), Benchmarking simulation-based inference, arXiv:2101.04653, as
corrected in sbibm 1.1.0: both coordinates of x come from the same part.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special, stats

import bayesinn as bi
from bayesinn.core.errors import InputError

tfd = tfp.distributions

BOUND = 10.0
SDS = np.array([1.0, 0.1])
# Less than one in ten million simulations is so far outside of the box.
_LEAST_MASS = 1e-8


def log_likelihood(
    parameters: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the log density (n,) of x, (2,) or (n, 2), for theta (n, 2)."""
    error = np.asarray(data["x"], np.float64) - parameters["theta"]
    parts = stats.norm.logpdf(error[..., None], scale=SDS).sum(axis=-2)
    return np.logaddexp.reduce(parts, axis=-1) - np.log(2.0)


def masses(x: np.ndarray) -> np.ndarray:
    """Return the shares (..., 2) of both Gaussians around x (..., 2) that lie in the box."""
    x = np.asarray(x, np.float64)[..., None]
    inside = special.ndtr((BOUND - x) / SDS) - special.ndtr((-BOUND - x) / SDS)
    return inside.prod(axis=-2)


def log_posterior(
    parameters: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the exact log posterior density (n,) of theta (n, 2) given x, (2,) or (n, 2)."""
    inside = np.all(np.abs(parameters["theta"]) <= BOUND, axis=-1)
    density = log_likelihood(parameters, data) - np.log(masses(data["x"]).mean(axis=-1))
    return np.where(inside, density, -np.inf)


def exact(data: Mapping[str, np.ndarray], draws: int, seed: int) -> dict[str, np.ndarray]:
    """Draw theta (draws, 2) from the exact posterior of one observation.

    Raises
    ------
    InputError
        When the observation lies too far outside of the prior's box.
    """
    x = np.reshape(np.asarray(data["x"], np.float64), 2)
    mass = masses(x)
    if not mass.sum() > _LEAST_MASS:
        raise InputError(
            "Observation 'x' of 'gaussian_mixture'",
            expected=f"a point within five of the box from -{BOUND:g} to {BOUND:g}",
            got=f"({x[0]:g}, {x[1]:g})",
            do="simulate data: bi.get_simulator('gaussian_mixture').sample(1, seed=1)['x'][0]",
        )
    generator = np.random.default_rng(seed)
    sd = generator.choice(SDS, size=(draws, 1), p=mass / mass.sum())
    posterior = stats.truncnorm((-BOUND - x) / sd, (BOUND - x) / sd, loc=x, scale=sd)
    return {"theta": posterior.rvs((draws, 2), random_state=generator)}


@bi.simulator(
    prior={"theta": tfd.Sample(tfd.Uniform(-BOUND, BOUND), 2)},
    labels={"theta": r"$\theta$", "x": "$x$"},
    log_likelihood=log_likelihood,
    exact=exact,
)
def gaussian_mixture(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Draw a point around the common mean, from the wide or the narrow Gaussian."""
    theta = parameters["theta"]
    noise_seed, part_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    part = tf.random.stateless_uniform((tf.shape(theta)[0], 1), part_seed, 0, 2, tf.int32)
    sd = tf.gather(tf.constant(SDS, tf.float32), part)
    return {"x": theta + sd * tf.random.stateless_normal(tf.shape(theta), noise_seed)}
