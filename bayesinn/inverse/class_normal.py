"""The class-conditional latent: one Gaussian for each class, all on the same axes."""

from typing import Literal

import keras
import tensorflow as tf

from bayesinn.core.configuration import Configured
from bayesinn.core.validation import check_choice
from bayesinn.flows.latents.gaussian_mixture import (
    SMALLEST_LOG_SCALE,
    floored,
    gaussian_log_probs,
    unfloored,
)

_MOMENTUM = 0.9
_FEWEST = 2.0


class ClassNormal(Configured, keras.layers.Layer):
    r"""A diagonal Gaussian by class, :math:`p(z \mid y) = N(\mu_y, \mathrm{diag}\,\sigma_y^2)`.

    Parameters
    ----------
    scales : {"free", "batch", "unit"}
        - "free": means and scales are weights, trained with the network; log scales never fall
          below -6.
        - "batch": means and scales are those of the class in the batch, the best for the present
          network (profile likelihood); after training, those of all data. A batch needs 20 or more
          members of each class; a class with fewer than two uses the statistics of earlier batches.
        - "unit": means are weights, and all scales are one.

    References
    ----------
    Izmailov, Kirichenko, Finzi and Wilson (2020), Semi-supervised learning with normalizing flows,
    arXiv:1912.13025.
    Sorrenson, Rother and Köthe (2020), Disentanglement by nonlinear ICA with GIN, arXiv:2001.04872.

    Examples
    --------
    >>> import tensorflow as tf
    >>> latent = ClassNormal()
    >>> latent.build(classes=3, dimension=2)
    >>> latent.log_probs(tf.zeros((5, 2))).shape
    TensorShape([5, 3])
    """

    def __init__(self, scales: Literal["free", "batch", "unit"] = "free") -> None:
        super().__init__(autocast=False)
        check_choice("ClassNormal, argument 'scales'", scales, ("free", "batch", "unit"))
        self.scales = scales

    def build(self, classes: int, dimension: int) -> None:
        """Make the weights; ``log_weights`` (k,) are the logs of the class frequencies."""

        def weight(name: str, shape: tuple[int, ...], trainable: bool) -> keras.Variable:
            return self.add_weight(
                shape=shape, initializer="zeros", trainable=trainable, autocast=False, name=name
            )

        self.means = weight("means", (classes, dimension), self.scales != "batch")
        self.raw_log_scales = weight("raw_log_scales", (classes, dimension), self.scales == "free")
        self.log_weights = weight("log_weights", (classes,), False)

    def parameters(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Return means and log scales, each (k, d)."""
        raw = tf.convert_to_tensor(self.raw_log_scales)
        return tf.convert_to_tensor(self.means), tf.zeros_like(
            raw
        ) if self.scales == "unit" else floored(raw)

    def log_probs(self, z: tf.Tensor) -> tf.Tensor:
        """Return log densities of vectors (n, d) under every class, (n, k)."""
        return gaussian_log_probs(z, *(tf.cast(part, z.dtype) for part in self.parameters()))

    def call(self, z: tf.Tensor, labels: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return log densities (n,) of vectors (n, d) under their classes.

        The classes are integers (n,) from 0 to k - 1.
        """
        means, log_scales = self.parameters()
        if training and self.scales == "batch":
            old_means = means
            old_log_scales = log_scales
            means, log_scales = self._statistics(z, labels)
            self.means.assign(_MOMENTUM * old_means + (1.0 - _MOMENTUM) * means)
            self.raw_log_scales.assign(
                unfloored(_MOMENTUM * old_log_scales + (1.0 - _MOMENTUM) * log_scales)
            )
        return tf.gather(gaussian_log_probs(z, means, log_scales), labels, axis=1, batch_dims=1)

    def set_from(self, z: tf.Tensor, labels: tf.Tensor) -> None:
        """Set means and scales to statistics of labelled vectors, for classes with two or more."""
        means, log_scales = self._statistics(z, labels)
        self.means.assign(means)
        self.raw_log_scales.assign(unfloored(log_scales))

    def _statistics(self, z: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return means and log scales (k, d) by class; the present ones if members are too few."""
        member = tf.one_hot(labels, self.means.shape[0], dtype=z.dtype)
        counts = tf.reduce_sum(member, axis=0)[:, None]
        divisor = tf.maximum(counts, 1.0)
        means = tf.matmul(member, z, transpose_a=True) / divisor
        # In two passes: the mean of squares minus the square of the mean would lose digits.
        deviations = z - tf.matmul(member, means)
        variances = tf.matmul(member, deviations**2, transpose_a=True) / divisor
        smallest = tf.exp(tf.constant(2.0 * SMALLEST_LOG_SCALE, z.dtype))
        log_scales = 0.5 * tf.math.log(variances + smallest)
        enough = counts >= _FEWEST
        old_means, old_log_scales = self.parameters()
        return tf.where(enough, means, old_means), tf.where(enough, log_scales, old_log_scales)
