"""Inverse kinematics: the joint angles of a robot arm, given the position of its hand.

    x1 ~ Normal(0, 0.25),    x2, x3, x4 ~ Normal(0, 0.5)
    a = l1 cos(x2)      + l2 cos(x2 + x3) + l3 cos(x2 + x3 + x4)
    b = x1 + l1 sin(x2) + l2 sin(x2 + x3) + l3 sin(x2 + x3 + x4),      l = (0.5, 0.5, 1)

x1 is the height of the arm's base; the others are angles, each measured from the previous segment.
There is no noise: given the hand, the parameters lie on a two-dimensional surface.

Source: Kruse, Ardizzone, Rother and Koethe (2021), Benchmarking invertible architectures on inverse
problems, arXiv:2101.10763.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError

tfd = tfp.distributions

LENGTHS = (0.5, 0.5, 1.0)
HEIGHT_SD = 0.25
ANGLE_SD = 0.5
NAMES = ("x1", "x2", "x3", "x4")

_PROPOSALS = 400_000


def joints(parameters: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return positions (n, 4, 2) of base, both joints and hand, for parameters (n,)."""
    height = np.asarray(parameters["x1"], float)
    angles = np.cumsum([np.asarray(parameters[name], float) for name in NAMES[1:]], axis=0)
    positions = [np.stack([np.zeros_like(height), height], axis=-1)]
    for length, angle in zip(LENGTHS, angles, strict=True):
        positions.append(positions[-1] + length * np.stack([np.cos(angle), np.sin(angle)], axis=-1))
    return np.stack(positions, axis=1)


def exact(data: Mapping[str, np.ndarray], draws: int, seed: int) -> dict[str, np.ndarray]:
    """Draw parameters (draws,) from the posterior given one hand (2,), each exactly there.

    x2 and x3 come from the prior; the hand then allows two directions of the last segment, each
    with one height of the base, and each reached by a turn to the left or to the right. They are
    weighted with their prior density divided by the slope of the hand's position, and resampled.

    Raises
    ------
    InputError
        When the arm can't reach the hand.
    """
    generator = np.random.default_rng(seed)
    hand = np.reshape(np.asarray(data["hand"], float), 2)
    count = max(_PROPOSALS, 100 * draws)
    first, second = ANGLE_SD * generator.standard_normal((2, count // 2))
    reach = (hand[0] - LENGTHS[0] * np.cos(first) - LENGTHS[1] * np.cos(first + second)) / LENGTHS[
        2
    ]
    possible = np.abs(reach) < 1.0
    if not possible.any():
        raise InputError(
            "Observation 'hand' of 'inverse_kinematics'",
            expected=f"a point within the reach of the arm, {sum(LENGTHS):g} from its base",
            got=f"({hand[0]:g}, {hand[1]:g})",
            do="simulate data: bi.get_simulator('inverse_kinematics').sample(1, seed=1)['hand'][0]",
        )
    angle = np.arccos(reach[possible])
    # x4 is not wrapped: a turn of the other sense is another solution. Longer turns than these need
    # first joints nine standard deviations from straight.
    last = np.concatenate([angle, -angle, 2.0 * np.pi - angle, angle - 2.0 * np.pi])
    first = np.tile(first[possible], 4)
    second = np.tile(second[possible], 4)
    third = last - first - second
    sines = (
        LENGTHS[0] * np.sin(first) + LENGTHS[1] * np.sin(first + second) + LENGTHS[2] * np.sin(last)
    )
    height = hand[1] - sines
    log_weights = (
        -0.5 * (third / ANGLE_SD) ** 2
        - 0.5 * (height / HEIGHT_SD) ** 2
        - np.log(np.abs(np.sin(last)))
    )
    weights = np.exp(log_weights - log_weights.max())
    chosen = generator.choice(len(weights), draws, p=weights / weights.sum())
    return {
        name: value[chosen]
        for name, value in zip(NAMES, (height, first, second, third), strict=True)
    }


@bi.simulator(
    prior={name: tfd.Normal(0.0, HEIGHT_SD if name == "x1" else ANGLE_SD) for name in NAMES},
    labels={**{name: f"${name[0]}_{name[1]}$" for name in NAMES}, "hand": "hand $(a, b)$"},
    units={"x2": "rad", "x3": "rad", "x4": "rad"},
    observed={"hand": [1.5, 0.0]},
    exact=exact,
)
def inverse_kinematics(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return the position of the hand of an arm with three joints on a base of variable height."""
    angles = tf.cumsum(tf.stack([parameters[name] for name in NAMES[1:]], axis=-1), axis=-1)
    lengths = tf.constant(LENGTHS, angles.dtype)
    across = tf.reduce_sum(lengths * tf.cos(angles), axis=-1)
    up = parameters["x1"] + tf.reduce_sum(lengths * tf.sin(angles), axis=-1)
    return {"hand": tf.stack([across, up], axis=-1)}
