"""Save posteriors: what of a posterior goes into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bayesinn.core.configuration import public_name
from bayesinn.core.storage import write_model
from bayesinn.posterior import same_simulator

#: Kind of model in the manifest; the entry "class" says which posterior it is.
KIND = "AmortizedPosterior"


def save(posterior: Any, folder: str | Path) -> Path:
    """Write a trained posterior into a folder; see :meth:`TrainedPosterior.save`."""
    model = posterior.model
    entries = {
        "class": public_name(type(posterior)),
        "simulator": posterior.simulator.reference(),
        **same_simulator.shared_entries(posterior.simulator),
        "network": posterior.network_configuration(),
        "compression": {name: scaling.compress for name, scaling in model.data.scalings.items()},
        "training": posterior.training,
        "history": posterior.history.to_dict(orient="list"),
    }
    reference = {f"reference/{name}": value for name, value in posterior.reference.arrays().items()}
    return write_model(folder, KIND, entries, {**model.arrays(), **reference}, model.network)
