"""The arrays of a simulator's bank: types, axes, labels, units, and coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesinn.simulation.bank.store import ROLES, Variable
from bayesinn.simulation.simulator import Simulator


def bank_variables(simulator: Simulator) -> dict[str, Variable]:
    """Return the arrays of a bank, by name, in the order of parameters, context and observables."""
    types: dict[str, np.dtype] = {}
    for prior in simulator.priors:
        types |= {name: np.dtype(dtype) for name, dtype in prior.dtypes.items()}
    types |= simulator.observable_types
    labels = simulator.labels
    dimensions = simulator.dimensions
    return {
        name: Variable(
            types[name],
            shape,
            dimensions[name],
            {"long_name": labels.label(name), "units": labels.units.get(name, ""), "role": role},
        )
        for kind, role in ROLES.items()
        for name, shape in simulator.shapes[kind].items()
    }


def bank_coordinates(simulator: Simulator) -> dict[str, Any]:
    """Return coordinates as files hold them: dates become numbers with a unit."""
    import xarray

    labels = simulator.labels
    found = dict[str, Any]()
    for coordinate in labels.coordinates.values():
        name = coordinate.name
        text = {"long_name": labels.label(coordinate.name)}
        if not coordinate.dates:
            text["units"] = labels.units.get(name, "")
        variable = xarray.Variable((name,), coordinate.values, text, {"_FillValue": None})
        found[name] = xarray.conventions.encode_cf_variable(variable)
    return found
