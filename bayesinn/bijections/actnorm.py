"""Activation normalisation: a scale and a shift per channel, set from a first batch."""

from collections.abc import Sequence

import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, constant_log_det
from bayesinn.core.validation import check_number


class ActNorm(Bijection):
    """Scale and shift each channel by trained weights, z = x * exp(log_scale) + shift.

    The channels of a vector are its elements; those of an image have one scale for all pixels.
    :meth:`initialize` sets both weights so that the first batch comes out with mean zero and
    standard deviation one. Elements with one below ``minimum_std`` keep their scale, so that
    constant ones aren't amplified. It acts only once: a flag, saved with the weights, protects
    trained or loaded values. See Kingma and Dhariwal (2018), Glow, arXiv:1807.03039.

    Examples
    --------
    >>> import tensorflow as tf
    >>> x = 10.0 + 5.0 * tf.random.stateless_normal((1000, 2), seed=(1, 2))
    >>> layer = ActNorm()
    >>> layer.initialize(x)
    >>> z, log_det = layer.forward(x)
    >>> bool(abs(tf.math.reduce_std(z) - 1.0) < 1e-3)
    True
    """

    event_rank = None
    reads = None

    def __init__(self, minimum_std: float = 1e-3) -> None:
        super().__init__()
        self.minimum_std = check_number(
            "ActNorm, argument 'minimum_std'", minimum_std, above=0, do="leave it out for 0.001"
        )

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        self.log_scale = self.add_weight(
            shape=(self.channels,), initializer="zeros", autocast=False, name="log_scale"
        )
        self.shift = self.add_weight(
            shape=(self.channels,), initializer="zeros", autocast=False, name="shift"
        )
        self.initialized = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="initialized"
        )

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        log_scale = tf.convert_to_tensor(self.log_scale)
        z = x * tf.exp(log_scale) + tf.convert_to_tensor(self.shift)
        return z, constant_log_det(x, self.pixels * tf.reduce_sum(log_scale))

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        log_scale = tf.convert_to_tensor(self.log_scale)
        x = (z - tf.convert_to_tensor(self.shift)) * tf.exp(-log_scale)
        return x, constant_log_det(z, -self.pixels * tf.reduce_sum(log_scale))

    def initialize(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> None:
        axes = list(range(len(x.shape) - 1))
        std = tf.math.reduce_std(x, axis=axes)
        std = tf.where(std < self.minimum_std, tf.ones_like(std), std)
        # Chosen with where, not if, so that it also works inside a compiled function.
        keep = tf.convert_to_tensor(self.initialized) > 0
        self.log_scale.assign(
            tf.where(keep, tf.convert_to_tensor(self.log_scale), -tf.math.log(std))
        )
        self.shift.assign(
            tf.where(keep, tf.convert_to_tensor(self.shift), -tf.reduce_mean(x, axis=axes) / std)
        )
        self.initialized.assign(1.0)
