"""The network of a hierarchical model: summaries of persons, a summary of their set, two flows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.bijections import Bijection
from bayesinn.bijections.bijection import EVERY, FEATURES, Condition
from bayesinn.core import seeds
from bayesinn.core.arrays import broadcast_mask
from bayesinn.core.configuration import clone
from bayesinn.core.errors import InputError, check_integer, check_memory, check_type
from bayesinn.core.files import SavedModel
from bayesinn.flows import Flow
from bayesinn.posterior.amortized import measured_data, saved_data, saved_scaling
from bayesinn.posterior.model import PosteriorNetwork, Tensors
from bayesinn.simulation.checks import missing_option, without_padding_in_graph
from bayesinn.simulation.declaration import check_known
from bayesinn.simulation.prior import Prior, Values
from bayesinn.simulation.simulator import Arrays, Recommended, Simulator, simulator as declare
from bayesinn.spaces.data import DataSpace, Scaling
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries import Summary
from bayesinn.summaries.summary import observables_of

#: Entry of the condition: the summary of the person whose parameters are in the event.
PERSON = "person"
#: Entry of a condition that says how far apart the persons are; no flow reads it.
EXTREMES = "extremes"


class TwoStages(Flow):
    """The distribution of the population's parameters, then one person's.

    The first stage sees the summary of the set; the second the person's summary, and what the first
    one drew. Given that, all persons are independent.

    Parameters
    ----------
    flow : Flow of vectors, copied for the second stage
    shared : sequence of str, names of the parameters of the population
    """

    reads = EVERY

    def __init__(self, flow: Flow, shared: Sequence[str]) -> None:
        super().__init__()
        self.shared = tuple(shared)
        self.first = flow
        self.second = clone(flow)
        self.declare_like(flow)

    def bind(self, parameters: ParameterSpace) -> None:
        chosen = parameters.elements_of(self.shared) == 1.0
        # Past Keras' attribute tracking.
        self.__dict__["_places"] = (np.flatnonzero(chosen), np.flatnonzero(~chosen))

    def build(self, event_shape: Sequence[int], condition_shapes: Any = None) -> None:
        super().build(event_shape, condition_shapes)
        shared, own = self._places
        self.first.build((len(shared),), condition_shapes[FEATURES])
        self.second.build((len(own),), (condition_shapes[PERSON][0] + len(shared),))

    def loss(
        self,
        x: tf.Tensor,
        condition: Any = None,
        *,
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        (shared, features), (own, both) = self._parts(x, condition)
        options: dict[str, Any] = {"progress": progress, "training": training}
        other = None if seed is None else seeds.fold_in(seed, 1)
        loss = self.first(shared, features, seed=seed, **options)
        return loss + self.second(own, both, seed=other, **options)

    def log_prob(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        (shared, features), (own, both) = self._parts(x, condition)
        return self.first.log_prob(shared, features) + self.second.log_prob(own, both)

    def sample(self, n: int | tf.Tensor, condition: Any = None, *, seed: Any) -> tf.Tensor:
        seed = tf.convert_to_tensor(seed, tf.int32)
        shared = self.first.sample(n, condition[FEATURES], seed=seed)
        return self.complete(shared, condition[PERSON], seeds.fold_in(seed, 1))

    def complete(self, shared: tf.Tensor, persons: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draw the rest of events (m, n, d) given draws (m, n, k) and summaries (m, c).

        Each of m persons has draws of the population's parameters of its own, or the same.
        """
        count = tf.shape(shared)[1]
        given = tf.reshape(shared, (-1, shared.shape[-1]))
        both = tf.concat([tf.repeat(persons, count, axis=0), given], axis=-1)
        own = self.second.sample(1, both, seed=seed)[:, 0]
        joined = tf.concat([given, own], axis=-1)
        vector = tf.gather(joined, np.argsort(np.concatenate(self._places)), axis=-1)
        return tf.reshape(vector, (-1, count, vector.shape[-1]))

    def initialize(self, x: tf.Tensor, condition: Any = None) -> None:
        for flow, part in zip((self.first, self.second), self._parts(x, condition), strict=True):
            flow.initialize(*part)

    @property
    def watched(self) -> list[Bijection]:
        return [*self.first.watched, *self.second.watched]

    def watched_inputs(
        self, x: tf.Tensor, condition: Any = None
    ) -> list[tuple[tf.Tensor, tf.Tensor | None]]:
        shared, own = self._parts(x, condition)
        return [*self.first.watched_inputs(*shared), *self.second.watched_inputs(*own)]

    def _parts(self, x: tf.Tensor, condition: Condition) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Return what each stage sees: events (n, d), and their condition (n, c)."""
        shared, own = (tf.gather(x, places, axis=-1) for places in self._places)
        both = tf.concat([condition[PERSON], shared], axis=-1)
        return [(shared, condition[FEATURES]), (own, both)]


_SUBJECT = "Argument 'group'"
_DO = 'pass the parameters of a person by name, such as group={"person": ("speed", "threshold")}'
#: Data sets that a step of training draws.
BATCH = 64
_AXES = ("chain", "draw", "observation")


@dataclass(frozen=True)
class Levels:
    """Who the members of a group are (``axis``, such as "person"), and which parameters they have.

    All other parameters are ``shared``: hyperparameters, and what all persons have in common. A
    data set has ``fewest`` to ``most`` persons.
    """

    axis: str
    own: tuple[str, ...]
    shared: tuple[str, ...]
    fewest: int
    most: int

    @property
    def count(self) -> str:
        """Name of the number of persons in a data set."""
        return count_name(self.axis)


def count_name(axis: str) -> str:
    """Return the name of the number of members along an axis."""
    return f"{axis}_count"


def check_levels(
    simulator: Simulator, group: Mapping[str, str | Sequence[str]], sizes: Sequence[int]
) -> Levels:
    """Check what a user declares of a simulator of one person."""
    check_type(
        "Argument 'simulator'",
        simulator,
        Simulator,
        "a Simulator of one person",
        "decorate the function with @bi.simulator",
    )
    subject = f"Simulator {simulator.name!r} of one person"
    if not simulator.in_graph:
        raise InputError(
            subject,
            expected="a function of TensorFlow operations, called with all persons of a batch at "
            "once",
            got=f"{simulator.engine.kind}",
            do="write it with TensorFlow",
        )
    context = simulator.context
    if context is not None and any(context.needs.values()):
        raise InputError(
            subject,
            expected="context whose distributions depend on nothing",
            got=f"{context.needs}",
            do="replace the functions by distributions",
        )
    prior = simulator.prior
    check_type(_SUBJECT, group, Mapping, "a dict of one entry", _DO)
    if len(group) != 1:
        raise InputError(_SUBJECT, expected="one level", got=f"{sorted(group)}", do=_DO)
    axis, names = next(iter(group.items()))
    check_type(_SUBJECT, names, (str, list, tuple), "names of parameters", _DO)
    own = (names,) if isinstance(names, str) else tuple(names)
    check_known(_SUBJECT, own, prior.names)
    variables = (name for kind in simulator.shapes.values() for name in kind)
    axes = (axis for own in simulator.dimensions.values() for axis in own)
    taken = {*_AXES, *variables, *axes}
    if not isinstance(axis, str) or {axis, count_name(axis)} & taken:
        raise InputError(
            _SUBJECT,
            expected="a name for the axis of persons; it and NAME_count must be other than "
            f"{sorted(taken)}",
            got=f"{axis!r}",
            do=_DO,
        )
    shared = tuple(name for name in prior.names if name not in own)
    if not own or not shared:
        raise InputError(
            _SUBJECT,
            expected="some of the parameters; the others are those of the population",
            got=f"{own} of {prior.names}",
            do=_DO,
        )
    for name in shared:
        above = set(prior.needs[name]) & set(own)
        if above:
            raise InputError(
                _SUBJECT,
                expected=f"a prior of {name!r} that depends on no person, as it is not in {axis!r}",
                got=f"one given {sorted(above)}",
                do=f"name it, too: group={{{axis!r}: {(*own, name)}}}",
            )
    pair = _pair(sizes)
    numbers = sum(math.prod(shape) for kind in simulator.shapes.values() for shape in kind.values())
    check_memory(
        "Argument 'sizes'",
        BATCH * pair[1] * numbers * 4,
        got=f"a batch of {BATCH} data sets of {pair[1]:,} persons with {numbers:,} numbers each",
        do="train with fewer persons in a data set",
    )
    return Levels(axis, tuple(name for name in prior.names if name in own), shared, *pair)


def _pair(sizes: Any) -> tuple[int, int]:
    subject = "Argument 'sizes'"
    do = "pass the fewest and the most persons in a data set, such as sizes=(5, 50)"
    check_type(subject, sizes, (list, tuple), "two integers", do)
    if len(sizes) != 2:
        raise InputError(subject, expected="two integers", got=f"{sizes}", do=do)
    fewest = check_integer(subject, sizes[0], do=do)
    return fewest, check_integer(subject, sizes[1], least=fewest, do=do)


# Enough to measure scalings of persons on.
_SETS = 1_024


@dataclass
class SetSpace(DataSpace):
    """The scalings of a person's data, applied to sets (n, persons, ...).

    ``count`` names the number of persons, which scales by itself.
    """

    count: str = ""

    @classmethod
    def of_sets(
        cls,
        rows: Arrays,
        simulator: Simulator,
        levels: Levels,
        summaries: Mapping[str, Summary],
    ) -> SetSpace:
        """Measure on the persons of simulated sets (n, persons, ...), without padding."""
        rows = {name: value[:_SETS] for name, value in rows.items()}
        counts = rows[levels.count]
        there = np.arange(levels.most) < counts[:, None]
        names = tuple(simulator.observable_shapes), simulator.context_names
        persons = {name: rows[name][there] for part in names for name in part}
        own = measured_data(simulator, summaries, persons)
        return cls._joined(own, levels.count, Scaling.fit(counts, levels.count))

    @classmethod
    def saved(
        cls,
        saved: SavedModel,
        simulator: Simulator,
        levels: Levels,
        summaries: Mapping[str, Summary],
    ) -> SetSpace:
        """Return the space of a saved folder."""
        count = levels.count
        scaling = saved_scaling(saved, "data", count, ())
        return cls._joined(saved_data(saved, simulator, summaries), count, scaling)

    @classmethod
    def _joined(cls, persons: DataSpace, count: str, scaling: Scaling) -> SetSpace:
        fields = {**vars(persons), "scalings": {**persons.scalings, count: scaling}}
        return cls(**fields, count=count)

    def to_network(
        self, data: Mapping[str, tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Scale sets (n, persons, ...), zero where there is no person; also masks.

        The masks are (n, persons, steps) of valid steps, and under the name of the count (n,
        persons) of persons.
        """
        names = (*self.observables, *self.context)
        most = data[names[0]].shape[1]
        inputs, masks = super().to_network({name: flatten(data[name]) for name in names})
        there = tf.sequence_mask(tf.cast(data[self.count], tf.int32), most)
        nested = {}
        for name, value in inputs.items():
            sets = unflatten(value, most)
            axes = [1] * (sets.shape.rank - 2)
            nested[name] = tf.where(tf.reshape(there, (-1, most, *axes)), sets, 0.0)
        nested[self.count] = self.scalings[self.count].apply(data[self.count])[:, None]
        known = {name: unflatten(mask, most) for name, mask in masks.items()}
        return nested, {**known, self.count: there}


def flatten(sets: tf.Tensor) -> tf.Tensor:
    """Return persons (n persons, ...) of sets (n, persons, ...)."""
    return tf.reshape(sets, (-1, *sets.shape[2:]))


def unflatten(persons: tf.Tensor, most: int) -> tf.Tensor:
    """Return sets (n, persons, ...) of persons (n persons, ...)."""
    return tf.reshape(persons, (-1, most, *persons.shape[1:]))


class SetNetwork(PosteriorNetwork):
    """The density of the population's parameters and the first person's, given sets of persons.

    Each person has a summary, with context; the set of these is all that the first stage sees.
    """

    flow: TwoStages

    def __init__(
        self, summaries: Mapping[str, Summary], population: Summary, flow: TwoStages, count: str
    ) -> None:
        super().__init__(summaries, flow)
        self.population = population
        self.count = count

    def persons(self, inputs: Tensors, masks: Tensors, training: bool = False) -> tf.Tensor:
        """Return summaries (n, persons, c) of all persons, padding included."""
        most = masks[self.count].shape[1]
        parts = {name: flatten(value) for name, value in inputs.items() if name != self.count}
        valid = {name: flatten(value) for name, value in masks.items() if name != self.count}
        condition = super().condition(parts, valid, training)
        if len(condition) > 1:
            raise InputError(
                f"Summary networks {self.summaries}",
                expected="features alone, which the two stages exchange",
                got=f"entries {sorted(condition)}",
                do="use another summary network",
            )
        return unflatten(condition[FEATURES], most)

    def condition_of(
        self, persons: tf.Tensor, inputs: Tensors, masks: Tensors, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """Return the summary of the set and the first person's, which the flow reads.

        Beside these are the smallest and largest of each number in the persons' summaries.
        """
        features = self.population(persons, masks[self.count], training)
        joined = tf.concat([features, inputs[self.count]], axis=-1)
        present = masks[self.count][:, :, None]
        largest = tf.reduce_max(tf.where(present, persons, -np.inf), axis=1)
        smallest = tf.reduce_min(tf.where(present, persons, np.inf), axis=1)
        extremes = tf.concat([smallest, largest], axis=-1)
        return {FEATURES: joined, PERSON: persons[:, 0], EXTREMES: extremes}

    def condition(
        self,
        inputs: Tensors,
        masks: Tensors,
        training: bool = False,
        precomputed: Mapping[str, Tensors] | None = None,
    ) -> dict[str, tf.Tensor]:
        persons = self.persons(inputs, masks, training)
        return self.condition_of(persons, inputs, masks, training)

    def compared(self, condition: Condition) -> tf.Tensor:
        # Whatever the order of persons, so that any of them may be unusual.
        return tf.concat([condition[EXTREMES], condition[FEATURES]], axis=-1)

    def precompute(self, inputs: Tensors) -> dict[str, dict[str, tf.Tensor]]:
        return {}

    def initialize(self, vector: tf.Tensor, inputs: Tensors, masks: Tensors) -> None:
        # Places without a person hold zeros.
        there = tf.reshape(masks[self.count], (-1,))
        own, valid = (
            {
                name: tf.boolean_mask(flatten(value), there)
                for name, value in given.items()
                if name != self.count
            }
            for given in (inputs, masks)
        )
        for key, summary in self.summaries.items():
            summary.initialize(self._seen(key, own), valid.get(observables_of(key)[0]))
        self.population.initialize(self.persons(inputs, masks), masks[self.count])
        condition: Any = self.condition(inputs, masks)
        self.flow.initialize(vector, condition)
        self.loss(vector, condition, tf.zeros((2,), tf.int32))
        self.built = True


tfd = tfp.distributions

# Persons who are simulated at once: pilot simulations are thousands of sets.
_PERSONS_AT_ONCE = 8_192


def set_simulator(simulator: Simulator, levels: Levels) -> Simulator:
    """Return the simulator of data sets (persons, ...), padded, with the number of persons.

    Its parameters are those of the population, and those of the first person, who stands for any:
    all others have parameters of their own, drawn from the prior given the population's. It has
    context of each person, and the number of persons.
    """
    most = levels.most
    known_context = simulator.context
    context = {}
    if known_context is not None:
        context = {name: known_context.distribution(name, {}) for name in known_context.names}
    sizes = tf.range(levels.fewest, most + 1)
    known = {name for kind in simulator.shapes.values() for name in kind}
    labels = simulator.labels.of(known)
    policy: dict[str, Any] = {
        "on_nonfinite": simulator.on_nonfinite,
        "most_failures": simulator.most_failures,
    }
    return declare(
        prior=simulator.prior.entries,
        context={
            **{name: tfd.Sample(entry, most) for name, entry in context.items()},
            levels.count: tfd.FiniteDiscrete(sizes, logits=tf.zeros(len(sizes))),
        },
        name=f"{simulator.name}, sets of {levels.fewest} to {most}",
        labels=labels.labels,
        units=labels.units,
        lengths=dict.fromkeys(simulator.observable_shapes, levels.count),
        missing=missing_option(simulator.missing),
        recommended=Recommended(batch_size=BATCH),
        **policy,
    )(_simulate_sets(simulator, levels))


def _simulate_sets(simulator: Simulator, levels: Levels) -> Callable[..., Values]:
    most = levels.most

    def simulate(parameters: Values, context: Values, seed: tf.Tensor) -> Values:
        prior_seed, data_seed = seeds.split(seed, 2)
        repeated = {name: tf.repeat(value, most, axis=0) for name, value in parameters.items()}
        others = draw_given(simulator.prior, levels, repeated, prior_seed)
        rows = tf.shape(repeated[levels.shared[0]])[0]
        first = tf.range(rows) % most == 0
        for name, value in others.items():
            repeated[name] = tf.where(broadcast_mask(first, value), repeated[name], value)
        known = {
            name: tf.reshape(context[name], (-1, *shape))
            for name, shape in simulator.shapes["context"].items()
        }
        data = _in_blocks(simulator, repeated, known, rows, data_seed)
        data = without_padding_in_graph(simulator.lengths, data, known)
        return {
            name: tf.reshape(value, (-1, most, *value.shape[1:])) for name, value in data.items()
        }

    return simulate


def draw_given(prior: Prior, levels: Levels, parameters: Values, seed: tf.Tensor) -> Values:
    """Draw the parameters of persons (n, *event) given those of the population (n, *event)."""
    values = {name: parameters[name] for name in levels.shared}
    rows = tf.shape(values[levels.shared[0]])[0]
    for number, name in enumerate(name for name in prior.order if name in levels.own):
        law = prior.distribution(name, values)
        shape = [rows] if law.batch_shape.rank == 0 else []
        values[name] = law.sample(shape, seed=seeds.fold_in(seed, number))
    return {name: values[name] for name in levels.own}


def _in_blocks(
    simulator: Simulator, parameters: Values, context: Values, rows: tf.Tensor, seed: tf.Tensor
) -> Values:
    """Run the forward model of a person on rows (n, ...), in blocks that fit into memory."""
    size = tf.minimum(rows, _PERSONS_AT_ONCE)
    blocks = (rows + size - 1) // size

    def run(number: tf.Tensor) -> Values:
        # The last block is filled up with the last row.
        chosen = tf.minimum(number * size + tf.range(size), rows - 1)
        given = [
            {name: tf.gather(value, chosen) for name, value in part.items()}
            for part in ((parameters, context) if context else (parameters,))
        ]
        data = simulator.function(*given, seeds.fold_in(seed, number))
        return {name: tf.convert_to_tensor(value) for name, value in data.items()}

    like = {
        name: tf.TensorSpec((None, *shape), simulator.observable_types[name])
        for name, shape in simulator.observable_shapes.items()
    }
    found = tf.map_fn(run, tf.range(blocks), fn_output_signature=like)
    return {
        name: tf.reshape(value, (-1, *simulator.observable_shapes[name]))[:rows]
        for name, value in found.items()
    }
