"""The additive transform, a shift without a scale."""

import dataclasses

import tensorflow as tf

from bayesinn.bijections.transforms.transform import Transform


@dataclasses.dataclass(frozen=True, repr=False)
class Additive(Transform):
    """Shift each element, z = x + t: the couplings of NICE, and the blocks of reversible networks.

    It keeps volumes, and rounding errors don't grow by scales: of all transforms, it suits
    reversible chains of many blocks best. For densities it is weak, as it can't stretch: take
    :class:`Affine` or :class:`Spline`.

    References
    ----------
    Dinh, Krueger and Bengio (2015), NICE: Non-linear independent components estimation,
    arXiv:1410.8516.
    Gomez, Ren, Urtasun and Grosse (2017), The reversible residual network, arXiv:1707.04585.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_slope = Additive().forward(tf.constant([[3.0]]), raw=tf.constant([[[1.0]]]))
    >>> float(z[0, 0]), float(log_slope[0, 0])
    (4.0, 0.0)
    """

    parameters_per_element = 1
    volume_preserving = True

    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return x + raw[..., 0], tf.zeros_like(x)

    def inverse(self, z: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return z - raw[..., 0], tf.zeros_like(z)
