"""Read saved posteriors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import pandas as pd
import tensorflow as tf

from bayesinn.core.configuration import rebuild, registered_class
from bayesinn.core.errors import SavedPosteriorError
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.posterior.building import build_model
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.saving import opened_weights, read_manifest, read_network
from bayesinn.posterior.typicality import Reference
from bayesinn.simulation.registry import find
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.data import DataSpace, Scaling
from bayesinn.summaries.joint import seen_raw

_ENTRIES = {"simulator", "parameters", "observables", "context", "network", "compression", "training", "history"}


def load(folder: str | Path, simulator: Simulator | None = None) -> AmortizedPosterior:
    """Read a posterior that :meth:`AmortizedPosterior.save` wrote.

    Parameters
    ----------
    folder : path
    simulator : Simulator
        Where the saved one can't be found by its name, module or file.

    Returns
    -------
    AmortizedPosterior
        Its draws and its class are equal to those of the posterior that was saved.

    Raises
    ------
    SavedPosteriorError
        For a folder that is not a saved posterior, is damaged, or has a newer format, and for a simulator that has
        other parameters or observables than the saved one.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, _ENTRIES)
    simulator = simulator or find(manifest["simulator"])
    _check_simulator(manifest, simulator)
    network = current_network(manifest["network"])
    kind: Any = registered_class(manifest.get("class") or _class_of(network))
    posterior: AmortizedPosterior = kind.from_networks(
        simulator, rebuild(network["summaries"]), rebuild(network["flow"])
    )
    with opened_weights(folder) as file:
        model = _restore(posterior, manifest, file)
        reference = Reference(**{name: file[f"reference/{name}"][()] for name in Reference.__dataclass_fields__})
    posterior.adopt(model, reference, pd.DataFrame(manifest["history"]), manifest["training"])
    return posterior


def current_network(network: dict[str, Any]) -> dict[str, Any]:
    """Return the description of networks of format 1 as it is written today."""
    flow = dict(network["flow"])
    if flow["class"] == "bayesinn.flows.flow:Flow":
        flow["class"] = "flows.InvertibleFlow"
        chain = flow["arguments"]["chain"]
        # The summary's frame standardises parameters now, before any flow.
        if chain["class"] == "bayesinn.flows.standardise:Standardise":
            flow["arguments"] = {**flow["arguments"], "chain": chain["arguments"]["inner"]}
    if flow["class"] == "bayesinn.inverse.split_flow:SplitFlow":
        flow["class"] = "flows.SplitLatentFlow"
        losses = dict(flow["arguments"]["losses"], **{"class": "flows.SplitLosses"})
        flow["arguments"] = {**flow["arguments"], "losses": losses}
    return {**network, "flow": flow}


def _class_of(network: dict[str, Any]) -> str:
    return (
        "inverse.SplitLatent" if network["flow"]["class"] == "flows.SplitLatentFlow" else "posterior.AmortizedPosterior"
    )


def _restore(posterior: AmortizedPosterior, manifest: dict[str, Any], file: h5py.File) -> PosteriorModel:
    simulator = posterior.simulator
    scalings = {
        name: Scaling(compress, file[f"data/{name}/mean"][()], file[f"data/{name}/scale"][()])
        for name, compress in manifest["compression"].items()
    }
    observables, raw = tuple(simulator.observable_shapes), seen_raw(posterior.summaries)
    data = DataSpace(scalings, observables, simulator.context_names, simulator.lengths, raw)
    model = build_model(simulator, posterior.summaries, posterior.flow, data, seed=0)
    model.restore({name: file[name][()] for name in model.arrays()})
    shapes = {**simulator.shapes["observables"], **simulator.shapes["context"]}
    inputs, masks = model.data.to_network({name: tf.ones((2, *shape)) for name, shape in shapes.items()})
    vector = tf.zeros((2, model.parameters.dimension))
    model.network.loss(vector, model.network.condition(inputs, masks), tf.zeros((2,), tf.int32))
    read_network(file, model.network)
    return model


def _check_simulator(manifest: dict[str, Any], simulator: Simulator) -> None:
    for kind, shapes in simulator.shapes.items():
        now = {name: list(shape) for name, shape in shapes.items()}
        # Their order is that of the network's inputs and outputs.
        if list(now.items()) != list(manifest[kind].items()):
            raise SavedPosteriorError(
                f"Simulator {simulator.name!r} for a saved posterior",
                expected=f"{kind} {manifest[kind]}",
                got=f"{now}",
                do="load with the version of the simulator that the posterior was trained on, or train again",
            )
