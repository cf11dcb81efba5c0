"""Several networks of one posterior, trained on the same simulations: their densities' mean."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from bayesinn.bijections.condition import EVERY, Condition
from bayesinn.core import seeds
from bayesinn.flows import Flow
from bayesinn.flows.latents.latent import Seed
from bayesinn.posterior.network import PosteriorNetwork, Tensors
from bayesinn.training.round_trip import RoundTripMonitor
from bayesinn.training.trainable import Batch, Trainable

_OF_NETWORK = " of network "
_MONITORED_ROWS = 256


class MixtureNetwork(PosteriorNetwork):
    """Networks of equal shapes, whose mean density is the posterior's.

    Conditions have the entries of the first network by their own names, and those of each other
    network with its number behind them.
    """

    def __init__(self, members: Sequence[PosteriorNetwork]) -> None:
        keras.layers.Layer.__init__(self, name="posterior", autocast=False)
        self.members = list(members)
        self.summaries = self.members[0].summaries
        self.flow = MixtureFlow([member.flow for member in members])

    def build_weights(self, vector: tf.Tensor, inputs: Tensors, masks: Tensors) -> None:
        for member in self.members:
            member.build_weights(vector, inputs, masks)

    def condition(
        self,
        inputs: Tensors,
        masks: Tensors,
        training: bool = False,
        precomputed: Mapping[str, Tensors] | None = None,
    ) -> dict[str, tf.Tensor]:
        return _together(
            member.condition(inputs, masks, training, precomputed) for member in self.members
        )

    def placeholder_condition(self, inputs: Tensors, masks: Tensors) -> dict[str, tf.Tensor]:
        return _together(member.placeholder_condition(inputs, masks) for member in self.members)

    def compared(self, condition: Condition) -> tf.Tensor:
        """Return what :meth:`PosteriorNetwork.compared` does, by the first network."""
        return self.members[0].compared(own_entries(condition, 0))

    def initialize(self, vector: tf.Tensor, inputs: Tensors, masks: Tensors) -> None:
        for member in self.members:
            member.initialize(vector, inputs, masks)
        self.built = True


class MixtureFlow(Flow):
    """The mean density of flows that share nothing, each given what its own network says."""

    reads = EVERY

    def __init__(self, members: Sequence[Flow]) -> None:
        super().__init__()
        self.members = list(members)
        self.declare_like(self.members[0])

    def log_prob(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        densities = [
            member.log_prob(x, own_entries(condition, number))
            for number, member in enumerate(self.members)
        ]
        return tf.reduce_logsumexp(densities, axis=0) - tf.math.log(float(len(densities)))

    def sample(self, n: int | tf.Tensor, condition: Any = None, *, seed: Seed) -> tf.Tensor:
        """Draw n events for each of m conditions, (m, n, *event), as many of each member.

        Their order is random: each n-th draw of the result is one of any member.
        """
        count = len(self.members)
        turns, *own = seeds.split(tf.convert_to_tensor(seed), 1 + count)
        most = (n + count - 1) // count
        draws = [
            member.sample(most, own_entries(condition, number), seed=own[number])
            for number, member in enumerate(self.members)
        ]
        stacked = tf.stack(draws, axis=2)
        shape = tf.shape(stacked)
        rows = shape[0]
        first = tf.random.stateless_uniform((rows, 1), turns, 0, count, tf.int32, alg="philox")
        order = (first + tf.range(count)) % count
        turned = tf.gather(stacked, order, axis=2, batch_dims=1)
        flat = tf.reshape(turned, tf.concat([[rows, most * count], shape[3:]], 0))
        keys = tf.random.stateless_uniform((n,), seeds.fold_in(turns, 1), alg="philox")
        return tf.gather(flat, tf.argsort(keys), axis=1)


def loss_of_mixture(losses: tf.Tensor) -> tf.Tensor:
    """Return the losses (n,) of the mean density, given those (members, n) of densities in nats."""
    return tf.math.log(float(losses.shape[0])) - tf.reduce_logsumexp(-losses, axis=0)


class DensityModel[Member: keras.layers.Layer](Trainable):
    """A density of events given conditions; its members each have a flow, trained for itself.

    An author sets ``_members``, and ``network``, which answers for all of them.
    """

    _members: tuple[Member, ...]

    @property
    def members(self) -> Sequence[Member]:
        return self._members

    @property
    @abstractmethod
    def flow(self) -> Flow:
        """The flow of the first member, which decides for all: one program trains them."""

    @abstractmethod
    def flow_inputs(self, batch: Batch, seed: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """Return events and conditions of a raw batch, as :attr:`flow` sees them."""

    @property
    def rowwise(self) -> bool:  # type: ignore[override]
        return self.flow.rowwise

    @property
    def xla_pays(self) -> bool:  # type: ignore[override]
        return self.flow.xla_pays

    def mix_losses(self, losses: tf.Tensor) -> tf.Tensor:
        # The Jacobian determinants, which are part of each, are equal.
        return loss_of_mixture(losses) if self.flow.nats else super().mix_losses(losses)

    def monitors(self, batch: Batch, seed: int) -> list[keras.callbacks.Callback]:
        rows = {name: value[:_MONITORED_ROWS] for name, value in batch.items()}
        noise = seeds.tensor_seed(seed, "dequantise")

        def inputs() -> list[tuple[tf.Tensor, tf.Tensor | None]]:
            return self.flow.watched_inputs(*self.flow_inputs(rows, noise))

        return [RoundTripMonitor(self.flow.watched, inputs)]


def _together(conditions: Iterable[Condition]) -> dict[str, tf.Tensor]:
    """Return the entries of all members' conditions."""
    return {
        entry_name(name, number): value
        for number, condition in enumerate(conditions)
        for name, value in condition.items()
    }


def entry_name(name: str, member: int) -> str:
    """Return the name of an entry of a member's condition among those of all members."""
    return f"{name}{_ending(member)}"


def own_entries(condition: Condition, member: int) -> dict[str, tf.Tensor]:
    """Return the entries of one member's condition, by their own names."""
    ending = _ending(member)
    return {
        name.removesuffix(ending): value
        for name, value in condition.items()
        if name.endswith(ending) and (member or _OF_NETWORK not in name)
    }


def _ending(member: int) -> str:
    return f"{_OF_NETWORK}{member + 1}" if member else ""
