"""The bijection contract: an author writes two methods, the base class checks their arguments.

It also checks what they return.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core.configuration import Configured
from bayesinn.core.errors import InputError

#: Events (n, *event), and the log determinants (n,) of the map that led to them.
Mapped = tuple[tf.Tensor, tf.Tensor]


class Bijection(Configured, keras.layers.Layer):
    """An invertible map of events, which may depend on a condition.

    An author derives from this class and writes :meth:`forward` and :meth:`inverse`, :meth:`build`
    if there are weights, and :meth:`output_shape` if events change their shape. Shapes are checked,
    and weights are made on first use, before either method runs. Once it is built, ``event_shape``,
    ``latent_shape`` and ``condition_shape`` (None without a condition) are the shapes of one event,
    of its image and of one condition, ``dimension`` and ``condition_dimension`` the numbers of
    elements of the first and the last. A bijection should be near the identity when new. Those of
    vectors must accept a single element.
    """

    #: Number of axes of an event: 1 for vectors (d,), 3 for images (height, width, channels), None
    #: for any number.
    event_rank: ClassVar[int | None] = 1
    #: Whether inputs can be recomputed from outputs, as reversible chains do.
    accurate_inverse: bool = True
    #: Whether :meth:`inverse` also accepts a :class:`SharedCondition`; otherwise conditions arrive
    #: repeated.
    shares_conditions: ClassVar[bool] = False

    def __init__(self) -> None:
        # Without the options of a Keras layer, so that a bijection without arguments needs no
        # constructor of its own.
        super().__init__()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("forward", "inverse", "initialize"):
            if name in cls.__dict__:
                setattr(cls, name, _checked(cls.__dict__[name]))

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        """Make the weights for events of a shape and conditions (c,), or None."""
        event_shape = tuple(event_shape)
        condition_shape = tuple(condition_shape or ())
        if self.event_rank is not None and len(event_shape) != self.event_rank:
            expected = "(d,), a vector" if self.event_rank == 1 else f"{self.event_rank} axes"
            got = f"{event_shape}"
            do = "give one event per row, or use a bijection of events of this shape"
            raise InputError(
                f"{type(self).__name__}, shape of events", expected=expected, got=got, do=do
            )
        if len(condition_shape) > 1:
            expected = "(c,), or None without a condition"
            got = f"{condition_shape}"
            do = "give one vector per row"
            raise InputError(
                f"{type(self).__name__}, shape of conditions", expected=expected, got=got, do=do
            )
        self.event_shape = event_shape
        self.latent_shape = tuple(self.output_shape(event_shape))
        self.dimension = math.prod(event_shape)
        self.condition_dimension = condition_shape[0] if condition_shape else 0
        # A condition of no elements is none.
        self.condition_shape = condition_shape if self.condition_dimension else None
        self.built = True

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape that :meth:`forward` gives to events of a shape: by default the same."""
        return event_shape

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Map x towards the latent space; return z and log absolute determinants of dz/dx.

        This is the training direction.
        """
        raise NotImplementedError

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Map z back, the sampling direction; return x and log absolute determinants of dx/dz."""
        raise NotImplementedError

    def inverse_of_draws(self, z: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
        """Map n latent events of each of m conditions back to (m, n, *event).

        The work for a condition is done once.
        """
        shared = None if condition is None else SharedCondition(condition, tf.shape(z)[1])
        x, _ = self.inverse(tf.reshape(z, (-1, *z.shape[2:])), shared)
        return tf.reshape(x, tf.concat([tf.shape(z)[:2], self.event_shape], axis=0))

    def initialize(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> None:
        """Set weights from a first batch of data. Most bijections have nothing to set."""

    def add_fixed(self, name: str, values: np.ndarray, dtype: str | None = None) -> keras.Variable:
        """Make a weight that isn't trained: :meth:`build` draws it once, and it is saved."""
        return self.add_weight(
            values.shape, values, dtype, trainable=False, autocast=False, name=name
        )


class SharedCondition(NamedTuple):
    """Conditions ``values`` (m, c), each shared by ``events`` consecutive events."""

    values: tf.Tensor
    events: int | tf.Tensor


def constant_log_det(x: tf.Tensor, value: tf.Tensor | float = 0.0) -> tf.Tensor:
    """Return one log determinant for all events x (n, *event), as a tensor (n,)."""
    return tf.broadcast_to(tf.cast(value, x.dtype), tf.shape(x)[:1])


def in_turn(
    maps: Iterable[Callable[[tf.Tensor], Mapped]], x: tf.Tensor, total: tf.Tensor
) -> Mapped:
    """Apply maps one after another, and add their log determinants, or log slopes, to ``total``."""
    for apply in maps:
        x, term = apply(x)
        total += term
    return x, total


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
    """Cast and check the arguments of a method, and make the weights before its first call."""

    @functools.wraps(method)
    def wrapper(
        self: Bijection, x: tf.Tensor, condition: tf.Tensor | SharedCondition | None = None
    ) -> Any:
        # Everything outside the subnets stays in the dtype of the weights, also under mixed
        # precision: an inverse computed in half precision isn't one.
        x = tf.cast(x, self.variable_dtype)
        values, events = condition if isinstance(condition, SharedCondition) else (condition, None)
        if values is not None:
            values = tf.cast(values, self.variable_dtype)
            # A condition of no elements is none.
            values = None if values.shape[1:] == (0,) else values
        shapes = tuple(x.shape[1:]), None if values is None else tuple(values.shape[1:])
        if not self.built:
            self.build(*shapes)
        event_shape = self.latent_shape if method.__name__ == "inverse" else self.event_shape
        if shapes != (event_shape, self.condition_shape):
            raise InputError(
                f"{type(self).__name__}.{method.__name__}",
                expected=f"events of shape {event_shape} with conditions of shape "
                f"{self.condition_shape}",
                got=f"{shapes[0]} and {shapes[1]}",
                do="give one event and one condition per row, in the shapes that the bijection "
                "was built with",
            )
        if values is not None and events is not None:
            share = self.shares_conditions and method.__name__ == "inverse"
            values = SharedCondition(values, events) if share else tf.repeat(values, events, axis=0)
        return method(self, x, values)

    return wrapper
