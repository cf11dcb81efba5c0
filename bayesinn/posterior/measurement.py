"""Spaces of a model, and what observations are compared with: measured, or read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import map_tensors
from bayesinn.core.configuration import clone
from bayesinn.core.files import FLOATS, SavedModel
from bayesinn.core.precision import check_precision
from bayesinn.estimators.fitting_data import PILOT_SIMULATIONS
from bayesinn.flows import Flow
from bayesinn.posterior.answers import Evaluator
from bayesinn.posterior.damage import damaged_copies
from bayesinn.posterior.model import PosteriorModel, PosteriorNetwork
from bayesinn.posterior.typicality import Reference, grow_trees, learnable_damage
from bayesinn.simulation.simulations import take
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.data import DataSpace, Scaling
from bayesinn.spaces.observations import data_shapes
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries import Summary
from bayesinn.summaries.summary import masked_gaps, observables_of, scaled_alike, seen_raw
from bayesinn.training.trainable import count_weights

#: Entries of a posterior's manifest beside those that all estimators have.
SCHEMA = {
    "network": {"summaries": {str: dict}, "flow": dict},
    "compression": {str: (float, type(None))},
}


def measured_data(
    simulator: Simulator, summaries: Mapping[str, Summary], rows: Arrays
) -> DataSpace:
    """Return the space of the data that these networks see, standardised on rows (n, ...)."""
    return DataSpace.fit(
        rows,
        observables=tuple(simulator.observable_shapes),
        context=simulator.context_names,
        lengths=simulator.lengths,
        raw=seen_raw(summaries),
        missing=simulator.missing is not None,
        alike=scaled_alike(summaries),
        gaps=left_out(simulator, summaries),
    )


def saved_data(
    saved: SavedModel, simulator: Simulator, summaries: Mapping[str, Summary]
) -> DataSpace:
    """Return the space of the data that a simulator declares, with the scalings that were saved."""
    shapes = data_shapes(simulator)
    scalings = {}
    one_scale = {*simulator.lengths, *scaled_alike(summaries)}
    for name, shape in shapes.items():
        # One number for each channel, or for all steps of a series of varying length.
        own = () if name in one_scale and len(shape) == 1 else shape[-1:]
        scalings[name] = saved_scaling(saved, "data", name, own)
    return DataSpace(
        scalings,
        observables=tuple(simulator.observable_shapes),
        context=simulator.context_names,
        lengths=simulator.lengths,
        raw=seen_raw(summaries),
        missing=simulator.missing is not None,
        gaps=left_out(simulator, summaries),
    )


def saved_scaling(saved: SavedModel, group: str, name: str, shape: tuple[int, ...]) -> Scaling:
    """Return the scaling of a variable, with mean and scale of a shape in a group of the file.

    A ValueError refuses a compression that no scaling has.
    """
    compress = saved.entries["compression"][name]
    if compress is not None and not 0.0 < compress < float("inf"):
        raise ValueError(f"compression {compress!r} of {name!r}")
    place = f"{group}/{name}"
    # In double precision where single precision would rob data of digits.
    mean, scale = (saved.array(f"{place}/{part}", shape, FLOATS) for part in ("mean", "scale"))
    return Scaling(compress, mean, scale)


def left_out(simulator: Simulator, summaries: Mapping[str, Summary]) -> dict[str, list[str]]:
    """Return the observables without any value at a step that their network leaves out."""
    if simulator.missing is None:
        return {}
    # A share of zero leaves the pattern to the simulator.
    return masked_gaps(summaries, at_random=simulator.missing > 0.0)


def new_summaries(simulator: Simulator, summaries: Mapping[str, Summary]) -> dict[str, Summary]:
    """Return copies that have no weights yet, and know the coordinates of their data."""
    copies = {key: clone(value) for key, value in summaries.items()}
    for key, summary in copies.items():
        known = simulator.labels.coordinates.get(observables_of(key)[0])
        if known is not None:
            summary.locate(known.numbers)
    return copies


def build_model(
    simulator: Simulator,
    summaries: Mapping[str, Summary],
    flow: Flow,
    data: DataSpace,
    seed: int,
    networks: int = 1,
) -> PosteriorModel:
    """Return a model with new networks that have no weights yet; the same for the same seed."""
    check_precision()
    parameters = ParameterSpace(simulator.prior, seed)
    with seeds.seeded_initial_weights(seed):
        members = [_new_network(simulator, parameters, summaries, flow) for _ in range(networks)]
        return PosteriorModel(parameters, data, members)


def _new_network(
    simulator: Simulator, parameters: ParameterSpace, summaries: Mapping[str, Summary], flow: Flow
) -> PosteriorNetwork:
    """Return a network of copies that have no weights yet."""
    own_summaries = new_summaries(simulator, summaries)
    for summary in own_summaries.values():
        summary.bind(parameters)
    own_flow = clone(flow)
    own_flow.bind(parameters)
    return PosteriorNetwork(own_summaries, own_flow)


def describe_model(name: str, model: PosteriorModel, reasons: Mapping[str, str] = {}) -> str:
    """Write what is about to be trained: scalings, networks and reasons for them, weights."""
    count = model.parameters.dimension
    lines = [f"{name}: {count} unconstrained parameter{'s' * (count != 1)}"]
    summaries = model.network.summaries
    keys = {observable: key for key in summaries for observable in observables_of(key)}
    for variable, scaling in model.data.scalings.items():
        key = keys.get(variable)
        if key is None:
            network = "context"
        elif key == variable:
            network = f"{summaries[key]!r}{_because(reasons.get(key))}"
        else:
            network = f"network of {key}"
        seen = "as simulated" if variable in model.data.raw else str(scaling)
        lines.append(f"  {variable}: {seen}; {network}")
    for key, summary in summaries.items():
        if key not in keys:
            lines.append(f"  {key}: {summary!r}{_because(reasons.get(key))}")
    several = f"{len(model.members)} networks; " if len(model.members) > 1 else ""
    flow = model.members[0].flow
    lines.append(f"  flow: {flow!r}; {several}{count_weights(model):,} weights in all")
    return "\n".join(lines)


def _because(reason: str | None) -> str:
    return "" if reason is None else f" ({reason})"


def _observables_in(summaries: Mapping[str, Summary], order: str) -> list[str]:
    """Return the observables that summaries of sets, or of series, see."""
    chosen = [key for key, summary in summaries.items() if summary.order == order]
    return [name for key in chosen for name in observables_of(key)]


class Compared(NamedTuple):
    """Simulations (n, ...) that new observations are compared with.

    Elements of ``pooled`` observables are exchangeable or vary in number, those of ``series`` have
    an order; ``counts`` names the number of valid elements of others.
    """

    data: Arrays
    pooled: Sequence[str]
    series: Sequence[str]
    counts: Mapping[str, str]


def compared_rows(model: PosteriorModel, rows: Arrays) -> Compared:
    """Return the first 4,096 of rows (n, ...) with at least observables and context."""
    summaries = model.network.summaries
    data = {name: rows[name][:PILOT_SIMULATIONS] for name in model.data.scalings}
    pooled = _observables_in(summaries, "set")
    series = _observables_in(summaries, "series")
    return Compared(data, pooled, series, model.data.lengths)


def detect_damage(space: DataSpace, compared: Compared) -> list[np.ndarray]:
    """Train trees that detect damaged data; nothing of it depends on the networks."""
    data = compared.data
    first = _standardised(space, take(data, slice(2)))
    # Copies of many images would not fit into memory, and nothing is learned of them.
    kinds = learnable_damage(first, compared.pooled, compared.series)
    copies = damaged_copies(data, space.observables, compared.series, compared.counts, kinds)
    inputs = _standardised(space, data)
    damaged = {kind: _standardised(space, copy) for kind, copy in copies.items()}
    return grow_trees(inputs, damaged, compared.pooled, compared.series)


def measure_reference(
    evaluator: Evaluator, compared: Compared, trees: Sequence[np.ndarray]
) -> Reference:
    """Return what new observations are compared with; ``trees`` are of :func:`detect_damage`."""
    condition, inputs = evaluator.condition(compared.data)
    vectors = np.asarray(evaluator.model.network.compared(condition))
    return Reference.fit(vectors, inputs, compared.pooled, compared.series, trees)


def _standardised(space: DataSpace, data: Arrays) -> Arrays:
    return map_tensors(np.asarray, space.standardise(map_tensors(tf.convert_to_tensor, data)))


def saved_reference(saved: SavedModel, model: PosteriorModel, simulator: Simulator) -> Reference:
    """Return what observations are compared with."""
    # Any reference has the types and numbers of axes; statistics of simulations that overflow are
    # infinite.
    some = Reference.fit(np.zeros((2, 1)), {"x": np.zeros((2, 1))}).arrays()
    reference = Reference(
        **{
            name: saved.array(
                f"reference/{name}", (None,) * like.ndim, like.dtype, finite=name != "held_out"
            )
            for name, like in some.items()
        }
    )
    ones = two_data_sets(simulator)
    # What doesn't fit would fail with the first observation.
    with saved.explained_weights():
        inputs = {name: value.numpy() for name, value in model.data.standardise(ones).items()}
        condition = model.network.placeholder_condition(*model.data.to_network(ones))
        reference.check(model.network.compared(condition).numpy(), inputs)
    return reference


def two_data_sets(simulator: Simulator) -> dict[str, tf.Tensor]:
    """Return two observations of ones."""
    shapes = data_shapes(simulator)
    return {name: tf.ones((2, *shape)) for name, shape in shapes.items()}
