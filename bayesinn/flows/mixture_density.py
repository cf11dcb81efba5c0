"""The mixture density network: a Gaussian mixture whose components depend on the condition."""

import math
from collections.abc import Sequence

import numpy as np
import scipy
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.bijections.coupling import Perceptron
from bayesinn.core import seeds
from bayesinn.flows.flow import Flow
from bayesinn.flows.latents import (
    NARROWEST_LOG_SCALE,
    Normal,
    Seed,
    check_seed,
    choose_component,
    floored,
)

# Of standardised parameters. For data far out, networks return any number, and the reciprocal of a
# huge scale would be zero.
_WIDEST_LOG_SCALE = 10.0


class MixtureDensity(Flow):
    """A mixture of Gaussians with full covariances, which a perceptron computes from the condition.

    Its density is exact, and drawing is fast. It suits a few parameters, and modes of nearly
    Gaussian shape.

    Parameters
    ----------
    components : int, number of Gaussians: that of the posterior's modes, or a few more
    hidden : sequence of int, units of the hidden layers
    activation : str, name of a Keras activation
    dropout : float, share of hidden units dropped in training

    References
    ----------
    Bishop (1994), Mixture density networks, Aston University NCRG/94/004.

    Examples
    --------
    >>> import tensorflow as tf
    >>> flow = MixtureDensity(components=3, hidden=(32,))
    >>> flow.log_prob(tf.ones((10, 3)), tf.ones((10, 2))).shape
    TensorShape([10])
    >>> flow.sample(100, condition=tf.ones((4, 2)), seed=(1, 2)).shape
    TensorShape([4, 100, 3])
    """

    def __init__(
        self,
        components: int = 8,
        hidden: Sequence[int] = (128, 128),
        activation: str = "silu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        # A plain integer, which Keras wants.
        self.components = int(components)
        self.perceptron = Perceptron(hidden, activation, dropout)

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        size = math.prod(self.event_shape)
        inputs = 1 if condition_shape is None else condition_shape[0]
        # For each component: weight, means, and a triangle, with scales on its diagonal.
        self.parts = [1, size, size * (size + 1) // 2]
        outputs = self.components * sum(self.parts)
        self.network = self.perceptron.network(inputs, outputs, self.dtype)
        self.network.build((None, inputs))
        # Components start at different places, which fill a standard normal distribution evenly.
        points = scipy.stats.qmc.Halton(size, scramble=False).random(self.components + 1)[1:]
        self.places = scipy.stats.norm.ppf(points).astype(np.float32)

    def loss(
        self,
        x: tf.Tensor,
        condition: tf.Tensor | None = None,
        *,
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        return -self._log_density(x, condition, training)

    def log_prob(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        return self._log_density(x, condition, training=False)

    def sample(
        self, n: int | tf.Tensor, condition: tf.Tensor | None = None, *, seed: Seed
    ) -> tf.Tensor:
        log_weights, means, roots = self._law(condition)
        for_component, for_noise = seeds.split(check_seed(seed), 2)
        rows = tf.shape(means)[0]
        uniform = tf.random.stateless_uniform((rows, n, 1), for_component, alg="philox")
        number = choose_component(log_weights[:, None], uniform)
        chosen = tf.one_hot(number, self.components, dtype=means.dtype)
        noise = Normal().sample((rows, n, means.shape[-1]), for_noise)
        inverses = tf.linalg.triangular_solve(roots, tf.eye(means.shape[-1], dtype=means.dtype))
        each = tf.einsum("mnj,mkij->mnki", noise, inverses) + means[:, None]
        x = tf.reshape(tf.einsum("mnk,mnki->mni", chosen, each), (rows, n, *self.event_shape))
        return x[0] if condition is None else x

    def _log_density(self, x: tf.Tensor, condition: tf.Tensor | None, training: bool) -> tf.Tensor:
        log_weights, means, roots = self._law(condition, training)
        vectors = tf.reshape(x, (-1, 1, means.shape[-1]))
        z = tf.linalg.matvec(roots, vectors - means)
        log_det = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(roots)), axis=-1)
        constant = 0.5 * means.shape[-1] * math.log(2.0 * math.pi)
        log_normal = log_det - 0.5 * tf.reduce_sum(z**2, axis=-1) - constant
        return tf.reduce_logsumexp(log_weights + log_normal, axis=-1)

    def _law(
        self, condition: tf.Tensor | None, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return log weights (m, k), means (m, k, d), and roots of the precisions (m, k, d, d)."""
        self.check_condition(condition)
        inputs = tf.ones((1, 1)) if condition is None else condition
        outputs = self.network(inputs, training=training)
        outputs = tf.reshape(outputs, (-1, self.components, sum(self.parts)))
        logits, means, triangles = tf.split(outputs, self.parts, axis=-1)
        roots = tfp.math.fill_triangular(triangles)
        # Scales have a floor: without it, the likelihood of a repeated point would have no bound.
        log_scales = floored(tf.linalg.diag_part(roots), NARROWEST_LOG_SCALE)
        diagonal = tf.exp(-tf.minimum(log_scales, _WIDEST_LOG_SCALE))
        log_weights = tf.nn.log_softmax(logits[..., 0])
        return log_weights, means + self.places, tf.linalg.set_diag(roots, diagonal)
