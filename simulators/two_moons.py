"""Two moons: a posterior of two crescents, the standard test of curved and separate modes.

    theta1, theta2 ~ Uniform(-1, 1),    angle ~ Uniform(-pi/2, pi/2),    radius ~ Normal(0.1, 0.01)
    x1 = radius cos(angle) + 0.25 - |theta1 + theta2| / sqrt(2)
    x2 = radius sin(angle) + (theta2 - theta1) / sqrt(2)

Given x, the point (radius, angle) determines theta up to a sign: the posterior is the distribution
of that point, rotated, as two mirror images, and truncated where theta1 + theta2 would be imaginary
or the prior ends.

Source: Greenberg, Nonnenmacher and Macke (2019), Automatic posterior transformation for
likelihood-free inference, arXiv:1905.07488, as task T.8 of Lueckmann et al. (2021), Benchmarking
simulation-based inference, arXiv:2101.04653.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special

import bayesinn as bi
from bayesinn.core.errors import InputError

tfd = tfp.distributions

RADIUS = 0.1
RADIUS_SD = 0.01
OFFSET = 0.25
ENTROPY = -3.7927
"""Expected negative log posterior density in nats: the smallest loss of any network."""

_ROOT = math.sqrt(2.0)
# Of the radius: its root has no gradient at zero.
_LEAST_SQUARE = 1e-200
# Less than one in ten million simulations has a smaller value; other data are impossible under the
# model.
_LEAST_ACCEPTANCE = 1e-5
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(400)
_MOST_PROPOSALS = 1_000_000


def log_likelihood(
    parameters: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the log density (n,) of x, (2,) or (n, 2), for parameters (n,).

    Arguments and result are arrays; within a graph, tensors, with gradients. In double precision.
    """
    first = tf.cast(parameters["theta1"], tf.float64)
    second = tf.cast(parameters["theta2"], tf.float64)
    x = tf.cast(data["x"], tf.float64)
    along = x[..., 0] - OFFSET + tf.abs(first + second) / _ROOT
    across = x[..., 1] - (second - first) / _ROOT
    radius = tf.sqrt(tf.maximum(along**2 + across**2, _LEAST_SQUARE))
    density = -0.5 * ((radius - RADIUS) / RADIUS_SD) ** 2 - math.log(
        math.sqrt(2.0 * math.pi) * RADIUS_SD
    )
    # The angle is uniform over half a turn; the radius converts from polar to Cartesian
    # coordinates.
    result = tf.where(along > 0.0, density - tf.math.log(math.pi * radius), -np.inf)
    return result.numpy() if tf.executing_eagerly() else result


def acceptance(x: np.ndarray) -> np.ndarray:
    """Return the share (n,) of (radius, angle) that lead to x (n, 2) from the prior, by quadrature.

    The density of x is half this share.
    """
    angles = 0.5 * math.pi * _NODES
    cosine = np.cos(angles)
    sine = np.sin(angles)
    x1, x2 = (np.asarray(x, np.float64)[..., axis, None] for axis in (0, 1))
    # For each angle three bounds on the radius: |theta1 + theta2| is not negative, and both
    # parameters are in the box.
    margin = _ROOT - OFFSET + x1
    low = (x1 - OFFSET) / cosine
    high = np.inf
    for slope, limit in ((cosine - sine, margin - x2), (cosine + sine, margin + x2)):
        low = np.maximum(low, np.where(slope < 0.0, limit / slope, -np.inf))
        high = np.minimum(high, np.where(slope > 0.0, limit / slope, np.inf))
    mass = special.ndtr((high - RADIUS) / RADIUS_SD) - special.ndtr((low - RADIUS) / RADIUS_SD)
    return np.maximum(mass, 0.0) @ (0.5 * _WEIGHTS)


def log_posterior(
    parameters: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the exact log posterior density (n,) of parameters (n,) given x (2,) or (n, 2).

    The latter is one x for each.
    """
    inside = (np.abs(parameters["theta1"]) <= 1.0) & (np.abs(parameters["theta2"]) <= 1.0)
    density = log_likelihood(parameters, data) - np.log(2.0 * acceptance(data["x"]))
    return np.where(inside, density, -np.inf)


def exact(data: Mapping[str, np.ndarray], draws: int, seed: int) -> dict[str, np.ndarray]:
    """Draw theta1 and theta2 (draws,) from the exact posterior of one observation.

    Raises
    ------
    InputError
        When the model can't produce the observation.
    """
    x = np.reshape(np.asarray(data["x"], np.float64), (2,))
    share = float(acceptance(x))
    if not share > _LEAST_ACCEPTANCE:
        raise InputError(
            "Observation 'x' of 'two_moons'",
            expected="a point that the model can produce, such as (0, 0)",
            got=f"({x[0]:g}, {x[1]:g})",
            do="simulate data: bi.get_simulator('two_moons').sample(1, seed=1)['x'][0]",
        )
    generator = np.random.default_rng(seed)
    kept: list[np.ndarray] = []
    while (missing := draws - sum(map(len, kept))) > 0:
        proposals = min(_MOST_PROPOSALS, 100 + int(1.1 * missing / share))
        angle = generator.uniform(-0.5 * math.pi, 0.5 * math.pi, proposals)
        radius = generator.normal(RADIUS, RADIUS_SD, proposals)
        total = radius * np.cos(angle) + OFFSET - x[0]
        difference = x[1] - radius * np.sin(angle)
        inside = (total >= 0.0) & (total + np.abs(difference) <= _ROOT)
        mirrored = total * generator.choice([-1.0, 1.0], proposals)
        kept.append(
            np.stack([mirrored - difference, mirrored + difference], axis=1)[inside] / _ROOT
        )
    values = np.concatenate(kept)[:draws]
    return {"theta1": values[:, 0], "theta2": values[:, 1]}


@bi.simulator(
    prior={"theta1": tfd.Uniform(-1.0, 1.0), "theta2": tfd.Uniform(-1.0, 1.0)},
    labels={"theta1": r"$\theta_1$", "theta2": r"$\theta_2$", "x": "$x$"},
    observed={"x": [0.0, 0.0]},
    log_likelihood=log_likelihood,
    exact=exact,
)
def two_moons(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Draw a noisy point on a half circle, shifted by the parameters."""
    shape = tf.shape(parameters["theta1"])
    angle_seed, radius_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    angle = tf.random.stateless_uniform(shape, angle_seed, -0.5 * math.pi, 0.5 * math.pi)
    radius = RADIUS + RADIUS_SD * tf.random.stateless_normal(shape, radius_seed)
    total = parameters["theta1"] + parameters["theta2"]
    difference = parameters["theta2"] - parameters["theta1"]
    x1 = radius * tf.cos(angle) + OFFSET - tf.abs(total) / _ROOT
    x2 = radius * tf.sin(angle) + difference / _ROOT
    return {"x": tf.stack([x1, x2], axis=-1)}
