"""The flow contract: a conditional distribution of events, to be trained and drawn from."""

from collections.abc import Sequence
from typing import Any, Literal

import keras
import tensorflow as tf

from bayesinn.bijections import Bijection
from bayesinn.bijections.condition import FEATURES, entries_of, entry, reading, shapes_of
from bayesinn.core.configuration import Configured
from bayesinn.core.errors import InputError
from bayesinn.flows.latents.latent import Seed
from bayesinn.spaces.parameters import ParameterSpace

_READERS = {
    "build",
    "loss",
    "sample",
    "log_prob",
    "initialize",
    "bijection_inputs",
    "encode",
    "decode",
}


class Flow(Configured, keras.layers.Layer):
    """The conditional distribution of events x (n, *event) given conditions (n, c).

    Events are vectors (d,), or have more axes. An author derives from this class and writes

    - :meth:`build`, which makes the weights;
    - :meth:`sample` and :meth:`log_prob`, or :meth:`loss` for a flow that is trained in another
      way;
    - declarations of what the flow can do, here or in the constructor, where they may depend on its
      arguments. Users of a flow read the declarations and try nothing out.

    Callers may give whole conditions, as mappings of names to tensors; an author's methods see the
    entry that the flow reads.
    """

    reads: str | None = FEATURES
    """Entry of the condition that the flow reads; None for none. A flow that hands all entries on
    to a bijection reads :data:`~bayesinn.bijections.condition.EVERY`, a mapping."""
    nats: bool = True
    """Whether :meth:`loss` is a negative log density in nats, to which changes of variables add."""
    rowwise: bool = True
    """Whether a row's loss depends on no other row, so that a batch may be split."""
    density: Literal["exact", "costly"] | None = "exact"
    """Cost of :meth:`log_prob`: cheap, an integral for each row, or absent (None)."""
    draws: bool = True
    """Whether the flow has :meth:`sample`."""
    codes: bool = False
    """Whether the flow has ``encode``, ``decode`` and ``latent``, the distribution of codes."""

    def __init__(self) -> None:
        super().__init__(autocast=False)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in _READERS & set(cls.__dict__):
            setattr(cls, name, reading(cls.__dict__[name]))

    def declare_like(self, flow: "Flow") -> None:
        """Declare what another flow does of loss, density and draws; codes are not among it."""
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
        raise self._undeclared("sample(n, condition, *, seed)", "draws = False")

    def log_prob(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """Return log densities (n,) of events (n, *event) in nats, if declared."""
        raise self._undeclared("log_prob(x, condition)", "density = None, and a loss")

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

    def _undeclared(self, method: str, declaration: str) -> InputError:
        return InputError(
            f"Flow {self!r}",
            expected=f"a method {method}",
            got="none",
            do=f"write it, or declare {declaration}; then nothing asks for it",
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
