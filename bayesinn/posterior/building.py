"""Build a posterior's model: spaces measured on pilot simulations, networks with new weights."""

from collections.abc import Mapping

import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.configuration import building, clone
from bayesinn.core.environment import check_precision
from bayesinn.flows import Flow
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.network import PosteriorNetwork
from bayesinn.simulation import checks
from bayesinn.simulation.digits import warn_of_lost_digits
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.data import DataSpace
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries import Summary
from bayesinn.summaries.joint import seen_raw

PILOT_SIMULATIONS = 4096
_FEWEST_PILOT_SIMULATIONS = 512


def new_model(
    simulator: Simulator,
    summaries: Mapping[str, Summary],
    flow: Flow,
    seed: int,
    arrays: Arrays | None = None,
    most: int = PILOT_SIMULATIONS,
) -> tuple[PosteriorModel, Arrays]:
    """Return a built model, standardised on pilot simulations or given arrays; and the simulations.

    The networks, as a user configured them, are copied. There are at most ``most`` pilot
    simulations, but 512 to 4,096.
    """
    if arrays is None:
        simulations = simulator.draw(
            min(max(most, _FEWEST_PILOT_SIMULATIONS), PILOT_SIMULATIONS), seed, "pilot"
        )
        checks.check_finite(simulator, simulations)
        # As training sees them.
        types = simulator.observable_types
        observables = {
            name: value.astype(types[name]) for name, value in simulations.observables.items()
        }
        pilot = {**simulations.flat(), **observables}
    else:
        pilot = {name: value[:PILOT_SIMULATIONS] for name, value in arrays.items()}
    names = tuple(simulator.observable_shapes), simulator.context_names, simulator.lengths
    raw = seen_raw(summaries)
    warn_of_lost_digits(simulator, pilot, raw)
    data = DataSpace.fit(pilot, *names, raw, simulator.missing is not None)
    model = build_model(simulator, summaries, flow, data, seed)
    first = {
        name: tf.convert_to_tensor(value[: PILOT_SIMULATIONS // 2]) for name, value in pilot.items()
    }
    with building(), seeds.seeded_initial_weights(seed):
        model.initialize(first, seed)
    return model, pilot


def build_model(
    simulator: Simulator, summaries: Mapping[str, Summary], flow: Flow, data: DataSpace, seed: int
) -> PosteriorModel:
    """Return a model with new networks that have no weights yet; the same for the same seed."""
    check_precision()
    parameters = ParameterSpace(simulator.prior, seed)
    with seeds.seeded_initial_weights(seed):
        networks = {name: clone(value) for name, value in summaries.items()}
        for network in networks.values():
            network.bind(parameters)
        own_flow = clone(flow)
        own_flow.bind(parameters)
        return PosteriorModel(parameters, data, PosteriorNetwork(networks, own_flow))
