"""What an estimator writes into the manifest of its folder; :mod:`.loading` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from bayesinn.core.configuration import public_name
from bayesinn.simulation import identity
from bayesinn.simulation.from_arrays import written_declaration
from bayesinn.simulation.simulator import Simulator

if TYPE_CHECKING:
    import pandas as pd


class Savable(Protocol):
    """The part of an estimator that a manifest tells of."""

    simulator: Simulator | None
    identity: dict[str, Any] | None
    training: dict[str, Any]
    history: pd.DataFrame

    def entries(self) -> dict[str, Any]: ...


def manifest_entries(estimator: Savable) -> dict[str, Any]:
    """Return all entries of a manifest, in plain values: class, simulator, networks, training."""
    simulator = estimator.simulator
    return {
        "class": public_name(type(estimator)),
        **({} if simulator is None else _simulator_entries(simulator, estimator.identity)),
        **estimator.entries(),
        "training": estimator.training,
        "history": estimator.history.to_dict(orient="list"),
    }


def _simulator_entries(simulator: Simulator, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return where a simulator is found, and what it did at training, if that is ``known``."""
    place = simulator.reference()
    if (declaration := written_declaration(simulator)) is not None:
        place["declaration"] = declaration
    return {"simulator": place, **(known or identity.entries(simulator))}
