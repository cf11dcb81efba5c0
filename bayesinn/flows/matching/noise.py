"""What flows that learn from noise have in common: network, condition, random numbers."""

from collections.abc import Sequence
from typing import Literal

import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_type
from bayesinn.flows.flow import Flow
from bayesinn.flows.latents.latent import Normal, Seed, check_seed
from bayesinn.flows.matching.network import ResidualMLP, TimeNetwork


class NoiseFlow(Flow):
    """A flow whose network sees a noisy event, the time (its noise level) and the condition.

    Events should be standardised, as an :class:`~bayesinn.AmortizedPosterior` does.
    """

    nats = False
    density: Literal["exact", "costly"] | None = None

    def __init__(self, network: TimeNetwork | None) -> None:
        super().__init__()
        do = "pass for example bi.flows.ResidualMLP(units=256), or leave it out"
        kinds = (TimeNetwork, type(None))
        check_type(f"{type(self).__name__}, argument 'network'", network, kinds, "a network", do)
        self.network = ResidualMLP() if network is None else network
        self.latent = Normal()

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        self.network.build(self.event_shape, self.condition_shape)

    def embedded(
        self, condition: tf.Tensor | None, repeats: int | tf.Tensor = 1
    ) -> tf.Tensor | None:
        """Return the network's input from conditions (m, c), each row ``repeats`` times."""
        self.check_condition(condition)
        if condition is None:
            return None
        return tf.repeat(self.network.embed(condition), repeats, axis=0)

    def loss(
        self,
        x: tf.Tensor,
        condition: tf.Tensor | None = None,
        *,
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        self.build_for(x, condition)
        for_times, for_noise = split_seed(seed, 2, training)
        return self.noisy_loss(
            x,
            spread_uniforms(x, for_times),
            normal_like(x, for_noise),
            self.embedded(condition),
            progress,
            training,
        )

    def noisy_loss(
        self,
        x: tf.Tensor,
        uniforms: tf.Tensor,
        noise: tf.Tensor,
        embedded: tf.Tensor | None,
        progress: tf.Tensor | float,
        training: bool,
    ) -> tf.Tensor:
        """Return the losses (n,) for events, and noise of the same shape.

        ``uniforms`` (n,) determine the times; ``embedded`` is the network's input from the
        condition.
        """
        raise NotImplementedError

    def sample(
        self, n: int | tf.Tensor, condition: tf.Tensor | None = None, *, seed: Seed
    ) -> tf.Tensor:
        embedded = self.embedded(condition, n)
        rows = 1 if condition is None else tf.shape(condition)[0]
        for_start, for_path = seeds.split(check_seed(seed), 2)
        z = self.latent.sample((rows * n, *self.event_shape), for_start)
        x = self.from_noise(z, embedded, for_path)
        x = tf.reshape(x, (rows, n, *self.event_shape))
        return x[0] if condition is None else x

    def from_noise(self, z: tf.Tensor, embedded: tf.Tensor | None, seed: tf.Tensor) -> tf.Tensor:
        """Return the events (n, *event) at the ends of paths from standard normal noise."""
        raise NotImplementedError

    def sum_event(self, values: tf.Tensor) -> tf.Tensor:
        """Return the sums (n,) over all axes of an event."""
        return tf.reduce_sum(values, axis=tuple(range(1, values.shape.rank)))

    def as_column(self, times: tf.Tensor) -> tf.Tensor:
        """Return times (n,) with as many axes as events have."""
        return tf.reshape(times, (-1, *(1 for _ in self.event_shape)))


def spread_uniforms(like: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return one number in [0, 1) for each row of a tensor, (n,): an even grid, shifted at random.

    Each number is uniform. The mean of a batch is less noisy than with independent numbers.
    """
    n = tf.shape(like)[0]
    shift = tf.random.stateless_uniform((), seed, dtype=like.dtype, alg="philox")
    return tf.math.floormod(
        shift + tf.cast(tf.range(n), like.dtype) / tf.cast(tf.maximum(n, 1), like.dtype), 1.0
    )


def normal_like(x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return standard normal numbers of the shape of a tensor."""
    return tf.random.stateless_normal(tf.shape(x), seed, dtype=x.dtype, alg="philox")


def split_seed(seed: tf.Tensor | None, number: int, training: bool) -> list[tf.Tensor]:
    """Split the seed of a loss; without one, noise is always the same, which is no training."""
    if seed is None and training:
        raise InputError(
            "Argument 'seed' of the loss",
            expected="a seed, as each step of a training needs noise of its own",
            got="none",
            do="pass seed=tf.constant([step, 0])",
        )
    return seeds.split(tf.zeros((2,), tf.int32) if seed is None else seed, number)
