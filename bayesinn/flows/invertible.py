"""The invertible flow: a bijection and a latent distribution."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from bayesinn.bijections import Bijection
from bayesinn.bijections.bijection import as_vectors
from bayesinn.bijections.condition import EVERY, Condition
from bayesinn.core.validation import check_type
from bayesinn.flows.flow import Flow
from bayesinn.flows.latents.latent import Latent, Normal, Seed


class InvertibleFlow(Flow):
    """The density of events x given a condition, from a bijection x -> z and a distribution of z.

    Parameters
    ----------
    chain : Bijection, usually a :class:`~bayesinn.bijections.Chain`
    latent : Latent, by default the standard normal

    References
    ----------
    Papamakarios et al. (2021), Normalizing flows for probabilistic modeling and inference,
    arXiv:1912.02762.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from bayesinn.bijections import Chain, Coupling, Orthogonal
    >>> flow = InvertibleFlow(Chain([Orthogonal(), Coupling()]))
    >>> flow.log_prob(tf.ones((10, 3)), condition=tf.ones((10, 2))).shape
    TensorShape([10])
    >>> flow.sample(100, condition=tf.ones((4, 2)), seed=(1, 2)).shape
    TensorShape([4, 100, 3])
    """

    reads = EVERY
    codes = True

    def __init__(self, chain: Bijection, latent: Latent | None = None) -> None:
        super().__init__()
        do = "pass for example bi.bijections.Chain([...])"
        check_type("InvertibleFlow, argument 'chain'", chain, Bijection, "a Bijection", do)
        do = "pass for example bi.flows.StudentT()"
        check_type(
            "InvertibleFlow, argument 'latent'", latent, (Latent, type(None)), "a Latent", do
        )
        self.chain = chain
        self.latent = Normal() if latent is None else latent

    @property
    def bijection(self) -> Bijection:
        return self.chain

    @property
    def entries(self) -> frozenset[str]:
        return self.chain.entries

    def build(self, event_shape: Sequence[int], condition_shapes: Any = None) -> None:
        super().build(event_shape, condition_shapes)
        if not self.chain.built:
            self.chain.build(event_shape, condition_shapes)
        if not self.latent.built:
            self.latent.build(self.chain.latent_shape)

    def check_built(self) -> None:
        # Codes and draws of a latent without weights need the chain alone.
        if not self.chain.built:
            super().check_built()

    def log_prob(self, x: tf.Tensor, condition: Condition | None = None) -> tf.Tensor:
        self.build_for(x, condition)
        z, log_det = self.chain.forward(x, condition)
        return self.latent.log_prob(z) + log_det

    def sample(
        self, n: int | tf.Tensor, condition: Condition | None = None, *, seed: Seed
    ) -> tf.Tensor:
        self.check_built()
        rows = 1
        if condition is not None:
            # An entry may have a single row for all.
            rows = tf.reduce_max([tf.shape(entry)[0] for entry in tf.nest.flatten(condition)])
        z = self.latent.sample((rows * n, *self.chain.latent_shape), seed)
        x = self.chain.inverse_of_draws(
            tf.reshape(z, (rows, n, *self.chain.latent_shape)), condition
        )
        return x[0] if condition is None else x

    def encode(self, x: tf.Tensor, condition: Condition | None = None) -> tf.Tensor:
        """Return the latent codes (n, d) of events (n, *event), as vectors."""
        return as_vectors(self.chain.forward(x, condition)[0])

    def decode(self, z: tf.Tensor, condition: Condition | None = None) -> tf.Tensor:
        """Return the events (n, *event) that have latent codes (n, d)."""
        self.check_built()
        return self.chain.inverse(tf.reshape(z, (-1, *self.chain.latent_shape)), condition)[0]
