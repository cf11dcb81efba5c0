"""A batch of simulations: parameters, context and observables of n draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]

#: How often an engine draws failed simulations again before it gives up.
MOST_REDRAWS = 100


class Simulations(NamedTuple):
    """Parameters, context and observables; arrays, or tensors while a graph is traced.

    ``failed`` counts the simulations that were not finite, whether they were replaced or are still
    there.
    """

    parameters: dict[str, Any]
    context: dict[str, Any]
    observables: dict[str, Any]
    failed: Any

    def flat(self) -> dict[str, Any]:
        """Return one dict of everything; names are distinct by declaration."""
        return {**self.parameters, **self.context, **self.observables}

    def numpy(self) -> Simulations:
        """Return the same simulations as NumPy arrays."""
        parts = [{name: np.asarray(value) for name, value in part.items()} for part in self[:3]]
        return Simulations(parts[0], parts[1], parts[2], int(self.failed))


def take(arrays: Mapping[str, np.ndarray], rows: slice | np.ndarray) -> Arrays:
    """Return some rows of arrays (n, ...)."""
    return {name: value[rows] for name, value in arrays.items()}
