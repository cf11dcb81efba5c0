"""SLCP with distractors (sbibm T.4): the four points of slcp, hidden among 92 numbers of noise.

    x = the 8 numbers of slcp and 92 of noise, in an order that is always the same
    noise ~ 1/20 sum_k StudentT(2 degrees of freedom, location m_k, scale L_k L_k'),    k = 1 ... 20

Locations, scales and order were drawn once, from NumPy's generator with seed 42. The posterior is
that of slcp given its 8 numbers.

Source: Lueckmann et al. (2021), Benchmarking simulation-based inference, arXiv:2101.04653.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

from . import slcp as plain

tfd = tfp.distributions

NUMBERS = 2 * plain.POINTS
DISTRACTORS = 92
PARTS = 20
FREEDOM = 2.0


@functools.cache
def noise() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return locations (20, 92), lower triangular scales (20, 92, 92), and the order (100,)."""
    # The legacy generator, whose numbers are the same in all versions of NumPy.
    generator = np.random.RandomState(42)
    locations = np.array([15.0 * generator.normal(size=DISTRACTORS) for _ in range(PARTS)])
    scales = []
    for _ in range(PARTS):
        below = np.tril(generator.normal(size=(DISTRACTORS, DISTRACTORS)))
        scales.append(3.0 * (below + np.diag(np.exp(generator.normal(size=DISTRACTORS)))))
    return locations, np.array(scales), generator.permutation(NUMBERS + DISTRACTORS)


def log_likelihood(
    parameters: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the log density (n,) of x, (100,) or (n, 100), for theta (n, 5), but for a constant.

    The density of the noise is left out. It doesn't depend on theta, and its scales are so close to
    singular that numbers in single precision don't determine it.
    """
    places = np.argsort(noise()[2])[:NUMBERS]
    return plain.log_likelihood(parameters, {"x": np.asarray(data["x"])[..., places]})


def _draw_noise(rows: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw noise (rows, 92)."""
    locations, scales, _ = noise()
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    part = tf.random.stateless_uniform((rows,), seeds[0], 0, PARTS, tf.int32)
    normal = tf.random.stateless_normal((rows, DISTRACTORS), seeds[1])
    # With two degrees of freedom, chi squared is exponential.
    chi_squared = -2.0 * tf.math.log1p(-tf.random.stateless_uniform((rows, 1), seeds[2]))
    wide = normal * tf.sqrt(FREEDOM / tf.maximum(chi_squared, 1e-12))
    # A product with all scales costs less than a matrix for each row.
    rotated = tf.einsum("kij,nj->nki", tf.constant(scales, tf.float32), wide)
    chosen = tf.gather(rotated, part, axis=1, batch_dims=1)
    return tf.gather(tf.constant(locations, tf.float32), part) + chosen


@bi.simulator(
    prior=plain.PRIOR,
    labels={"theta": r"$\theta$", "x": "$x$"},
    log_likelihood=log_likelihood,
)
def slcp_distractors(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Draw four points and the noise around them."""
    points_seed, noise_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    points = plain.draw_points(parameters["theta"], points_seed)
    distractors = _draw_noise(tf.shape(points)[0], noise_seed)
    return {"x": tf.gather(tf.concat([points, distractors], axis=1), noise()[2], axis=1)}
