"""A forward model, and what is declared about it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from bayesinn.simulation.prior import Prior, Values


class Declaration(NamedTuple):
    """A forward model and what an engine needs to know about it, as :class:`Simulator` names it."""

    name: str
    function: Callable[..., Any]
    prior: Prior
    context: Prior | None
    on_nonfinite: str
    lengths: Mapping[str, str]
    missing: float | None = None
    time_limit: float | None = None
    most_failures: float | None = None

    @property
    def priors(self) -> tuple[Prior, ...]:
        """The prior of the parameters, and that of the context if there is one."""
        return (self.prior,) if self.context is None else (self.prior, self.context)

    def draw_inputs(
        self, n: int | tf.Tensor, seed: tf.Tensor, context_seed: tf.Tensor
    ) -> tuple[Values, Values]:
        """Draw n parameters and contexts; without a context the second dict is empty."""
        context = {} if self.context is None else self.context.sample(n, context_seed)
        return self.prior.sample(n, seed), context
