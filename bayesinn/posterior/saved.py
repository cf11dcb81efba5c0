"""Parts of a saved posterior: spaces, network, and what observations are compared with."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from bayesinn.core.files import FLOATS, SavedModel
from bayesinn.flows import Flow
from bayesinn.posterior.measurement import build_model, left_out
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.typicality import Reference
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.data import DataSpace, Scaling
from bayesinn.spaces.observations import data_shapes
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries import Summary
from bayesinn.summaries.summary import scaled_alike, seen_raw

#: Entries of a posterior's manifest beside those that all estimators have.
SCHEMA = {
    "network": {"summaries": {str: dict}, "flow": dict},
    "compression": {str: (float, type(None))},
}


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
    exact = f"{place}/exact_mean" in saved.file
    mean = saved.array(f"{place}/exact_mean" if exact else f"{place}/mean", shape, FLOATS)
    scale = saved.array(f"{place}/scale", shape, FLOATS)
    return Scaling(compress, mean, scale)


def restore_parameters(saved: SavedModel, space: ParameterSpace) -> None:
    """Give a space of parameters the moments that were saved."""
    shape = (space.dimension,)
    space.restore({name: saved.array(name, shape) for name in space.arrays()})


def saved_model(
    saved: SavedModel, simulator: Simulator, summaries: Mapping[str, Summary], flow: Flow
) -> PosteriorModel:
    """Return a model with the spaces that were saved and a network that is built for them."""
    data = saved_data(saved, simulator, summaries)
    networks = saved.entries["network"].get("networks", 1)
    model = build_model(simulator, summaries, flow, data, 0, networks)
    restore_parameters(saved, model.parameters)
    inputs = model.data.to_network(two_data_sets(simulator))
    model.network.build_weights(tf.zeros((2, model.parameters.dimension)), *inputs)
    return model


def two_data_sets(simulator: Simulator) -> dict[str, tf.Tensor]:
    """Return two observations of ones."""
    shapes = data_shapes(simulator)
    return {name: tf.ones((2, *shape)) for name, shape in shapes.items()}
