"""The Haar wavelet transform, which halves the resolution and separates averages from details."""

import math

import tensorflow as tf

from bayesinn.bijections.bijection import constant_log_det
from bayesinn.bijections.image.space_to_depth import SpaceToDepth
from bayesinn.core.validation import check_number


class Haar(SpaceToDepth):
    """Turn each block of 2 x 2 pixels into its average, and its three differences, as channels.

    The averages of all channels come first, then differences from left to right, from top to
    bottom, and along the diagonals. By default the transform is a rotation: averages are sums
    divided by two, which doubles their size where neighbours are alike. Height and width must be
    even. See Ardizzone et al. (2019), Guided image generation with conditional invertible neural
    networks, arXiv:1907.02392.

    Parameters
    ----------
    rebalance : float, factor of all channels; 0.5 keeps the size of averages over many levels

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Haar().forward(tf.constant([[[[1.0], [2.0]], [[3.0], [4.0]]]]))
    >>> z.numpy().ravel().tolist(), float(log_det[0])
    ([5.0, -1.0, -2.0, 0.0], 0.0)
    """

    def __init__(self, rebalance: float = 1.0) -> None:
        super().__init__()
        check_number(
            "Haar, argument 'rebalance'", rebalance, above=0, do="leave it out, or take 0.5"
        )
        self.rebalance = rebalance

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        pixels, _ = super().forward(x, condition)
        log_det = constant_log_det(x, self.dimension * math.log(self.rebalance))
        return _wavelets(pixels, 0.5 * self.rebalance), log_det

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        x, _ = super().inverse(_wavelets(z, 0.5 / self.rebalance), condition)
        return x, constant_log_det(z, -self.dimension * math.log(self.rebalance))


def _wavelets(blocks: tf.Tensor, factor: float) -> tf.Tensor:
    """Combine the four quarters of the channels; with factor one half, twice is the identity."""
    upper_left, upper_right, lower_left, lower_right = tf.split(blocks, 4, axis=-1)
    upper = upper_left + upper_right
    lower = lower_left + lower_right
    upper_change = upper_left - upper_right
    lower_change = lower_left - lower_right
    parts = [upper + lower, upper_change + lower_change, upper - lower, upper_change - lower_change]
    return factor * tf.concat(parts, axis=-1)
