"""A flow: a bijection and a latent distribution, together a conditional density that can be evaluated and sampled."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import tensorflow as tf

from bayesinn.bijections.bijection import Bijection
from bayesinn.core.configuration import Configured
from bayesinn.flows.latents import Latent, Normal, Seed


class Flow(Configured, keras.layers.Layer):
    """The density of vectors x given a condition, from a bijection x -> z and a distribution of z.

    Parameters
    ----------
    chain : Bijection
        Usually a :class:`Chain`.
    latent : Latent, optional
        The standard normal if left out.

    References
    ----------
    Papamakarios et al. (2021), Normalizing flows for probabilistic modeling and inference, arXiv:1912.02762.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from bayesinn.bijections import Chain, Coupling, Orthogonal
    >>> flow = Flow(Chain([Orthogonal(), Coupling()]))
    >>> flow.log_prob(tf.ones((10, 3)), condition=tf.ones((10, 2))).shape
    TensorShape([10])
    >>> flow.sample(100, condition=tf.ones((4, 2)), seed=(1, 2)).shape
    TensorShape([4, 100, 3])
    """

    gives_latent_codes: ClassVar[bool] = True
    """Whether ``chain.forward(x, condition)`` follows the latent distribution."""

    def __init__(self, chain: Bijection, latent: Latent | None = None) -> None:
        super().__init__(autocast=False)
        self.chain = chain
        self.latent = Normal() if latent is None else latent

    def build(self, dimension: int, condition_dimension: int) -> None:
        """Make all weights for vectors of ``dimension`` elements; ``condition_dimension`` is 0 without a condition."""
        self.dimension = dimension
        self.condition_dimension = condition_dimension
        if not self.chain.built:
            self.chain.build((dimension,), (condition_dimension,))
        if not self.latent.built:
            self.latent.build(dimension)

    def log_prob(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """Log density (n,) of vectors (n, d), given conditions (n, c) or None."""
        self._build_for(x, condition)
        z, log_det = self.chain.forward(x, condition)
        return self.latent.log_prob(z) + log_det

    def sample(self, n: int | tf.Tensor, condition: tf.Tensor | None = None, *, seed: Seed) -> tf.Tensor:
        """Draw vectors; a pure function of weights and seed, though XLA has random streams of its own.

        Parameters
        ----------
        n : int
            Draws for each condition.
        condition : tensor (m, c), or None
        seed : two integers, or an int32 tensor (2,)

        Returns
        -------
        tensor (m, n, d); without a condition (n, d)
        """
        if condition is None:
            return self.chain.inverse(self.latent.sample((n, self.dimension), seed))[0]
        condition = tf.convert_to_tensor(condition)
        rows = tf.shape(condition)[0]
        z = self.latent.sample((rows * n, self.dimension), seed)
        return self.chain.inverse_of_draws(tf.reshape(z, (rows, n, self.dimension)), condition)

    def initialize(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> None:
        """Set the weights that depend on data, from a first batch; see :meth:`Bijection.initialize`."""
        self._build_for(x, condition)
        self.chain.initialize(*self.chain_inputs(x, condition))

    def chain_inputs(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor | None]:
        """What the chain sees of vectors (n, d) and conditions (n, c): just these."""
        return x, condition

    def call(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """:meth:`log_prob`, as Keras calls it."""
        return self.log_prob(x, condition)

    def __call__(self, x: tf.Tensor, condition: tf.Tensor | None = None, training: bool | None = None) -> Any:
        # Keras can't know that `build` takes two numbers.
        self._build_for(x, condition)
        # Given only if not None: a None would override the training flag of the layer that calls this one.
        return super().__call__(x, condition, **({} if training is None else {"training": training}))

    def _build_for(self, x: tf.Tensor, condition: tf.Tensor | None) -> None:
        if not self.built:
            self.build(x.shape[-1], 0 if condition is None else condition.shape[-1])
