"""The model of a posterior: spaces and networks in one, raw data in, losses out.

Losses are on the parameters' own scale.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import EVERY, FEATURES, Condition, entry, warn_of_unread
from bayesinn.core import seeds
from bayesinn.core.errors import InputError, check_returned
from bayesinn.flows import Flow
from bayesinn.flows.latents import Seed
from bayesinn.spaces.data import DataSpace
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries import Summary
from bayesinn.summaries.summary import observables_of, side_by_side
from bayesinn.training.callbacks import RoundTripMonitor
from bayesinn.training.trainable import Batch, Trainable

Tensors = Mapping[str, tf.Tensor]


class PosteriorNetwork(keras.layers.Layer):
    """The density of parameter vectors given data, in the space where all is standardised."""

    def __init__(self, summaries: Mapping[str, Summary], flow: Flow) -> None:
        super().__init__(name="posterior", autocast=False)
        self.summaries = dict(summaries)
        self.flow = flow

    def build_weights(self, vector: tf.Tensor, inputs: Tensors, masks: Tensors) -> None:
        """Build all weights for a batch of these shapes; values are ignored."""
        self._call_once(vector, inputs, self.placeholder_condition(inputs, masks))

    def placeholder_condition(self, inputs: Tensors, masks: Tensors) -> dict[str, tf.Tensor]:
        """Return what :meth:`condition` does in shape, with other values and sooner."""
        placeholders = {
            key: summary.placeholder(self._seen(key, inputs))
            for key, summary in self.summaries.items()
        }
        return self.condition(inputs, masks, precomputed=placeholders)

    def precompute(self, inputs: Tensors) -> dict[str, dict[str, tf.Tensor]]:
        """Return what each summary can compute once for each simulation."""
        seen = {key: self._seen(key, inputs) for key in self.summaries}
        return {
            key: summary.precompute(seen[key], training=True)
            for key, summary in self.summaries.items()
        }

    def condition(
        self,
        inputs: Tensors,
        masks: Tensors,
        training: bool = False,
        precomputed: Mapping[str, Tensors] | None = None,
    ) -> dict[str, tf.Tensor]:
        """Return what the flow reads: features, and other entries that summaries return.

        Features are the summaries, followed by the context.
        """
        condition: dict[str, tf.Tensor] = {}
        parts = []
        for key, summary in self.summaries.items():
            entries = self._entries(key, inputs, masks, training, precomputed or {})
            if FEATURES not in entries or set(entries) & set(condition):
                raise InputError(
                    f"Summary of {key!r}, {summary!r}",
                    expected=f"{FEATURES!r} and entries that no other summary returns",
                    got=f"{sorted(entries)}, beside {sorted(condition)}",
                    do="give the other observables another network, or the entries other names",
                )
            parts.append(entries.pop(FEATURES))
            condition |= entries
        parts.extend(inputs[name] for name in self._as_they_are(inputs))
        return {FEATURES: tf.concat(parts, axis=-1), **condition}

    def _entries(
        self,
        key: str,
        inputs: Tensors,
        masks: Tensors,
        training: bool = False,
        precomputed: Mapping[str, Tensors] = MappingProxyType({}),
    ) -> dict[str, tf.Tensor]:
        """Return what one summary returns, features and other entries."""
        # The observables of one network count their steps alike.
        mask = masks.get(observables_of(key)[0])
        known = precomputed.get(key) or None
        return dict(
            entry(self.summaries[key](self._seen(key, inputs), mask, training, known), EVERY)
        )

    def _as_they_are(self, inputs: Tensors) -> list[str]:
        """Return the names of inputs without a summary: context, and numbers that are few."""
        summarised = set()
        for key, summary in self.summaries.items():
            summarised.update([*observables_of(key), str(summary.times)])
        return [name for name in inputs if name not in summarised]

    def compared(self, condition: Condition) -> tf.Tensor:
        """Return the numbers (n, k) by which observations are compared with simulations."""
        others = [
            part for summary in self.summaries.values() for part in summary.compared(condition)
        ]
        return tf.concat([*others, condition[FEATURES]], axis=-1)

    def auxiliary_layers(self) -> list[keras.layers.Layer]:
        """Return the layers that :meth:`auxiliary_loss` trains."""
        return [
            layer for summary in self.summaries.values() for layer in summary.auxiliary_layers()
        ]

    def auxiliary_loss(
        self, vector: tf.Tensor, inputs: Tensors, condition: Condition | None = None
    ) -> tf.Tensor | None:
        """Return the sum (n,) of the summaries' own losses; see :meth:`Summary.auxiliary_loss`."""
        there = []
        for key, summary in self.summaries.items():
            loss = summary.auxiliary_loss(vector, self._seen(key, inputs), condition)
            if loss is not None:
                check_returned(
                    f"{type(summary).__name__}.auxiliary_loss",
                    "result",
                    loss,
                    vector.shape[:1],
                    "(n,), a loss for each row",
                    "add the losses of the elements of each row: tf.reduce_sum(each, axis=-1)",
                )
                there.append(tf.cast(loss, vector.dtype))
        return tf.add_n(there) if there else None

    def loss(
        self,
        vector: tf.Tensor,
        condition: Condition,
        seed: tf.Tensor,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        """Return the flow's loss (n,) for parameter vectors (n, d)."""
        return self.flow(vector, condition, seed=seed, progress=progress, training=training)

    def initialize(self, vector: tf.Tensor, inputs: Tensors, masks: Tensors) -> None:
        """Build all weights, and set those that depend on data, from a first batch."""
        for key, summary in self.summaries.items():
            summary.initialize(self._seen(key, inputs), masks.get(observables_of(key)[0]))
        condition = self.condition(inputs, masks)
        read = self.flow.entries.union(
            {FEATURES}, *(part.reads for part in self.summaries.values())
        )
        warn_of_unread(condition, read, ", ".join(map(repr, self.summaries.values())))
        self.flow.initialize(vector, condition)
        self._refuse_unread(inputs, masks)
        self._call_once(vector, inputs, condition)
        self.built = True

    def _call_once(self, vector: tf.Tensor, inputs: Tensors, condition: Condition) -> None:
        """Build every layer, the user's own included: each is called with correct shapes."""
        self.loss(vector, condition, tf.zeros((2,), tf.int32))
        self.auxiliary_loss(vector, inputs, condition)

    def _refuse_unread(self, inputs: Tensors, masks: Tensors) -> None:
        """Refuse a flow without a use for features where these alone hold some of the data."""
        if self.flow.entries & {FEATURES, EVERY}:
            return
        unread = self._as_they_are(inputs)
        for key in self.summaries:
            if set(self._entries(key, inputs, masks)) == {FEATURES}:
                unread.extend(observables_of(key))
        if unread:
            raise InputError(
                f"Flow {self.flow!r}",
                expected="a part that reads features: context, and what summaries say in vectors",
                got=f"none, so that the posterior would not depend on {', '.join(unread)}",
                do="pass bi.flows.image(..., dense=2), or a flow with couplings of vectors",
            )

    def _seen(self, key: str, inputs: Tensors) -> tf.Tensor:
        times = self.summaries[key].times
        names = [name for name in observables_of(key) if name != times]
        if times is not None:
            names.insert(0, times)
        return side_by_side([inputs[name] for name in names])


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

    @property
    def numbers(self) -> int:
        return math.prod(self.flow.event_shape) if self.flow.nats else super().numbers

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


# Between a summary's key and the name of what it precomputed; no observable's name has it.
_SEPARATOR = " / "

Inputs = tuple[tf.Tensor, dict[str, tf.Tensor], dict[str, tf.Tensor]]


class PosteriorModel(DensityModel[PosteriorNetwork]):
    """The parts of q(parameters | data), which is that of one network or the mean of several.

    Each of several networks is trained for itself; ``network`` answers for all of them.
    """

    network: PosteriorNetwork

    def __init__(
        self, parameters: ParameterSpace, data: DataSpace, networks: Sequence[PosteriorNetwork]
    ) -> None:
        self.parameters = parameters
        self.data = data
        self._members = tuple(networks)
        self.network = networks[0] if len(networks) == 1 else MixtureNetwork(networks)

    @property
    def flow(self) -> Flow:
        return self._members[0].flow

    @property
    def width(self) -> int:
        """Number of elements of the flow's events."""
        return self.parameters.dimension

    def flow_inputs(self, batch: Batch, seed: tf.Tensor) -> tuple[tf.Tensor, Any]:
        (vector, inputs, masks), _ = self.prepare(batch, seed)
        return vector, self._members[0].condition(inputs, masks)

    def prepare(self, batch: Batch, seed: tf.Tensor) -> tuple[Inputs, tf.Tensor]:
        """Return vector, inputs and masks of a raw batch, and log_det (n,).

        ``log_det`` is that of the Jacobian matrix d vector / d parameters.
        """
        vector, log_det = self.parameters.to_vector(self.parameters.dequantise(batch, seed))
        return (vector, *self.data.to_network(batch)), log_det

    def initialize(self, batch: Batch, seed: int) -> None:
        inputs, _ = self.prepare(batch, seeds.tensor_seed(seed, "dequantise"))
        self.network.initialize(*inputs)

    def loss(self, batch: Batch, seed: tf.Tensor, progress: tf.Tensor, training: bool) -> tf.Tensor:
        network = self._members[0]
        (vector, inputs, masks), log_det = self.prepare(batch, seed)
        condition = network.condition(inputs, masks, training, _nested(batch))
        # A stream of its own: the seed itself decides where integers lie.
        loss = network.loss(vector, condition, seeds.fold_in(seed, -1), progress, training)
        own = network.auxiliary_loss(vector, inputs, condition)
        if own is not None:
            # Only its gradient counts; the value stays in nats. The difference is computed first:
            # it is exactly zero.
            loss += own - tf.stop_gradient(own)
        return loss - log_det if network.flow.nats else loss

    def precompute(self, batch: Batch) -> dict[str, tf.Tensor]:
        inputs, _ = self.data.to_network(batch)
        # Several networks share what no weights of their own decide; else each computes its own.
        shared = {
            key
            for key, summary in self._members[0].summaries.items()
            if len(self._members) == 1 or not summary.non_trainable_variables
        }
        return {
            f"{key}{_SEPARATOR}{name}": value
            for key, values in self.network.precompute(inputs).items()
            if key in shared
            for name, value in values.items()
        }

    def pretraining(self) -> Trainable | None:
        if not self.network.auxiliary_layers():
            return None
        if len(self._members) > 1:
            raise InputError(
                "Argument 'networks'",
                expected="1 with a summary that is trained before, and fixed then",
                got=f"{len(self._members)}",
                do="train several posteriors, and join them with bi.Ensemble",
            )
        return _AuxiliaryLoss(self)

    def freeze(self) -> None:
        for layer in self.network.auxiliary_layers():
            layer.trainable = False

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            **self.parameters.arrays(),
            **self.data.arrays(),
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take what :meth:`arrays` gave of the parameters; the space of the data has its own."""
        self.parameters.restore(arrays)

    def copy_weights(self, trained: Trainable) -> None:
        assert isinstance(trained, PosteriorModel)
        self.data.scalings = dict(trained.data.scalings)
        super().copy_weights(trained)


class _AuxiliaryLoss(Trainable):
    """The parts of summaries that have losses of their own, trained alone."""

    def __init__(self, model: PosteriorModel) -> None:
        self.model = model
        self.network = _Layers(model.network.auxiliary_layers())

    def initialize(self, batch: Batch, seed: int) -> None:
        """Do nothing: the model has built the layers."""

    def loss(self, batch: Batch, seed: tf.Tensor, progress: tf.Tensor, training: bool) -> tf.Tensor:
        (vector, inputs, _), log_det = self.model.prepare(batch, seed)
        loss = self.model.network.auxiliary_loss(vector, inputs)
        assert loss is not None
        return loss - log_det


class _Layers(keras.layers.Layer):
    """Some layers of another network, to be trained by themselves."""

    def __init__(self, layers: list[keras.layers.Layer]) -> None:
        super().__init__(name="auxiliary", autocast=False)
        self.parts = list(layers)
        self.built = True


def _nested(batch: Batch) -> dict[str, dict[str, tf.Tensor]]:
    """Return what :meth:`PosteriorModel.precompute` put into a batch, by summary and name."""
    nested: dict[str, dict[str, tf.Tensor]] = {}
    for name, value in batch.items():
        key, separator, part = name.rpartition(_SEPARATOR)
        if separator:
            nested.setdefault(key, {})[part] = value
    return nested
