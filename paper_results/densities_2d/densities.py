"""Five densities in the plane with exact log density, sampler and entropy.

The entropy is the least expected negative log density that any network can reach on fresh draws.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

_LOG_2_PI = math.log(2.0 * math.pi)


class PlaneDensity(tfd.Distribution):
    """A TFP distribution of points (2,), fit as prior.

    An author writes ``_sample_n`` and ``_log_prob``.

    Parameters
    ----------
    title : str
    entropy_value : float
        In nats.
    window : (left, right, bottom, top)
        What pictures show; nearly all mass lies inside.
    """

    def __init__(
        self, title: str, entropy_value: float, window: tuple[float, float, float, float]
    ) -> None:
        super().__init__(
            dtype=tf.float32,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            name=type(self).__name__,
        )
        self.title = title
        self.entropy_value = entropy_value
        self.window = window

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([2])

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.constant([2])

    def _batch_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _batch_shape_tensor(self) -> tf.Tensor:
        return tf.constant([], tf.int32)

    def _default_event_space_bijector(self) -> tfp.bijectors.Bijector:
        return tfp.bijectors.Identity()

    def _entropy(self) -> float:
        return self.entropy_value


class GaussianRing(PlaneDensity):
    """Eight equally likely round Gaussians.

    Parameters
    ----------
    centres : array (8, 2)
    sd : float
    """

    def __init__(self, title: str, entropy_value: float, centres: np.ndarray, sd: float) -> None:
        edge = float(np.abs(centres).max() + 4.0 * sd)
        super().__init__(title, entropy_value, (-edge, edge, -edge, edge))
        self.centres = np.asarray(centres, np.float32)
        self.sd = sd

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        which, noise = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
        index = tf.random.stateless_uniform((n,), which, 0, len(self.centres), tf.int32)
        return tf.gather(self.centres, index) + self.sd * tf.random.stateless_normal((n, 2), noise)

    def _log_prob(self, x: tf.Tensor) -> tf.Tensor:
        distance = tf.reduce_sum(((x[..., None, :] - self.centres) / self.sd) ** 2, axis=-1)
        log_constant = -_LOG_2_PI - 2.0 * math.log(self.sd) - math.log(len(self.centres))
        return tf.reduce_logsumexp(-0.5 * distance, axis=-1) + log_constant


class Checkerboard(PlaneDensity):
    """Uniform on the eight dark squares, of side 2, of a board from -4 to 4: sixteen corners.

    The corners are sharp.
    """

    def __init__(self) -> None:
        super().__init__("checkerboard", math.log(32.0), (-4.6, 4.6, -4.6, 4.6))

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        place, row = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
        uniform = tf.random.stateless_uniform((n, 2), place)
        first = 4.0 * uniform[:, 0] - 2.0
        lower = tf.cast(tf.random.stateless_uniform((n,), row, 0, 2, tf.int32), tf.float32)
        second = uniform[:, 1] - 2.0 * lower + tf.math.floormod(tf.floor(first), 2.0)
        return 2.0 * tf.stack([first, second], axis=-1)

    def _log_prob(self, x: tf.Tensor) -> tf.Tensor:
        squares = tf.floor(0.5 * x)
        dark = tf.math.floormod(tf.reduce_sum(squares, axis=-1), 2.0) == 0.0
        on_board = tf.reduce_all(tf.abs(x) < 4.0, axis=-1)
        return tf.where(dark & on_board, -math.log(32.0), -np.inf)


class Moons(PlaneDensity):
    """Two interleaved half circles with Gaussian noise: ``sklearn.datasets.make_moons``, unscaled.

    The noise is round.

    The density is an integral over the half circles, here by Gauss-Legendre quadrature.
    """

    def __init__(self, noise: float = 0.1, entropy_value: float = 1.007585) -> None:
        super().__init__("moons", entropy_value, (-1.6, 2.6, -1.1, 1.6))
        self.noise = noise
        nodes, weights = np.polynomial.legendre.leggauss(100)
        angles = 0.5 * math.pi * (nodes + 1.0)
        points = np.concatenate([_moon(angles, 0.0), _moon(angles, 1.0)])
        self._points = np.asarray(points, np.float32)
        self._log_weights = np.log(np.concatenate([weights, weights]) / 4.0).astype(np.float32)

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        which, place, noise = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
        inner = tf.cast(tf.random.stateless_uniform((n,), which, 0, 2, tf.int32), tf.float32)
        angle = tf.random.stateless_uniform((n,), place, 0.0, math.pi)
        first = tf.cos(angle)
        second = tf.sin(angle)
        point = tf.stack(
            [inner + (1.0 - 2.0 * inner) * first, 0.5 * inner + (1.0 - 2.0 * inner) * second],
            axis=-1,
        )
        return point + self.noise * tf.random.stateless_normal((n, 2), noise)

    def _log_prob(self, x: tf.Tensor) -> tf.Tensor:
        distance = tf.reduce_sum(((x[..., None, :] - self._points) / self.noise) ** 2, axis=-1)
        total = tf.reduce_logsumexp(self._log_weights - 0.5 * distance, axis=-1)
        return total - _LOG_2_PI - 2.0 * math.log(self.noise)


class Crescent(PlaneDensity):
    """x2 ~ Normal(0, 2), x1 given x2 ~ Normal(x2^2 / 4, 1)."""

    def __init__(self) -> None:
        super().__init__("crescent", math.log(4.0 * math.pi * math.e), (-4.0, 12.0, -8.0, 8.0))

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        noise = tf.random.stateless_normal((n, 2), seed)
        second = 2.0 * noise[:, 1]
        return tf.stack([0.25 * second**2 + noise[:, 0], second], axis=-1)

    def _log_prob(self, x: tf.Tensor) -> tf.Tensor:
        first = x[..., 0]
        second = x[..., 1]
        squares = (first - 0.25 * second**2) ** 2 + 0.25 * second**2
        return -0.5 * squares - _LOG_2_PI - math.log(2.0)


def _moon(angle: np.ndarray, inner: float) -> np.ndarray:
    """Points (n, 2) on the outer half circle (0.0) or the inner one (1.0)."""
    sign = 1.0 - 2.0 * inner
    return np.stack([inner + sign * np.cos(angle), 0.5 * inner + sign * np.sin(angle)], axis=-1)


def _ring(radius: float, first_angle: float) -> np.ndarray:
    angles = first_angle + np.arange(8) * math.pi / 4.0
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)


_ROOT = math.sqrt(2.0)

#: By name, in the order of the tables. The eight modes are those of Ardizzone et al. (2019),
#: arXiv:1808.04730; the eight Gaussians and the checkerboard of Grathwohl et al. (2019), FFJORD,
#: arXiv:1810.01367; the crescent of Papamakarios, Pavlakou and Murray (2017), Masked autoregressive
#: flow, arXiv:1705.07057. Entropies by quadrature or in closed form.
DENSITIES: dict[str, PlaneDensity] = {
    density.title: density
    for density in (
        GaussianRing("8 modes", 1.69844, _ring(math.hypot(1.0 + _ROOT, 1.0), math.pi / 8.0), 0.2),
        GaussianRing("8 Gaussians", 2.83188, _ring(4.0 / 1.414, 0.0), 0.5 / 1.414),
        Checkerboard(),
        Moons(),
        Crescent(),
    )
}
