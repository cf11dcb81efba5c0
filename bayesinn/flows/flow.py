"""The flow contract: a conditional distribution of events, to be trained and drawn from."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import keras
import tensorflow as tf

from bayesinn.bijections import Bijection
from bayesinn.bijections.bijection import (
    FEATURES,
    entries_of,
    entry,
    map_entries,
    reading,
    shapes_of,
)
from bayesinn.core.configuration import Configured
from bayesinn.core.errors import InputError, check_returned
from bayesinn.flows.latents import Seed
from bayesinn.spaces.parameters import ParameterSpace

# Methods of events, for which weights are made on first use.
_OF_EVENTS = ("loss", "log_prob", "initialize", "encode")


def _prepared(method: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a method of events, latent codes or a number of draws, and conditions.

    It gets its entry of the condition, both in the dtype of the weights, which are made on first
    use. What it returns is checked.
    """
    name = method.__name__
    names = [*inspect.signature(method).parameters][1:]
    first, second = names[:2]

    @functools.wraps(method)
    def wrapper(self: "Flow", *arguments: Any, **options: Any) -> Any:
        values = {**dict(zip(names, arguments, strict=False)), **options}
        cast = functools.partial(_cast_real, dtype=self.variable_dtype)
        values[first] = x = cast(values[first])
        condition = map_entries(cast, entry(values.get(second), self.reads))
        values[second] = condition
        if name in _OF_EVENTS:
            self.build_for(x, condition)
        result = method(self, **values)
        if name in ("loss", "log_prob"):
            return _checked_numbers(self, name, result, x)
        if name == "sample" and self.built:
            _check_draws(self, result, x, condition)
        return result

    return wrapper


def _checked_numbers(flow: "Flow", name: str, result: Any, x: tf.Tensor) -> tf.Tensor:
    """Return a number for each of n events; another shape would be broadcast, without a word."""
    do = "add those of the elements of each event: tf.reduce_sum(each, axis=-1)"
    expected = "(n,), a number for each event"
    check_returned(f"{type(flow).__name__}.{name}", "result", result, x.shape[:1], expected, do)
    return tf.cast(result, flow.variable_dtype)


def _check_draws(flow: "Flow", draws: Any, n: Any, condition: Any) -> None:
    """Refuse draws of another shape than n events for each condition."""
    count = n if isinstance(n, int) else None
    shape = (count, *flow.event_shape) if condition is None else (None, count, *flow.event_shape)
    expected = f"(m, n, ...), n events of shape {flow.event_shape} for each of m conditions"
    do = "return (n, ...) where there is no condition"
    check_returned(f"{type(flow).__name__}.sample", "draws", draws, shape, expected, do)


def _cast_real(value: Any, dtype: str) -> Any:
    """Return a tensor or array of real numbers in another dtype; anything else as it is."""
    kind = getattr(value, "dtype", None)
    return value if kind is None or not tf.as_dtype(kind).is_floating else tf.cast(value, dtype)


class Flow(Configured, keras.layers.Layer):
    """The conditional distribution of events x (n, *event) given conditions (n, c).

    An author writes

    - :meth:`build`, which makes the weights and then calls ``super().build``;
    - :meth:`sample`, and :meth:`log_prob`, or :meth:`loss` if the flow is trained in another way,
      or several of them; users of a flow ask for nothing that is not there;
    - :attr:`nats` and :attr:`density`, if they are not as usual, and :attr:`reads`, if the flow
      reads another entry of the condition than the features.

    Optional, with defaults that suit most flows: :attr:`rowwise`; ``encode(x, condition)`` and
    ``decode(z, condition)``, with an attribute ``latent``, the distribution of codes;
    :attr:`bijection` and :meth:`bijection_inputs` of a flow around a bijection; :meth:`bind`,
    :meth:`initialize`, :meth:`whiten` and :meth:`unwhiten`.

    Events are vectors (d,), or have more axes. Callers may give whole conditions, as mappings of
    names to tensors; an author's methods see the entry that the flow reads. What a flow declares
    may depend on the arguments of its constructor, which then sets it.
    """

    reads: str | None = FEATURES
    """Entry of the condition that the flow reads; None for none. A flow that hands all entries on
    to a bijection reads :data:`~bayesinn.bijections.bijection.EVERY`, a mapping."""
    nats: bool = True
    """Whether :meth:`loss` is a negative log density in nats, to which changes of variables add."""
    density: Literal["exact", "costly"] | None = None
    """Cost of :meth:`log_prob`: cheap ("exact", by default where it is written), an integral for
    each row ("costly"), or absent (None)."""
    rowwise: bool = True
    """Whether a row's loss depends on no other row, so that a batch may be split."""
    draws: bool = False
    """Whether the flow has :meth:`sample`; known from the class."""
    categorical: bool = False
    """Whether the flow has a probability for each value of integers of few values; for others these
    are spread over unit intervals."""
    codes: bool = False
    """Whether the flow has ``encode``, ``decode`` and ``latent``; known from the class."""

    wrappers: ClassVar = {
        "build": reading,
        **dict.fromkeys((*_OF_EVENTS, "sample", "decode", "bijection_inputs"), _prepared),
    }

    def __init__(self) -> None:
        super().__init__(autocast=False)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        written = cls.__dict__
        if "log_prob" in written and "density" not in written and cls.density is None:
            cls.density = "exact"
        cls.draws = written.get("draws", cls.draws or "sample" in written)
        cls.codes = written.get("codes", cls.codes or "encode" in written)

    def declare_like(self, flow: "Flow") -> None:
        """Take over what another flow declares of loss, density and draws."""
        self.nats = flow.nats
        self.rowwise = flow.rowwise
        self.density = flow.density
        self.draws = flow.draws

    @property
    def entries(self) -> frozenset[str]:
        """Names of the entries of the condition that the flow, or a part of it, reads.

        A flow that hands all entries on returns those that its parts read.
        """
        return entries_of(self.reads)

    def build(self, event_shape: Sequence[int], condition_shapes: Any = None) -> None:
        """Make all weights for an event shape and a condition shape: (c,), or None.

        Callers may give a mapping of the shapes of all entries of the condition.
        """
        self.event_shape = tuple(event_shape)
        self.condition_shape = entry(condition_shapes, self.reads)
        self.built = True

    def loss(
        self,
        x: tf.Tensor,
        condition: tf.Tensor | None = None,
        *,
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        """Return what training minimises in the mean, (n,): here minus the log density.

        The seed (2,) is for noise; ``progress`` is the share of training steps that are done.
        """
        return -self.log_prob(x, condition)

    def sample(
        self, n: int | tf.Tensor, condition: tf.Tensor | None = None, *, seed: Seed
    ) -> tf.Tensor:
        """Draw n events for each of m conditions, (m, n, *event); without a condition (n, *event).

        The result depends on weights and seed only: two integers, or an int32 tensor (2,). XLA has
        random streams of its own.
        """
        raise self._unwritten("sample(n, condition, *, seed)")

    def log_prob(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """Return log densities (n,) of events (n, *event) in nats, if the flow has a density."""
        raise self._unwritten("log_prob(x, condition)")

    def bind(self, parameters: ParameterSpace) -> None:
        """Receive the space of the parameters, if events are parameters, before there are weights.

        Most flows don't use it.
        """

    def whiten(self, x: tf.Tensor, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Map events (n, d) to where the flow expects a standard normal distribution; log_det (n,).

        By default, this is the identity.
        """
        return x, tf.zeros_like(x[:, 0])

    def unwhiten(self, z: tf.Tensor, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Invert :meth:`whiten`."""
        return z, tf.zeros_like(z[:, 0])

    def _unwritten(self, method: str) -> InputError:
        return InputError(
            f"Flow {self!r}",
            expected=f"a method {method}",
            got="none",
            do="write it, or use a flow that has it",
        )

    def initialize(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> None:
        """Set the weights that depend on data, from a first batch. Most flows have none."""
        self.build_for(x, condition)
        if self.bijection is not None:
            self.bijection.initialize(*self.bijection_inputs(x, condition))

    @property
    def bijection(self) -> Bijection | None:
        """The bijection inside the flow; None if there is none."""
        return None

    @property
    def xla_pays(self) -> bool:
        """Whether XLA makes steps faster on the CPU: by default, what the bijection says."""
        return self.bijection is None or self.bijection.xla_pays

    def bijection_inputs(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Return what the bijection sees of events and conditions: by default these."""
        return x, condition

    @property
    def watched(self) -> list[Bijection]:
        """Bijections that training watches: do their inverses stay exact?"""
        return [] if self.bijection is None else [self.bijection]

    def watched_inputs(
        self, x: tf.Tensor, condition: Any = None
    ) -> list[tuple[tf.Tensor, tf.Tensor | None]]:
        """Return what each of :attr:`watched` sees of events and conditions."""
        return [self.bijection_inputs(x, condition) for _ in self.watched]

    def call(
        self,
        x: tf.Tensor,
        condition: tf.Tensor | None = None,
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        return self.loss(x, condition, seed=seed, progress=progress, training=training)

    def __call__(self, x: tf.Tensor, condition: tf.Tensor | None = None, **keywords: Any) -> Any:
        # Keras can't know that `build` takes shapes without the axis of rows.
        self.build_for(x, condition)
        return super().__call__(x, condition, **keywords)

    def build_for(self, x: tf.Tensor, condition: tf.Tensor | None) -> None:
        """Make all weights, if there are none yet, for events and conditions like these."""
        if not self.built:
            self.build(tuple(x.shape[1:]), shapes_of(condition))

    def check_built(self) -> None:
        """Refuse a flow without weights, which doesn't know the shape of its events."""
        if not self.built:
            raise InputError(
                f"Flow {self!r}",
                expected="weights, made for events and conditions of known shapes",
                got="none yet",
                do="build it, or call log_prob or loss first",
            )

    def check_condition(self, condition: tf.Tensor | None) -> None:
        """Refuse a missing condition, and one that there are no weights for."""
        self.check_built()
        if (condition is None) != (self.condition_shape is None):
            built = self.condition_shape
            shapes = shapes_of(condition)
            raise InputError(
                f"{type(self).__name__}, argument 'condition'",
                expected="none" if built is None else f"conditions of shape {tuple(built)}",
                got="none" if shapes is None else f"conditions of shape {shapes}",
                do="give conditions if, and only if, the flow was built with them",
            )
