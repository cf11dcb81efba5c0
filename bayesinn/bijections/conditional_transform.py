"""A transform whose parameters a network computes: what couplings of every kind are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, SharedCondition, constant_log_det
from bayesinn.bijections.subnet import HiddenLayers, perceptron, shared_outputs
from bayesinn.bijections.transforms import Affine, Composed, Spline, Transform

Condition = tf.Tensor | SharedCondition | None


class ConditionalTransform(keras.layers.Layer):
    """Transform active elements with parameters that a network computes from passive elements and the condition.

    Without passive elements the parameters follow from the condition alone; without a condition too, they are free
    weights, equal for all rows. All start at zero, so that a new block starts as the identity.

    Parameters
    ----------
    transform : Transform
    passive, active : numbers of elements that are read, and that are transformed
    condition_dimension : number of elements of the condition, 0 without one
    hidden : HiddenLayers
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
        """Map active elements (n, a) given passive ones (n, p) towards the latent space; returns log_det (n,) too.

        With groups, elements are (n, groups, a) and (n, groups, p), and the condition can't be a SharedCondition.
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


class TransformBlock(Bijection):
    """The base of blocks of conditional transforms: it keeps their arguments, and chooses a transform if given none.

    :attr:`transform` is known once the block is built, because :meth:`default_transform` depends on the number of
    elements.
    """

    transform: Transform

    def __init__(self, transform: Transform | None, hidden: Sequence[int], activation: str, dropout: float) -> None:
        super().__init__()
        self._given_transform = transform
        self.hidden = tuple(hidden)
        self.hidden_layers = HiddenLayers(self.hidden, activation, dropout)

    def build(self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None) -> None:
        super().build(event_shape, condition_shape)
        self.transform = self._given_transform or self.default_transform()

    def default_transform(self) -> Transform:
        """Return the transform of a block that was given none."""
        # Affine maps of a single element could only ever give a Gaussian.
        return Affine() if self.dimension > 1 else Composed([Affine(), Spline()])

    def conditional_transform(
        self, passive: int, active: int, hidden: HiddenLayers | None = None, groups: int = 1
    ) -> ConditionalTransform:
        """Make a transform of ``active`` elements given ``passive`` ones; see :class:`ConditionalTransform`."""
        hidden = hidden or self.hidden_layers
        sizes = passive, active, self.condition_dimension
        return ConditionalTransform(self.transform, *sizes, hidden, self.dtype_policy, groups)
