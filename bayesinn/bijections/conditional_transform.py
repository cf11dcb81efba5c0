"""A transform whose parameters a network computes: what couplings of every kind are made of."""

import math
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, Mapped, constant_log_det
from bayesinn.bijections.condition import SharedCondition
from bayesinn.bijections.subnet import DType, HiddenLayers, perceptron, shared_outputs
from bayesinn.bijections.transforms import Affine, Composed, Spline, Transform
from bayesinn.core.validation import check_type

Condition = tf.Tensor | SharedCondition | None


class ConditionalTransform(keras.layers.Layer):
    """Transform ``active`` elements given parameters computed from ``passive`` ones and condition.

    A network computes the parameters.

    Without passive elements the parameters follow from the condition alone; without a condition
    too, they are free weights, equal for all rows. All start at zero, so that a new block starts as
    the identity.

    ``groups`` pairs of passive and active elements, all of these lengths, are treated at once. Each
    has a network of its own; all read the same condition.
    """

    def __init__(
        self,
        transform: Transform,
        passive: int,
        active: int,
        condition_dimension: int,
        hidden: HiddenLayers,
        dtype: DType = None,
        groups: int = 1,
    ) -> None:
        super().__init__(dtype=dtype)
        self.transform = transform
        self.groups = groups
        self.network = None
        self.raw_shape = active, transform.parameters_per_element
        if passive + condition_dimension:
            self.network = perceptron(
                passive + condition_dimension, math.prod(self.raw_shape), hidden, dtype, groups
            )
        else:
            self.free = self.add_weight(
                shape=(1, *self.raw_shape), initializer="zeros", autocast=False, name="free"
            )
        self.built = True

    def forward(self, active: tf.Tensor, passive: tf.Tensor, condition: Condition) -> Mapped:
        """Map active elements (n, a) given passive (n, p).

        With groups, it maps (n, groups, a) given (n, groups, p).
        """
        return self._apply(self.transform.forward, active, passive, condition)

    def inverse(self, active: tf.Tensor, passive: tf.Tensor, condition: Condition) -> Mapped:
        return self._apply(self.transform.inverse, active, passive, condition)

    def _apply(
        self,
        direction: Callable[..., Mapped],
        active: tf.Tensor,
        passive: tf.Tensor,
        condition: Condition,
    ) -> Mapped:
        # To a transform, each group is a row. The network may compute in half precision; the
        # transform never does.
        rows = tf.reshape(active, (-1, active.shape[-1])) if self.groups > 1 else active
        raw = tf.cast(
            tf.reshape(self._raw(passive, condition), (-1, *self.raw_shape)), active.dtype
        )
        rows, log_slope = direction(rows, raw)
        if self.groups > 1:
            rows = tf.reshape(rows, (-1, *active.shape[1:]))
            log_slope = tf.reshape(log_slope, (-1, math.prod(active.shape[1:])))
        if self.transform.volume_preserving:
            return rows, constant_log_det(active)
        return rows, tf.reduce_sum(log_slope, axis=-1)

    def _raw(self, passive: tf.Tensor, condition: Condition) -> tf.Tensor:
        if self.network is None:
            return tf.broadcast_to(
                tf.convert_to_tensor(self.free), (tf.shape(passive)[0], *self.free.shape[1:])
            )
        if isinstance(condition, SharedCondition):
            return shared_outputs(self.network, passive, condition)
        if condition is None:
            return self.network(passive)
        if self.groups > 1:
            condition = tf.repeat(condition[:, None], self.groups, axis=1)
        return self.network(tf.concat([passive, condition], axis=-1))


class TransformBlock(Bijection):
    """The base of blocks of conditional transforms; building sets :attr:`transform`."""

    transform: Transform

    def __init__(
        self, transform: Transform | None, hidden: Sequence[int], activation: str, dropout: float
    ) -> None:
        super().__init__()
        subject = f"{type(self).__name__}, argument 'transform'"
        do = "pass for example bi.bijections.Spline()"
        check_type(subject, transform, (Transform, type(None)), "a Transform", do)
        self._given_transform = transform
        self.hidden_layers = HiddenLayers(tuple(hidden), activation, dropout)

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        # Affine maps of a single element could only ever give a Gaussian.
        default = Affine() if self.dimension > 1 else Composed([Affine(), Spline()])
        self.transform = self._given_transform or default

    def conditional_transform(
        self, passive: int, active: int, hidden: HiddenLayers | None = None, groups: int = 1
    ) -> ConditionalTransform:
        """Make a transform of ``active`` elements given ``passive`` ones."""
        sizes = passive, active, self.condition_dimension
        return ConditionalTransform(
            self.transform, *sizes, hidden or self.hidden_layers, self.dtype_policy, groups
        )
