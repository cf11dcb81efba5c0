"""The g-and-k distribution: 100 draws from a law that is known by its quantiles alone.

    A, B, g, k ~ Uniform(0, 10),    z_i ~ Normal(0, 1),    i = 1 ... 100
    x_i = A + B (1 + 0.8 tanh(g z_i / 2)) (1 + z_i^2)^k z_i

A and B are location and scale, g the skewness, k the weight of the tails. The density follows from
the z that belongs to an x, which a bisection finds: the likelihood is exact to double precision.

Source: Rayner and MacGillivray (2002), Statistics and Computing 12; as a test of methods without a
likelihood in Allingham, King and Mengersen (2009), Statistics and Computing 19.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.simulators.bisection import bisect

tfd = tfp.distributions

DRAWS = 100
OVERALL_ASYMMETRY = 0.8
TRUTH = {"A": 3.0, "B": 1.0, "g": 2.0, "k": 0.5}
"""Parameters of the tests in the papers."""

# A standard normal draw further out has a density of zero in double precision.
_FURTHEST = 38.0
_BISECTIONS = 56
_NAMES = ("A", "B", "g", "k")


def quantile(parameters: Mapping[str, tf.Tensor], z: tf.Tensor) -> tf.Tensor:
    """Return the x (n, m) of standard normal quantiles z (n, m), for parameters (n,)."""
    location, scale, skewness, tails = (parameters[name][:, None] for name in _NAMES)
    skewed = 1.0 + OVERALL_ASYMMETRY * tf.tanh(0.5 * skewness * z)
    return location + scale * skewed * tf.exp(tails * tf.math.log1p(z**2)) * z


def log_slope(parameters: Mapping[str, tf.Tensor], z: tf.Tensor) -> tf.Tensor:
    """Return the log of the derivative of :func:`quantile` by z (n, m)."""
    _, scale, skewness, tails = (parameters[name][:, None] for name in _NAMES)
    tangent = tf.tanh(0.5 * skewness * z)
    skewed = 1.0 + OVERALL_ASYMMETRY * tangent
    bend = OVERALL_ASYMMETRY * 0.5 * skewness * (1.0 - tangent**2) * z
    stretch = 1.0 + 2.0 * tails * z**2 / (1.0 + z**2)
    return tf.math.log(scale) + tails * tf.math.log1p(z**2) + tf.math.log(skewed * stretch + bend)


def standard_normal(parameters: Mapping[str, tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """Return the z (n, m) that belong to x (n, m), or the furthest; with gradients."""
    low = tf.fill(tf.shape(x), tf.constant(-_FURTHEST, x.dtype))
    high = -low
    low, high = bisect(low, high, lambda z: quantile(parameters, z) < x, _BISECTIONS)
    z = tf.stop_gradient(0.5 * (low + high))
    # A step of Newton's method, of nearly no length, carries the derivatives by parameters.
    slope = tf.stop_gradient(tf.exp(log_slope(parameters, z)))
    rest = quantile(parameters, z) - x
    return z - (rest - tf.stop_gradient(rest)) / slope


def log_likelihood(parameters: Mapping[str, tf.Tensor], data: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return the log density (n,) of x, (100,) or (n, 100), for parameters (n,); double."""
    exact = {name: tf.cast(parameters[name], tf.float64) for name in _NAMES}
    x = tf.cast(data["x"], tf.float64) + tf.zeros_like(exact["A"])[:, None]
    z = standard_normal(exact, x)
    terms = -0.5 * z**2 - 0.5 * math.log(2.0 * math.pi) - log_slope(exact, z)
    return tf.reduce_sum(terms, axis=1)


@bi.simulator(
    prior={name: tfd.Uniform(0.0, 10.0) for name in _NAMES},
    labels={**{name: f"${name}$" for name in _NAMES}, "x": "$x_i$"},
    log_likelihood=log_likelihood,
)
def g_and_k(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Draw 100 independent numbers by their quantiles, in increasing order."""
    z = tf.random.stateless_normal((tf.shape(parameters["A"])[0], DRAWS), seed)
    # The order of independent draws says nothing.
    return {"x": tf.sort(quantile(parameters, z), axis=1)}
