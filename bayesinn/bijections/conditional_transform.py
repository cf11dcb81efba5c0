"""A transform whose parameters a network computes: the part that all couplings share."""

import math
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, Mapped, check_maps, constant_log_det
from bayesinn.bijections.subnet import Condition, DType, Subnet
from bayesinn.bijections.transforms import Affine, Composed, Spline, Transform
from bayesinn.core.validation import check_type


class ConditionalTransform(keras.layers.Layer):
    """Transform ``active`` channels given parameters computed from ``passive`` ones and condition.

    A network computes the parameters for all pixels of an image of a ``size`` (height, width) at
    once. The channels of a vector, which has no such axes, are its elements.

    Without passive channels, the parameters follow from the condition alone. Without a condition
    too, they are free weights, equal for all rows and pixels. All start at zero, so that a new
    block is the identity.

    ``groups`` pairs of passive and active elements, all of these lengths, are treated at once. Each
    pair has a network of its own; all read the same condition.
    """

    def __init__(
        self,
        transform: Transform,
        passive: int,
        active: int,
        condition_dimension: int,
        subnet: Subnet,
        dtype: DType = None,
        groups: int = 1,
        size: tuple[int, ...] = (),
    ) -> None:
        super().__init__(dtype=dtype)
        self.transform = transform
        self.subnet = subnet
        self.network = None
        self.size = size
        self.raw_shape = active, transform.parameters_per_element
        # To a transform, each group is a row.
        self.elements = math.prod(size) * active
        features = passive + condition_dimension
        if features:
            self.network = subnet.network(features, math.prod(self.raw_shape), dtype)
            axes = (groups,) if groups > 1 else size
            self.network.build((None, *axes, features))
        else:
            self.free = self.add_weight(
                shape=(1, *self.raw_shape), initializer="zeros", autocast=False, name="free"
            )
        self.built = True

    def forward(self, active: tf.Tensor, passive: tf.Tensor, condition: Condition) -> Mapped:
        """Map active elements (n, ..., a) given passive (n, ..., p); ... are pixels or groups."""
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
        shape = (-1, self.elements, self.transform.parameters_per_element)
        # The network may compute in half precision; the transform never does.
        raw = tf.cast(tf.reshape(self._raw(passive, condition), shape), active.dtype)
        rows, log_slope = direction(tf.reshape(active, (-1, self.elements)), raw)
        image = tf.reshape(rows, (-1, *active.shape[1:]))
        if self.transform.volume_preserving:
            return image, constant_log_det(active)
        log_slope = tf.reshape(log_slope, (-1, math.prod(active.shape[1:])))
        return image, tf.reduce_sum(log_slope, axis=-1)

    def _raw(self, passive: tf.Tensor, condition: Condition) -> tf.Tensor:
        if self.network is not None:
            return self.subnet.evaluate(self.network, passive, condition)
        shape = (tf.shape(passive)[0], *self.size, *self.raw_shape)
        return tf.broadcast_to(tf.convert_to_tensor(self.free), shape)


class TransformBlock(Bijection):
    """The base of blocks of conditional transforms; building sets :attr:`transform`."""

    transform: Transform

    def __init__(self, transform: Transform | None) -> None:
        super().__init__()
        check_type(
            f"{type(self).__name__}, argument 'transform'",
            transform,
            (Transform, type(None)),
            "a Transform",
            "pass for example bi.bijections.Spline()",
        )
        self._given_transform = transform

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        check_maps(self, self.event_shape[:-1])
        # Affine maps of a single element could only give a Gaussian.
        default = Affine() if self.dimension > 1 else Composed([Affine(), Spline()])
        self.transform = self._given_transform or default

    def conditional_transform(
        self, passive: int, active: int, subnet: Subnet, groups: int = 1
    ) -> ConditionalTransform:
        """Make a transform of ``active`` channels given ``passive`` ones."""
        sizes = passive, active, self.condition_dimension
        size = self.event_shape[:-1]
        return ConditionalTransform(self.transform, *sizes, subnet, self.dtype_policy, groups, size)
