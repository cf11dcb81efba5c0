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

import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

tfd = tfp.distributions

GRAVITY = 9.81
DRAG = 0.25
MASS = 0.2
LONGEST = 10.0
"""Seconds of flight that no draw reaches."""

_BISECTIONS = 30


def landing(parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return where balls (n,) hit the ground."""
    across = parameters["speed"] * tf.cos(parameters["angle"])
    up = parameters["speed"] * tf.sin(parameters["angle"])
    height = tf.nn.relu(parameters["height"])

    def altitude(time: tf.Tensor) -> tf.Tensor:
        decay = tf.math.expm1(-DRAG * time / MASS)
        fallen = (GRAVITY * MASS + up * DRAG) * decay + GRAVITY * time * DRAG
        return height - MASS / DRAG**2 * fallen

    low = MASS / DRAG * tf.math.log1p(DRAG * up / (MASS * GRAVITY))
    high = tf.fill(tf.shape(low), tf.constant(LONGEST, low.dtype))

    def halve(low: tf.Tensor, high: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        middle = 0.5 * (low + high)
        flies = altitude(middle) > 0.0
        return tf.where(flies, middle, low), tf.where(flies, high, middle)

    low, high = tf.while_loop(lambda *_: True, halve, (low, high), maximum_iterations=_BISECTIONS)
    time = 0.5 * (low + high)
    return parameters["left"] - across * MASS / DRAG * tf.math.expm1(-DRAG * time / MASS)


@bi.simulator(
    prior={
        "left": tfd.Normal(0.0, 0.5),
        "height": tfd.Normal(1.5, 0.5),
        "angle": tfd.Uniform(0.05 * math.pi, 0.45 * math.pi),
        "speed": tfd.Poisson(15.0),
    },
    labels={"left": "$x_1$", "height": "$x_2$", "angle": "$x_3$", "speed": "$x_4$"},
    units={"left": "m", "height": "m", "angle": "rad", "speed": "m/s", "landing": "m"},
    observed={"landing": 5.0},
)
def inverse_ballistics(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Compute where a ball hits the ground; a height below zero counts as zero."""
    return {"landing": landing(parameters)}
