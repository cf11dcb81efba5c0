"""The simulator of data sets of many persons, made of one that simulates one person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core import seeds
from bayesinn.core.arrays import broadcast_mask
from bayesinn.hierarchical.network import BATCH, Levels
from bayesinn.simulation.checks import missing_option, without_padding_in_graph
from bayesinn.simulation.prior import Prior, Values
from bayesinn.simulation.simulator import Recommended, Simulator, simulator as declare

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
