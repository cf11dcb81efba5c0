"""A transform whose parameters a network computes: what couplings of every kind are made of."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from bayesinn.bijections.bijection import SharedCondition, constant_log_det
from bayesinn.bijections.subnet import HiddenLayers, perceptron, shared_outputs
from bayesinn.bijections.transforms import Transform

Condition = tf.Tensor | SharedCondition | None


class ConditionalTransform(keras.layers.Layer):
    """Transform active elements with parameters that a network computes from passive elements and the condition.

    Without passive elements the parameters follow from the condition alone; without a condition too, they are free
    weights, equal for all rows. All start at zero, so that a new block starts as the identity.

    Parameters
    ----------
    transform : Transform
    passive, active : int
        Number of elements that are read, and number of elements that are transformed.
    condition_dimension : int
        Number of elements of the condition, 0 without one.
    hidden : HiddenLayers
        Hidden layers of the network.
    dtype : str or Keras dtype policy, optional
    groups : int
        Number of pairs of passive and active elements, all of these lengths, that are treated at once. Each has a
        network of its own; all read the same condition.
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
        self.network = None
        sizes = active, transform.parameters_per_element
        if passive + condition_dimension:
            self.network = perceptron(passive + condition_dimension, sizes[0] * sizes[1], hidden, dtype, groups)
        else:
            self.free = self.add_weight(shape=(1, *sizes), initializer="zeros", autocast=False, name="free")
        self.built = True

    def forward(
        self, active: tf.Tensor, passive: tf.Tensor, condition: Condition = None
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
        self, active: tf.Tensor, passive: tf.Tensor, condition: Condition = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Map latent active elements back; shapes as in :meth:`forward`."""
        return self._apply(self.transform.inverse, active, passive, condition)

    def _apply(
        self,
        direction: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
        active: tf.Tensor,
        passive: tf.Tensor,
        condition: Condition,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        # To a transform, each group is a row. The network may compute in half precision; the transform never does.
        rows = tf.reshape(active, (-1, self.active)) if self.groups > 1 else active
        raw = tf.reshape(self._raw(passive, condition), (-1, self.active, self.transform.parameters_per_element))
        rows, log_slope = direction(rows, tf.cast(raw, active.dtype))
        if self.groups > 1:
            rows = tf.reshape(rows, (-1, self.groups, self.active))
            log_slope = tf.reshape(log_slope, (-1, self.groups * self.active))
        if self.transform.volume_preserving:
            return rows, constant_log_det(active)
        return rows, tf.reduce_sum(log_slope, axis=-1)

    def _raw(self, passive: tf.Tensor, condition: Condition) -> tf.Tensor:
        """Compute the raw parameters of all rows and groups."""
        if self.network is None:
            return tf.broadcast_to(tf.convert_to_tensor(self.free), (tf.shape(passive)[0], *self.free.shape[1:]))
        if isinstance(condition, SharedCondition):
            return shared_outputs(self.network, passive, condition)
        if condition is None:
            return self.network(passive)
        if self.groups > 1:
            condition = tf.repeat(condition[:, None], self.groups, axis=1)
        return self.network(tf.concat([passive, condition], axis=-1))
