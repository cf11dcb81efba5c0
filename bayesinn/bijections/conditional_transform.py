"""A transform whose parameters a network computes: what couplings of every kind are made of."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from bayesinn.bijections.subnet import HiddenLayers, Subnet
from bayesinn.bijections.transforms import Affine, Composed, Spline, Transform

Direction = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class ConditionalTransform(keras.layers.Layer):
    """Transform active elements with parameters that a subnet computes from passive elements and the condition.

    Without passive elements the parameters follow from the condition alone; without a condition too, they are free
    weights, equal for all rows.

    Parameters
    ----------
    transform : Transform
    passive, active : int
        How many elements are looked at, and how many are transformed.
    condition_dimension : int
        0 without a condition.
    hidden : HiddenLayers
        Of the subnet.
    dtype : str or Keras dtype policy, optional
    groups : int
        How many pairs of passive and active elements, all of these lengths, are treated at once. Each has a network
        of its own; all read the same condition.

    Examples
    --------
    >>> import tensorflow as tf
    >>> layer = ConditionalTransform(Affine(), passive=2, active=1, condition_dimension=0)
    >>> active, log_det = layer.forward(tf.ones((10, 1)), passive=tf.ones((10, 2)))
    >>> active.shape, log_det.shape
    (TensorShape([10, 1]), TensorShape([10]))
    """

    def __init__(
        self,
        transform: Transform,
        passive: int,
        active: int,
        condition_dimension: int,
        hidden: HiddenLayers = HiddenLayers(),
        dtype: str | keras.DTypePolicy | None = None,
        groups: int = 1,
    ) -> None:
        super().__init__(dtype=dtype)
        self.transform = transform
        self.active = active
        self.groups = groups
        features = passive + condition_dimension
        self.subnet = Subnet(features, active, transform.parameters_per_element, hidden, dtype, groups)
        self.subnet.build((None, features))
        self.built = True

    def forward(
        self, active: tf.Tensor, passive: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Map active elements towards the latent space.

        Parameters
        ----------
        active : tensor (n, a); with groups (n, groups, a)
        passive : tensor (n, p); with groups (n, groups, p)
        condition : tensor (n, c), SharedCondition (not with groups), or None

        Returns
        -------
        active : tensor, transformed, shape as before
        log_det : tensor (n,)
        """
        return self._apply(self.transform.forward, active, passive, condition)

    def inverse(
        self, active: tf.Tensor, passive: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Map latent active elements back; shapes as in :meth:`forward`."""
        return self._apply(self.transform.inverse, active, passive, condition)

    def _apply(
        self, direction: Direction, active: tf.Tensor, passive: tf.Tensor, condition: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        # The subnet may compute in half precision; the transform never does.
        raw = tf.cast(self.subnet(passive, condition), passive.dtype)
        if self.groups > 1:
            # To a transform, each group is a row.
            active = tf.reshape(active, (-1, self.active))
            raw = tf.reshape(raw, (-1, *raw.shape[2:]))
        active, log_slope = direction(active, raw)
        if self.groups > 1:
            active = tf.reshape(active, (-1, self.groups, self.active))
            log_slope = tf.reshape(log_slope, (-1, self.groups * self.active))
        if self.transform.volume_preserving:
            return active, tf.zeros_like(log_slope[:, 0])
        return active, tf.reduce_sum(log_slope, axis=-1)


def default_transform(dimension: int) -> Transform:
    """What couplings do to vectors of ``dimension`` elements unless told otherwise.

    Affine maps of a single element could only ever give a Gaussian.
    """
    return Affine() if dimension > 1 else Composed([Affine(), Spline()])
