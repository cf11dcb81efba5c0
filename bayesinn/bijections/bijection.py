"""The bijection contract: an author writes two methods.

The base class checks their arguments and what they return.
"""

import functools
import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core.configuration import Configured
from bayesinn.core.errors import InputError, check_pair, check_returned, warn

# Conditions: named tensors, of which a bijection or a flow reads one entry, or all.
#
# ``features`` (n, c) are always there; a summary may give more, of any rank.

#: A condition in full; a tensor in its place is its features.
Condition = Mapping[str, tf.Tensor]
FEATURES = "features"
#: What a summary says of each step of a series, (n, steps, numbers).
STEPS = "steps"
#: What containers read: they hand all entries on.
EVERY = "*"
_NAMES = ("condition", "condition_shape", "condition_shapes")


class SharedCondition(NamedTuple):
    """Conditions ``values`` (m, c), each shared by ``events`` consecutive events.

    For a container of bijections or flows, ``values`` is a mapping of names to such tensors.
    """

    values: Any
    events: int | tf.Tensor


def entry(condition: Any, reads: str | None) -> Any:
    """Return what is read of a condition, or of its shapes: an entry, all of them, or None.

    A tensor, or a shape, is the entry itself; where all are read, it is the features.
    """
    if reads is None or condition is None:
        return None
    if reads == EVERY:
        return condition if isinstance(condition, Mapping) else {FEATURES: condition}
    if not isinstance(condition, Mapping):
        return condition
    if reads not in condition and reads != FEATURES:
        raise InputError(
            f"Condition, entry {reads!r}",
            expected="a summary that returns it",
            got=f"the entries {sorted(condition)}",
            do="return it from the summary, in a mapping with the features",
        )
    return condition.get(reads)


def entries_of(reads: str | None) -> frozenset[str]:
    """Return the entries that are read, as a set."""
    return frozenset() if reads is None else frozenset({reads})


def warn_of_unread(returned: Iterable[str], read: Collection[str], summary: str) -> None:
    """Warn where a summary returns entries that nothing reads: what it knows is then lost."""
    unread = [] if EVERY in read else sorted(set(returned) - set(read))
    if unread:
        warn(
            f"{summary} returns {', '.join(map(repr, unread))}, which no flow, bijection or "
            "summary reads. Use a flow that does, such as bi.flows.Framed(flow) for 'location' "
            "and 'root', or another summary.",
        )


def map_entries(function: Callable[[Any], Any], condition: Any) -> Any:
    """Apply a function to a tensor, or to each entry of a condition; None stays."""
    if condition is None:
        return None
    if isinstance(condition, Mapping):
        return {name: function(value) for name, value in condition.items()}
    return function(condition)


def without_empty(shapes: Any, condition: Any) -> Any:
    """Return a condition without entries of no elements; None if there are no others."""
    if isinstance(condition, Mapping):
        return {name: condition[name] for name, shape in shapes.items() if 0 not in shape} or None
    return None if condition is None or 0 in shapes else condition


def shapes_of(condition: Any) -> Any:
    """Return the shape of one row of a tensor, or of each entry of a condition."""
    return map_entries(lambda value: tuple(value.shape[1:]), condition)


def reading(method: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a method so that it gets only what its object ``reads`` of the condition.

    The condition, or the mapping of its shapes, is the second argument of the method.
    """

    @functools.wraps(method)
    def wrapper(self: Any, *arguments: Any, **options: Any) -> Any:
        if len(arguments) > 1:
            first, condition, *rest = arguments
            arguments = first, entry(condition, self.reads), *rest
        entries = {name: entry(options[name], self.reads) for name in _NAMES if name in options}
        return method(self, *arguments, **{**options, **entries})

    return wrapper


#: Events (n, *event), and the log determinants (n,) of the map that led to them.
Mapped = tuple[tf.Tensor, tf.Tensor]


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
    """Cast and check the arguments of a method, and what it returns.

    The weights are made before its first call.
    """
    # By the names of the contract, whatever an author calls them.
    signature = inspect.signature(getattr(Bijection, method.__name__))

    @functools.wraps(method)
    def wrapper(self: "Bijection", *arguments: Any, **options: Any) -> Any:
        bound = signature.bind(self, *arguments, **options)
        bound.apply_defaults()
        _, x, condition = bound.args
        # Everything outside the subnets stays in the dtype of the weights, also under mixed
        # precision: an inverse computed in half precision isn't one.
        x = tf.cast(x, self.variable_dtype)
        events = None
        if isinstance(condition, SharedCondition):
            condition, events = condition
        values = map_entries(
            lambda value: tf.cast(value, self.variable_dtype), entry(condition, self.reads)
        )
        # A condition of no elements is none.
        values = without_empty(shapes_of(values), values)
        shapes = tuple(x.shape[1:]), shapes_of(values)
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
            if self.shares_conditions and method.__name__ == "inverse":
                values = SharedCondition(values, events)
            else:
                values = map_entries(lambda value: tf.repeat(value, events, axis=0), values)
        result = method(self, x, values)
        if method.__name__ == "initialize":
            return result
        inverse = method.__name__ == "inverse"
        image_shape = self.event_shape if inverse else self.latent_shape
        return _checked_result(self, method.__name__, result, x.shape[0], image_shape)

    return wrapper


def _checked_result(
    bijection: "Bijection", name: str, result: Any, rows: int | None, shape: tuple[int, ...]
) -> Mapped:
    """Return the image of n events and its log determinants (n,), in the type of the weights.

    Another shape would be broadcast to some other loss, without a word.
    """
    method = f"{type(bijection).__name__}.{name}"
    do = "add the log determinants of the elements of each row: tf.reduce_sum(log_slope, axis=-1)"
    image, log_det = check_pair(method, result, "the events, and log determinants (n,)")
    expected = f"one event of shape {shape} for each of n rows"
    check_returned(method, "events", image, (rows, *shape), expected, "write output_shape, too")
    check_returned(method, "log_det", log_det, (rows,), "(n,), a number for each row", do)
    return tf.cast(image, bijection.variable_dtype), tf.cast(log_det, bijection.variable_dtype)


class Bijection(Configured, keras.layers.Layer):
    """An invertible map of events, which may depend on a condition.

    An author writes

    - :meth:`forward` and :meth:`inverse`, which see the entry of the condition that the bijection
      reads; a new bijection should be near the identity;
    - :attr:`reads` and :attr:`event_rank`, if events are no vectors, or there is no condition;
    - :meth:`build`, if there are weights, and :meth:`output_shape`, if events change their shape.

    What :meth:`build` draws at random must be a weight: see :meth:`add_fixed`. Bijections of
    vectors must accept a single element. Optional, with defaults that suit most bijections:
    :meth:`initialize`, :attr:`accurate_inverse`, :attr:`xla_pays` and :attr:`shares_conditions`.

    Before a method runs, its arguments are checked, and weights are made on first use. These
    attributes are then known:

    - ``event_shape``, ``latent_shape``, ``condition_shape``: shapes of one event, of its image and
      of one condition (None without a condition)
    - ``dimension``: number of elements of an event
    - ``condition_dimension``: number of features, or of channels of another entry
    - ``pixels`` and ``channels``: number of places of an event, and of elements in each; a vector
      is a single place

    Callers may give whole conditions, as mappings of names to tensors.
    """

    #: Entry of the condition that the bijection reads; None for none. A container reads
    #: :data:`~bayesinn.bijections.bijection.EVERY`, a mapping, and hands it on.
    reads: str | None = FEATURES

    #: Number of axes of an event: 1 for vectors (d,), 3 for images (height, width, channels), None
    #: for any number.
    event_rank: ClassVar[int | None] = 1
    #: Whether inputs can be recomputed from outputs, as reversible chains do.
    accurate_inverse: bool = True
    #: Whether XLA makes training steps faster on the CPU: it fuses many small operations into few.
    #: Convolutions gain nothing, and take long to compile.
    xla_pays: bool = True
    #: Whether :meth:`inverse` also accepts a :class:`SharedCondition`; otherwise conditions are
    #: repeated.
    shares_conditions: ClassVar[bool] = False

    wrappers: ClassVar = {
        "forward": _checked,
        "inverse": _checked,
        "initialize": _checked,
        "build": reading,
    }

    def __init__(self) -> None:
        # Without the options of a Keras layer, so that a bijection without arguments needs no
        # constructor of its own.
        super().__init__()

    @property
    def entries(self) -> frozenset[str]:
        """Names of the entries of the condition that the bijection, or a part of it, reads.

        A container returns those that its parts read.
        """
        return entries_of(self.reads)

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        """Make the weights for an event shape and a condition shape: (c,), or None.

        Callers may give a mapping of the shapes of all entries of the condition.
        """
        event_shape = tuple(event_shape)
        if not event_shape:
            raise InputError(
                f"{type(self).__name__}, shape of events",
                expected="one axis or more, beside that of rows",
                got="single numbers, (n,)",
                do="give (n, 1)",
            )
        if self.event_rank is not None and len(event_shape) != self.event_rank:
            raise InputError(
                f"{type(self).__name__}, shape of events",
                expected="(d,), a vector" if self.event_rank == 1 else f"{self.event_rank} axes",
                got=f"{event_shape}",
                do="give one event per row, or use a bijection of events of this shape",
            )
        read = entry(condition_shape, self.reads)
        shapes = map_entries(tuple, read) if self.reads == EVERY else tuple(read or ()) or None
        if self.reads == FEATURES and shapes is not None and len(shapes) > 1:
            raise InputError(
                f"{type(self).__name__}, shape of conditions",
                expected="(c,), or None without a condition",
                got=f"{shapes}",
                do="give one vector per row, or say which entry of the condition it reads",
            )
        self.event_shape = event_shape
        self.latent_shape = tuple(self.output_shape(event_shape))
        self.dimension = math.prod(event_shape)
        self.channels = event_shape[-1]
        self.pixels = math.prod(event_shape[:-1])
        # A condition of no elements is none.
        self.condition_shape = without_empty(shapes, shapes)
        channels = entry(self.condition_shape, FEATURES)
        self.condition_dimension = channels[-1] if channels else 0
        self.built = True

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of events after :meth:`forward`; by default the same."""
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


def check_maps(bijection: Bijection, size: tuple[int, ...]) -> None:
    """Refuse conditions that are neither vectors nor maps of the size (height, width) of events."""
    shape = bijection.condition_shape or ()
    if shape[:-1] not in ((), size):
        raise InputError(
            f"{type(bijection).__name__}, shape of conditions",
            expected=f"(c,), or maps of the size {size} of the events with channels",
            got=f"{shape}",
            do="read an entry of the condition that has the resolution of these events",
        )


def constant_log_det(x: tf.Tensor, value: tf.Tensor | float = 0.0) -> tf.Tensor:
    """Return one log determinant for all events x (n, *event), as a tensor (n,)."""
    # The type hint keeps the digits of a plain number, which would be rounded to single precision.
    value = tf.cast(tf.convert_to_tensor(value, dtype_hint=x.dtype), x.dtype)
    return tf.broadcast_to(value, tf.shape(x)[:1])


def as_vectors(events: tf.Tensor) -> tf.Tensor:
    """Return events (n, *event) as vectors (n, d); vectors as they are."""
    if len(events.shape) == 2:
        return events
    # Not -1 rows: events may have no elements, and nothing has any number of rows.
    return tf.reshape(events, (tf.shape(events)[0], math.prod(events.shape[1:])))


def map_channels(function: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """Apply a map of vectors (n, channels) to each pixel of events (n, ..., channels)."""
    if len(x.shape) == 2:
        return function(x)
    return tf.reshape(function(tf.reshape(x, (-1, x.shape[-1]))), (-1, *x.shape[1:]))


def in_turn(
    maps: Iterable[Callable[[tf.Tensor], Mapped]], x: tf.Tensor, total: tf.Tensor
) -> Mapped:
    """Apply maps one after another, and add their log determinants, or log slopes, to ``total``."""
    for apply in maps:
        x, term = apply(x)
        total += term
    return x, total
