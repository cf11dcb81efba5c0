"""The answer for all persons of a data set, and what data sets are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesinn.hierarchical.levels import Levels
from bayesinn.posterior.draws import Draws
from bayesinn.posterior.inference_data import inference_data
from bayesinn.posterior.measuring import Compared
from bayesinn.posterior.model import PosteriorModel
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import Observations

if TYPE_CHECKING:
    import xarray

# Sets are large.
_COMPARED_SETS = 2_048


def compared_sets(model: PosteriorModel, rows: Arrays) -> Compared:
    """Return what new data sets are compared with; persons enter by their mean and sd."""
    space = model.data
    names = (*space.observables, *space.context)
    data = {name: rows[name][:_COMPARED_SETS] for name in space.scalings}
    counts = {name: name for name in (*space.lengths.values(), *(set(data) - set(names)))}
    return Compared(data, pooled=names, series=(), counts=counts)


def person_tree(
    person: Simulator,
    levels: Levels,
    persons: Observations,
    values: Draws,
    ids: np.ndarray,
    seed: int,
    predictive: bool,
    progress: bool,
) -> xarray.DataTree:
    """Return the tree of the persons' data (persons, ...), with their ids as coordinates.

    Draws are (draws, *event) of the population, (persons, draws, *event) of persons.
    """
    import xarray

    everyone = {
        name: np.broadcast_to(value, (persons.count, *value.shape))
        if name in levels.shared
        else value
        for name, value in values.items()
    }
    tree = inference_data(person, persons, everyone, None, None, seed, predictive, progress)
    groups = {}
    for name, group in tree.children.items():
        data = group.to_dataset()
        if "observation" in data.dims:
            population = [key for key in levels.shared if key in data]
            alike = {key: data[key].isel(observation=0, drop=True) for key in population}
            data = data.drop_vars(population).rename(observation=levels.axis)
            data = data.assign_coords({levels.axis: ids}).assign(alike)
        groups[name] = data
    groups["sample_stats"]["out_of_distribution_p"] = xarray.DataArray(float(values.p_value))
    found = xarray.DataTree.from_dict(groups)
    found.attrs.update(tree.attrs)
    return found
