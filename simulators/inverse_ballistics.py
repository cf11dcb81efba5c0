"""Inverse ballistics: how was a ball thrown, seen where it hit the ground?

    left ~ Normal(0, 0.5),    height ~ Normal(1.5, 0.5),    angle ~ Uniform(9, 81 degrees)
    speed ~ Poisson(15)

The ball flies with drag k = 0.25 and mass m = 0.2 under gravity g, from (left, height):

    E(t) = exp(-k t / m) - 1,    X(t) = left - v_x m/k E(t)
    Y(t) = height - m/k^2 ((g m + v_y k) E(t) + g t k)

The data are X where Y falls through zero. Speeds are integers: no smooth density fits them. A
height below zero, one in 740, counts as zero; the paper replaces it by zero in the prior, where it
is a point mass.

Source: Kruse, Ardizzone, Rother and Koethe (2021), Benchmarking invertible architectures on inverse
problems, arXiv:2101.10763.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.simulators.bisection import bisect

tfd = tfp.distributions

GRAVITY = 9.81
DRAG = 0.25
MASS = 0.2
LONGEST = 10.0
"""Seconds of flight that no draw reaches."""
SD = 0.5
"""Of either coordinate of the start."""
MEAN_HEIGHT = 1.5
ANGLES = (0.05 * math.pi, 0.45 * math.pi)
MEAN_SPEED = 15.0

_BISECTIONS = 30
_PROPOSALS = 100_000


def position(parameters: Mapping[str, tf.Tensor], time: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return how far and how high balls (n,) are after so many seconds (n,), or (..., n)."""
    across = parameters["speed"] * tf.cos(parameters["angle"])
    up = parameters["speed"] * tf.sin(parameters["angle"])
    decay = tf.math.expm1(-DRAG * time / MASS)
    fallen = (GRAVITY * MASS + up * DRAG) * decay + GRAVITY * time * DRAG
    left = parameters["left"] - across * MASS / DRAG * decay
    return left, tf.nn.relu(parameters["height"]) - MASS / DRAG**2 * fallen


def flight(parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return the seconds (n,) after which balls (n,) hit the ground."""
    up = parameters["speed"] * tf.sin(parameters["angle"])
    # The top of the flight is before it.
    low = MASS / DRAG * tf.math.log1p(DRAG * up / (MASS * GRAVITY))
    high = tf.fill(tf.shape(low), tf.constant(LONGEST, low.dtype))
    low, high = bisect(low, high, lambda time: position(parameters, time)[1] > 0.0, _BISECTIONS)
    return 0.5 * (low + high)


def landing(parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return where balls (n,) hit the ground."""
    return position(parameters, flight(parameters))[0]


def exact(data: Mapping[str, np.ndarray], draws: int, seed: int) -> dict[str, np.ndarray]:
    """Draw parameters (draws,) from the posterior given one landing, each of which lands there.

    Height, angle and speed come from the prior; where the ball must have started then follows. Its
    prior density is the weight with which they are resampled.
    """
    generator = np.random.default_rng(seed)
    count = max(_PROPOSALS, 100 * draws)
    proposed = {
        "left": np.zeros(count),
        "height": generator.normal(MEAN_HEIGHT, SD, count),
        "angle": generator.uniform(*ANGLES, count),
        "speed": generator.poisson(MEAN_SPEED, count).astype(float),
    }
    tensors = {name: tf.constant(value, tf.float64) for name, value in proposed.items()}
    left = np.asarray(data["landing"], float).reshape(()) - landing(tensors).numpy()
    log_weights = -0.5 * (left / SD) ** 2
    weights = np.exp(log_weights - log_weights.max())
    chosen = generator.choice(count, draws, p=weights / weights.sum())
    return {name: value[chosen] for name, value in {**proposed, "left": left}.items()}


@bi.simulator(
    prior={
        "left": tfd.Normal(0.0, SD),
        "height": tfd.Normal(MEAN_HEIGHT, SD),
        "angle": tfd.Uniform(*ANGLES),
        "speed": tfd.Poisson(MEAN_SPEED),
    },
    labels={"left": "$x_1$", "height": "$x_2$", "angle": "$x_3$", "speed": "$x_4$"},
    units={"left": "m", "height": "m", "angle": "rad", "speed": "m/s", "landing": "m"},
    observed={"landing": 5.0},
    exact=exact,
)
def inverse_ballistics(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Compute where a ball hits the ground; a height below zero counts as zero."""
    return {"landing": landing(parameters)}
