"""The flow contract: a conditional density of vectors that can be trained and drawn from."""

from typing import Any

import keras
import tensorflow as tf

from bayesinn.bijections import Bijection
from bayesinn.core.configuration import Configured
from bayesinn.flows.latents.latent import Seed


class Flow(Configured, keras.layers.Layer):
    """The conditional density of vectors x (n, d) given conditions (n, c).

    An author derives from this class, makes weights in :meth:`build`, and writes :meth:`sample` and either
    ``log_prob(x, condition)``, which returns (n,), or :meth:`loss` for a flow that is trained without a density.
    :attr:`has_log_prob` and :attr:`has_latent` declare what it can do; what it can't do is absent.
    """

    has_latent = False
    """Whether there are ``encode(x, condition)``, ``decode(z, condition)`` and ``latent``, their distribution."""

    def __init__(self) -> None:
        super().__init__(autocast=False)

    @property
    def has_log_prob(self) -> bool:
        """Whether ``log_prob(x, condition)`` gives exact densities (n,) in nats."""
        return callable(getattr(self, "log_prob", None))

    @property
    def in_nats(self) -> bool:
        """Whether :meth:`loss` is a negative log density, so that changes of variables add to it."""
        return self.has_log_prob

    def build(self, dimension: int, condition_dimension: int) -> None:
        """Make all weights for vectors of ``dimension`` elements; ``condition_dimension`` is 0 without a condition."""
        self.dimension, self.condition_dimension = dimension, condition_dimension
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

        The seed (2,) is for noise; ``progress`` is the share of the training steps that are done.
        """
        return -self.log_prob(x, condition)

    def sample(self, n: int | tf.Tensor, condition: tf.Tensor | None = None, *, seed: Seed) -> tf.Tensor:
        """Draw n vectors for each of m conditions, (m, n, d); without a condition (n, d).

        A pure function of weights and seed, two integers or an int32 tensor (2,), though XLA has streams of its own.
        """
        raise NotImplementedError

    def initialize(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> None:
        """Set the weights that depend on data, from a first batch. Most flows have none."""
        self.build_for(x, condition)
        if self.bijection is not None:
            self.bijection.initialize(*self.bijection_inputs(x, condition))

    @property
    def bijection(self) -> Bijection | None:
        """The bijection inside the flow, which keeps it as ``chain``, if there is one."""
        return getattr(self, "chain", None)

    def bijection_inputs(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Return what the bijection sees of vectors and conditions: by default these."""
        return x, condition

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
        # Keras can't know that `build` takes two numbers.
        self.build_for(x, condition)
        return super().__call__(x, condition, **keywords)

    def build_for(self, x: tf.Tensor, condition: tf.Tensor | None) -> None:
        """Make all weights, if there are none yet, for vectors and conditions like these."""
        if not self.built:
            self.build(x.shape[-1], 0 if condition is None else condition.shape[-1])
