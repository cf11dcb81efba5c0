"""Levy-stable laws: 100 draws whose sums have the same law, with tails that have no variance.

    alpha ~ Uniform(1.1, 2),    beta ~ Uniform(-1, 1)
    location ~ Normal(0, 5),    scale ~ LogNormal(0, 1)
    x_i = location + scale z_i,    i = 1 ... 100
    log E exp(i t z) = -|t|^alpha (1 + i beta tan(pi alpha / 2) sign(t) (|t|^(1 - alpha) - 1))

alpha is the weight of the tails (2 is Gaussian, with variance 2 scale^2), beta the skewness. This
is the parametrization S0, in which the law of z is continuous in alpha, also at 1; in S1 the
location is less by scale beta tan(pi alpha / 2). The density is the integral of a positive
function. Densities and draws are those of all alpha from 0.3 to 2, not only of the prior.

Source: Nolan (1997), Communications in Statistics: Stochastic Models 13, for the integral;
Chambers, Mallows and Stuck (1976), JASA 71, for the draws; as a test of methods without a
likelihood in Peters, Sisson and Fan (2012), Computational Statistics and Data Analysis 56.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, Self

import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.simulators.bisection import bisect

tfd = tfp.distributions

DRAWS = 100
TRUTH = {"alpha": 1.7, "beta": 0.9, "location": 1.0, "scale": 1.0}

PRIOR = {
    "alpha": tfd.Uniform(1.1, 2.0),
    "beta": tfd.Uniform(-1.0, 1.0),
    "location": tfd.Normal(0.0, 5.0),
    "scale": tfd.LogNormal(0.0, 1.0),
}

# The integral is written with 1 / (alpha - 1): nearer to one, alpha counts as this far from it.
_NEAREST = 1e-6
# Nodes of the integral, and how far from its peak they end. Measured errors of log densities: 1e-8,
# and 1e-5 for alpha within 1e-5 of one, or above 1.999 far out.
_NODES = 128
_REACH = 100.0
_BISECTIONS = 42
_FURTHEST = 300.0
_LARGEST_LOG = 700.0
# Below this width of the interval nothing is left but rounding: z is outside of the support.
_NARROWEST = 1e-13


def away_from_one(alpha: tf.Tensor) -> tf.Tensor:
    """Return alpha (n,), moved away from one where it is too near; its derivative stays one."""
    side = _NEAREST * tf.where(alpha < 1.0, -tf.ones_like(alpha), tf.ones_like(alpha))
    near = tf.abs(alpha - 1.0) < _NEAREST
    return alpha + tf.stop_gradient(tf.where(near, 1.0 + side - alpha, tf.zeros_like(alpha)))


def tilt(alpha: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """Return beta tan(pi alpha / 2), also near its pole."""
    return -beta / tf.tan(0.5 * math.pi * (alpha - 1.0))


class Integrand(NamedTuple):
    """Nolan's integrand, of an angle phi = width sigmoid(s) from 0 to ``width``, over all s.

    ``distance`` is that of z to the point -beta tan(pi alpha / 2), from the left for -beta. Angles
    near either end, and what is left to a half circle, are kept to full precision.
    """

    alpha: tf.Tensor
    distance: tf.Tensor
    tilt: tf.Tensor
    width: tf.Tensor

    @classmethod
    def at(cls, z: tf.Tensor, alpha: tf.Tensor, beta: tf.Tensor) -> Self:
        """Return the integrand of each z (n, m), for alpha and beta (n, 1)."""
        centre = -tilt(alpha, beta)
        right = z >= centre
        own = tf.where(right, -centre, centre)
        distance = tf.maximum(tf.abs(z - centre), 1e-10)
        width = tf.maximum(0.5 * math.pi + tf.atan(own) / alpha, _NARROWEST)
        return cls(alpha + tf.zeros_like(z), distance, own, width)

    def nodes(self) -> Self:
        """Return the same with a last axis of one, to be evaluated at nodes (..., k)."""
        return type(self)(*(part[..., None] for part in self))

    def angles(self, s: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return phi, what is left of it, two sums of both, and what is left of these to pi."""
        alpha = self.alpha
        phi = self.width * tf.sigmoid(s)
        left = self.width * tf.sigmoid(-s)
        first = alpha * phi
        second = first + left
        rest = tf.nn.relu(math.pi - alpha * self.width)
        other = tf.nn.relu(math.pi - self.width) + (1.0 - alpha) * phi
        complement = tf.where(alpha < 1.0, other, rest + (alpha - 1.0) * left)
        return phi, left, first, rest + alpha * left, second, complement

    def log_g(self, s: tf.Tensor) -> tf.Tensor:
        """Return the exponent g, which rises or falls all the way, as a logarithm."""
        _, left, first, to_first, second, to_second = self.angles(s)
        power = 1.0 / (self.alpha - 1.0)
        ratio = _log_sin(left) - _log_sin(tf.minimum(first, to_first))
        powers = self.alpha * power * (tf.math.log(self.distance) + ratio)
        powers -= 0.5 * power * tf.math.log1p(self.tilt**2)
        return powers - _log_sin(left) + _log_sin(tf.minimum(second, to_second))

    def log(self, s: tf.Tensor) -> tf.Tensor:
        """Return the logarithm of g exp(-g) dphi / ds."""
        log_g = tf.minimum(self.log_g(s), _LARGEST_LOG)
        step = tf.math.log_sigmoid(s) + tf.math.log_sigmoid(-s)
        return log_g - tf.exp(log_g) + tf.math.log(self.width) + step

    def rises(self, s: tf.Tensor) -> tf.Tensor:
        """Return whether the peak of the integrand is further right."""
        phi, left, first, to_first, second, to_second = self.angles(s)
        alpha = self.alpha
        change = -(1.0 / tf.tan(left) + alpha**2 * _cot(first, to_first)) / (alpha - 1.0)
        change += (alpha - 1.0) * _cot(second, to_second)
        g = tf.exp(tf.minimum(self.log_g(s), _LARGEST_LOG))
        return (1.0 - g) * change * phi * left / self.width + 1.0 - 2.0 * tf.sigmoid(s) > 0.0

    def peak(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the place of the peak, and how far away 1 / e of it is left; no derivatives."""
        low = tf.fill(tf.shape(self.distance), tf.cast(-_FURTHEST, self.distance.dtype))
        _, mode = bisect(low, -low, self.rises, _BISECTIONS)
        least = self.log(mode) - 1.0

        def is_high(s: tf.Tensor) -> tf.Tensor:
            return self.log(s) > least

        right = bisect(mode, -low, is_high, _BISECTIONS)[1] - mode
        left = mode - bisect(mode, low, is_high, _BISECTIONS)[1]
        # Rounding hides the width of a peak that is immensely low.
        width = tf.maximum(tf.minimum(left, right), 1e-10)
        return tf.stop_gradient(mode), tf.stop_gradient(width)


def log_density(z: tf.Tensor, alpha: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """Return log densities of z (n, m), double, for alpha and beta (n, 1); with gradients."""
    integrand = Integrand.at(z, away_from_one(alpha), beta)
    mode, width = integrand.peak()
    ends = tf.asinh(_REACH / width)
    unit = tf.linspace(tf.cast(-1.0, z.dtype), tf.cast(1.0, z.dtype), _NODES)

    def row(given: tuple[Integrand, tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        part = given[0].nodes()
        mode, width, ends = (each[:, None] for each in given[1:])
        # Equal steps of t, dense at the peak, with few far out.
        t = ends * unit
        s = tf.clip_by_value(mode + width * tf.sinh(t), -_FURTHEST, _FURTHEST)
        return tf.math.reduce_logsumexp(part.log(s) + tf.math.log(width * tf.cosh(t)), axis=-1)

    # Row by row: all nodes of all rows at a time would need gigabytes.
    given = (integrand, mode, width, ends)
    area = tf.map_fn(row, given, fn_output_signature=tf.TensorSpec(z.shape[1:], z.dtype))
    area += tf.math.log(2.0 * ends / (_NODES - 1))
    alpha = integrand.alpha
    factor = tf.math.log(alpha / math.pi) - tf.math.log(tf.abs(alpha - 1.0))
    outside = integrand.width <= _NARROWEST
    density = factor - tf.math.log(integrand.distance) + area
    return tf.where(outside, tf.constant(-math.inf, z.dtype), density)


def log_likelihood(parameters: Mapping[str, tf.Tensor], data: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return the log density (n,) of x, (100,) or (n, 100), for parameters (n,); double."""
    exact = {name: tf.cast(parameters[name], tf.float64)[:, None] for name in PRIOR}
    z = (tf.cast(data["x"], tf.float64) - exact["location"]) / exact["scale"]
    terms = log_density(z, exact["alpha"], exact["beta"]) - tf.math.log(exact["scale"])
    return tf.reduce_sum(terms, axis=1)


def draw(alpha: tf.Tensor, beta: tf.Tensor, shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw z of a shape to which alpha and beta broadcast, all double."""
    for_angle, for_size = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    alpha = away_from_one(alpha)
    slant = tilt(alpha, beta)
    angle = math.pi * (tf.random.stateless_uniform(shape, for_angle, dtype=tf.float64) - 0.5)
    # From above zero, as its logarithm is taken.
    uniform = 1.0 - tf.random.stateless_uniform(shape, for_size, dtype=tf.float64)
    size = -tf.math.log(uniform)
    turned = tf.atan(slant) + alpha * angle
    stretch = 0.5 * tf.math.log1p(slant**2) - tf.math.log(tf.cos(angle))
    stretch += (1.0 - alpha) * tf.math.log(tf.cos(turned - angle) / size)
    return tf.sin(turned) * tf.exp(stretch / alpha) - slant


def _log_sin(angle: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.sin(angle))


def _cot(angle: tf.Tensor, left: tf.Tensor) -> tf.Tensor:
    """Return the cotangent of an angle; ``left`` is pi less the angle, to full precision."""
    return tf.where(angle < left, 1.0 / tf.tan(angle), -1.0 / tf.tan(left))


@bi.simulator(
    prior=PRIOR,
    labels={"alpha": r"$\alpha$", "beta": r"$\beta$", "x": "$x_i$"},
    log_likelihood=log_likelihood,
)
def levy_stable(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Draw 100 independent numbers, in increasing order."""
    alpha, beta = (tf.cast(parameters[name][:, None], tf.float64) for name in ("alpha", "beta"))
    z = draw(alpha, beta, tf.stack([tf.shape(alpha)[0], DRAWS]), seed)
    z = tf.cast(z, parameters["scale"].dtype)
    # The order of independent draws says nothing.
    return {
        "x": tf.sort(parameters["location"][:, None] + parameters["scale"][:, None] * z, axis=1)
    }
