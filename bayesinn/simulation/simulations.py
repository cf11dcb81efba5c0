"""A batch of simulations: parameters, context and observables of n draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    @property
    def data(self) -> dict[str, Any]:
        """What a posterior is given: observables, then context."""
        return {**self.observables, **self.context}

    def numpy(self) -> Simulations:
        """Return the same simulations as NumPy arrays."""
        parts = [{name: np.asarray(value) for name, value in part.items()} for part in self[:3]]
        return Simulations(parts[0], parts[1], parts[2], int(self.failed))

    def cast(self, types: Mapping[str, np.dtype]) -> Simulations:
        """Return the same with observables in the types that the simulator declares.

        A Python function may return integers once and floats later.
        """
        observables = {name: value.astype(types[name]) for name, value in self.observables.items()}
        return self._replace(observables=observables)


def take(arrays: Mapping[str, np.ndarray], rows: slice | np.ndarray) -> Arrays:
    """Return some rows of arrays (n, ...)."""
    return {name: value[rows] for name, value in arrays.items()}


def copied(arrays: Mapping[str, Any]) -> Arrays:
    """Return arrays in memory of their own.

    A user's function may change what it gets, and change later what it has returned.
    """
    return {name: np.array(value) for name, value in arrays.items()}


def join(parts: Sequence[Mapping[str, np.ndarray]]) -> Arrays:
    """Return arrays (n, ...) of the same names, one after another."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def flatten_draws(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return arrays (n, draws, ...) as arrays (n draws, ...)."""
    return {name: value.reshape(-1, *value.shape[2:]) for name, value in arrays.items()}


def count_rows(arrays: Mapping[str, Any]) -> int:
    """Return the number of rows of arrays (n, ...), which all have the same."""
    return len(next(iter(arrays.values())))
