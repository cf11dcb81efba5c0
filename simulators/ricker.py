"""Ricker's population model: chaotic dynamics, of which Poisson counts of a share are seen.

    r ~ Uniform(1, 90),    sigma ~ Uniform(0.05, 0.7),    rho ~ Uniform(0, 15),    u ~ Uniform(0, 1)
    N_0 = 10,    count_t ~ Poisson(rho N_t),    N_{t+1} = r N_t exp(-N_t + sigma e_t)

over 100 generations, e_t ~ Normal(0, 1). ``u`` does nothing: its posterior must stay its prior. The
likelihood, an integral over all e_t, has no closed form.

Source: Wood (2010), Nature 466; with these priors and the useless u in Radev et al. (2020),
BayesFlow, arXiv:2003.06281.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

tfd = tfp.distributions

GENERATIONS = 100
START = 10.0


@bi.simulator(
    prior={
        "r": tfd.Uniform(1.0, 90.0),
        "sigma": tfd.Uniform(0.05, 0.7),
        "rho": tfd.Uniform(0.0, 15.0),
        "u": tfd.Uniform(0.0, 1.0),
    },
    labels={"r": "$r$", "sigma": r"$\sigma$", "rho": r"$\rho$", "u": "$u$", "count": "count"},
    coordinates={"count": {"generation": np.arange(GENERATIONS)}},
)
def ricker(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Count animals over 100 generations."""
    noise_seed, count_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    growth = tf.math.log(parameters["r"])
    rows = tf.shape(growth)[0]
    noise = parameters["sigma"] * tf.random.stateless_normal((GENERATIONS - 1, rows), noise_seed)

    # Logarithms, as a population after a crash may be far below one.
    def step(log_size: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
        return growth + log_size - tf.exp(log_size) + drawn

    first = tf.fill((rows,), tf.math.log(tf.constant(START)))
    later = tf.scan(step, noise, first)
    size = tf.exp(tf.transpose(tf.concat([first[None], later], axis=0)))
    mean = parameters["rho"][:, None] * size
    return {"count": tf.random.stateless_poisson(tf.shape(mean), count_seed, mean, tf.float32)}
