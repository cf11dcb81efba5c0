"""The answer as an ArviZ DataTree, with names, labels, units and coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bayesinn._version import __version__
from bayesinn.core import seeds
from bayesinn.core.masks import fill_padding
from bayesinn.posterior.typicality import Typicality
from bayesinn.simulation.simulations import copied, flatten_draws
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import Observations

if TYPE_CHECKING:
    import xarray


def inference_data(
    simulator: Simulator,
    observations: Observations,
    values: Arrays,
    log_density: np.ndarray | None,
    typicality: Typicality | None,
    seed: int,
    predictive: bool = True,
    progress: bool = False,
    chains: int = 1,
) -> xarray.DataTree:
    """Return posterior, prior, posterior predictive, observed and constant data in one tree.

    Draws are (n_obs, draws, *event), those of ``chains`` of equal length one after the other. Their
    log density, if there is one, becomes ``lp``; the seed decides prior and predictive draws.
    """
    import arviz as az
    import xarray

    batched = observations.batched
    draws = next(iter(values.values())).shape[1]
    prior = simulator.prior.sample(draws, seeds.tensor_seed(seed, "prior"))
    density = {} if log_density is None else {"lp": log_density}
    predicted = {}
    if predictive and simulator.simulates:
        predicted = predict(simulator, observations, values, seed, progress)
    groups = {"posterior": values, "posterior_predictive": predicted, "sample_stats": density}
    tree = {
        name: {key: _by_chain(value, chains, batched) for key, value in group.items()}
        for name, group in groups.items()
        if group or name == "sample_stats"
    }
    known = copied(mask_padding(simulator, observations.arrays, observations.arrays))
    given = {
        "observed_data": simulator.observable_shapes,
        "constant_data": simulator.context_names,
    }
    for group, names in given.items():
        if names:
            tree[group] = {name: observations.like_data(known[name]) for name in names}
    dimensions = _dimensions(simulator, batched)
    places = {
        coordinate.name: coordinate.values for coordinate in simulator.labels.coordinates.values()
    }
    data = az.from_dict(tree, dims=dimensions, coords=places)
    # The prior is one for all observations.
    prior_arrays = {key: np.asarray(value)[None] for key, value in prior.items()}
    data["prior"] = az.from_dict(
        {"prior": prior_arrays}, dims=_dimensions(simulator, batched=False)
    )["prior"]
    if typicality is not None:
        p_value = np.asarray(observations.like_data(typicality.p_value))
        data["sample_stats"]["out_of_distribution_p"] = xarray.DataArray(
            p_value, dims=dimensions["lp"]
        )
    for group in data.children.values():
        variables = [*group.data_vars.items()]
        variables += [(name, group.coords[name]) for name in places if name in group.coords]
        for name, variable in variables:
            variable.attrs["long_name"] = simulator.labels.label(str(name))
            if variable.dtype.kind != "M":  # in files, dates have units of their own
                variable.attrs["units"] = simulator.labels.units.get(str(name), "")
    # netCDF has no longer integers.
    written = seed if seed < 2**63 else str(seed)
    data.attrs.update(simulator=simulator.name, seed=written)
    data.attrs.update(creation_library="bayesinn", creation_library_version=__version__)
    return data


def predict(
    simulator: Simulator,
    observations: Observations,
    draws: Mapping[str, np.ndarray],
    seed: int,
    progress: bool = False,
) -> Arrays:
    """Simulate once a draw: observables (n_obs, draws, ...), NaN in the observation's padding."""
    count, per_observation = next(iter(draws.values())).shape[:2]
    parameters = flatten_draws(draws)
    repeated = {
        name: np.repeat(value, per_observation, axis=0)
        for name, value in observations.arrays.items()
    }
    context = {name: repeated[name] for name in simulator.context_names}
    simulated = mask_padding(
        simulator, simulator.simulate(parameters, seed, context, progress), repeated
    )
    return {
        name: value.reshape(count, per_observation, *value.shape[1:])
        for name, value in simulated.items()
    }


def mask_padding(simulator: Simulator, values: Arrays, known: Arrays) -> Arrays:
    """Return observables (n, ...), NaN where observations (n, ...) are padding or missing."""
    masked = dict(values)
    for name, counter in simulator.lengths.items():
        masked[name] = fill_padding(values[name].astype(float), known[counter], np.nan)
    if simulator.missing is not None:
        for name in simulator.observable_shapes:
            masked[name] = np.where(np.isnan(known[name]), np.nan, masked[name].astype(float))
    return masked


def _by_chain(value: np.ndarray, chains: int, batched: bool) -> np.ndarray:
    """Return draws (n_obs, draws, ...) as (chains, draws[, n_obs], ...)."""
    value = value.reshape(len(value), chains, -1, *value.shape[2:])
    return np.moveaxis(value, 0, 2) if batched else value[0]


def _dimensions(simulator: Simulator, batched: bool) -> dict[str, list[str]]:
    leading = ["observation"] if batched else []
    return {**{name: [*leading, *own] for name, own in simulator.dimensions.items()}, "lp": leading}
