"""Build a posterior's model: spaces measured on pilot simulations, networks with new weights."""

from collections.abc import Mapping

from bayesinn.core import seeds
from bayesinn.core.configuration import clone
from bayesinn.core.environment import check_precision
from bayesinn.flows import Flow
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.network import PosteriorNetwork
from bayesinn.simulation.digits import warn_of_lost_digits
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.data import DataSpace
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries import Summary
from bayesinn.summaries.joint import masked_gaps, observables_of, scaled_alike, seen_raw


def measured_model(
    simulator: Simulator,
    summaries: Mapping[str, Summary],
    flow: Flow,
    rows: Arrays,
    seed: int,
    networks: int = 1,
) -> PosteriorModel:
    """Return a model with new networks that have no weights yet, standardised on rows (n, ...).

    The networks, as a user configured them, are copied, as often as ``networks`` says.
    """
    warn_of_lost_digits(simulator, rows, seen_raw(summaries))
    data = measured_data(simulator, summaries, rows)
    return build_model(simulator, summaries, flow, data, seed, networks)


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
