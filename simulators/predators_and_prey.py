"""Stochastic Lotka-Volterra: births and deaths of predators and prey, one by one.

    rates ~ LogNormal around 0.01, 0.5, 1, 0.01, with sd 0.25;    start: 50 predators, 100 prey
    predators + 1 with rate birth x predators x prey,      - 1 with rate death x predators
    prey + 1 with rate growth x prey,                      - 1 with rate hunt x predators x prey

seen every 0.5 units of time, 40 times. Events of a short step of 0.05 are drawn together: births
are Poisson, deaths binomial with the chance of an exponential waiting time, so that no more die
than there are. The likelihood, a sum over all paths, has no closed form.

Source: Boys, Wilkinson and Kirkwood (2008), Statistics and Computing 18; as a test of methods
without a likelihood in Papamakarios and Murray (2016), arXiv:1605.06376, by Gillespie's algorithm
and with a wider prior.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

tfd = tfp.distributions

CENTRES = {"birth": 0.01, "death": 0.5, "growth": 1.0, "hunt": 0.01}
START = (50.0, 100.0)
TIMES = 0.5 * np.arange(1, 41)
STEP = 0.05
MOST = 1e5
"""Animals of a kind; more have no place."""

_STEPS_A_TIME = 10


@bi.simulator(
    prior={
        name: tfd.LogNormal(np.float32(math.log(centre)), 0.25) for name, centre in CENTRES.items()
    },
    labels={"predators": "predators", "prey": "prey"},
    coordinates=dict.fromkeys(("predators", "prey"), TIMES),
)
def predators_and_prey(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Count predators and prey at 40 times."""
    rows = tf.shape(parameters["birth"])[0]
    total = _STEPS_A_TIME * len(TIMES)
    seeds = tf.reshape(tf.random.experimental.stateless_split(seed, 2 * total), (total, 2, 2))

    def step(animals: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
        predators, prey = tf.unstack(animals, axis=1)
        births = tf.stack(
            [parameters["birth"] * predators * prey, parameters["growth"] * prey], axis=1
        )
        dangers = tf.stack([parameters["death"], parameters["hunt"] * predators], axis=1)
        born = tf.random.stateless_poisson((rows, 2), own[0], STEP * births, tf.float32)
        chance = -tf.math.expm1(-STEP * dangers)
        died = tf.random.stateless_binomial((rows, 2), own[1], animals, chance, tf.float32)
        return tf.minimum(animals + born - died, MOST)

    animals = tf.scan(step, seeds, tf.tile(tf.constant([START]), (rows, 1)))
    seen = tf.transpose(animals[_STEPS_A_TIME - 1 :: _STEPS_A_TIME], (1, 0, 2))
    return {"predators": seen[..., 0], "prey": seen[..., 1]}
