"""Saved posteriors: a folder with a manifest people can read and weights in HDF5. Never pickle."""

from __future__ import annotations

import functools
import importlib.metadata
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras
import pandas as pd
import tensorflow as tf

from bayesinn._version import __version__
from bayesinn.core.configuration import rebuild
from bayesinn.core.errors import SavedPosteriorError
from bayesinn.flows import Flow
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.posterior.learner import Learner
from bayesinn.posterior.typicality import Reference
from bayesinn.simulation.registry import find
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.data import DataSpace, Scaling
from bayesinn.summaries import Summary
from bayesinn.summaries.joint import seen_raw

FORMAT = 1
_PACKAGES = ("tensorflow", "tensorflow-probability", "keras", "numpy")
_ENTRIES = {"simulator", "parameters", "observables", "context", "network", "compression", "training", "history"}
_ANEW = "copy the whole folder again, or save anew"


def save(posterior: AmortizedPosterior, folder: Path) -> Path:
    """Write a trained posterior into a folder; see :meth:`AmortizedPosterior.save`.

    Returns
    -------
    Path, the folder
    """
    trained = posterior._require_trained()
    learner, simulator = trained.learner, posterior.simulator
    entries = {
        "simulator": simulator.reference(),
        **{kind: {k: list(v) for k, v in shapes.items()} for kind, shapes in simulator.shapes.items()},
        "network": posterior.network_configuration(),
        "compression": {name: scaling.compress for name, scaling in learner.data.scalings.items()},
        "training": posterior.training,
        "history": posterior.history.to_dict(orient="list"),
    }
    write_manifest(folder, entries)
    with h5py.File(folder / "weights.h5", "w") as file:
        write_network(file, learner.network)
        file.create_dataset("parameters/mean", data=learner.parameters.mean)
        file.create_dataset("parameters/scale", data=learner.parameters.scale)
        for name, scaling in learner.data.scalings.items():
            file.create_dataset(f"data/{name}/mean", data=scaling.mean)
            file.create_dataset(f"data/{name}/scale", data=scaling.scale)
        for name, value in trained.reference.arrays().items():
            file.create_dataset(f"reference/{name}", data=value)
    return folder


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
        Its draws are equal to those of the posterior that was saved; as is its class, where the flow's decides it: a
        :class:`~bayesinn.inverse.SplitLatent` is one again.

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
    flow, summaries = rebuild(manifest["network"]["flow"]), rebuild(manifest["network"]["summaries"])
    posterior = posterior_of(flow, simulator, summaries)
    with opened_weights(folder) as file:
        learner = _restore(posterior, manifest, file)
        reference = Reference(**{name: file[f"reference/{name}"][()] for name in Reference.__dataclass_fields__})
    posterior.adopt(learner, reference, pd.DataFrame(manifest["history"]), manifest["training"])
    return posterior


@functools.singledispatch
def posterior_of(flow: Flow, simulator: Simulator, summaries: Mapping[str, Summary]) -> AmortizedPosterior:
    """The posterior, not trained, that has such networks.

    A kind of posterior whose flow has a class of its own registers how it is made from it, beside its definition:
    the flow can't be rebuilt without importing that.
    """
    return AmortizedPosterior(simulator, summaries, flow)


def _restore(posterior: AmortizedPosterior, manifest: dict[str, Any], file: h5py.File) -> Learner:
    simulator = posterior.simulator
    scalings = {
        name: Scaling(compress, file[f"data/{name}/mean"][()], file[f"data/{name}/scale"][()])
        for name, compress in manifest["compression"].items()
    }
    observables, raw = tuple(simulator.observable_shapes), seen_raw(posterior.summaries)
    data_space = DataSpace(scalings, observables, simulator.context_names, simulator.lengths, raw)
    learner = posterior.build_learner(data_space, seed=0)
    learner.parameters.mean = file["parameters/mean"][()]
    learner.parameters.scale = file["parameters/scale"][()]
    shapes = {**simulator.shapes["observables"], **simulator.shapes["context"]}
    inputs, masks = learner.data.to_network({name: tf.ones((2, *shape)) for name, shape in shapes.items()})
    learner.network(tf.zeros((2, learner.parameters.dimension)), inputs, masks)
    read_network(file, learner.network)
    return learner


def write_manifest(folder: Path, entries: Mapping[str, Any]) -> None:
    """Make a folder with the manifest of a posterior, or of another ``kind`` of model."""
    packages = {package: importlib.metadata.version(package) for package in _PACKAGES}
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {"format": FORMAT, "bayesinn": __version__, "packages": packages, **entries}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2))


def read_manifest(folder: Path, entries: set[str], kind: str | None = None) -> dict[str, Any]:
    """The manifest in a folder.

    Parameters
    ----------
    folder : Path
    entries : set of str
        What it must have, beside format and version.
    kind : str, optional
        Of a model that isn't a posterior: the name of its class.

    Raises
    ------
    SavedPosteriorError
        When there is none, or a damaged one, or that of something else.
    """
    file, what = folder / "manifest.json", "posterior" if kind is None else "model"
    if not file.is_file():
        raise SavedPosteriorError(
            f"Folder {str(folder)!r}",
            expected=f"a saved {what}, with manifest.json and weights.h5",
            got="no manifest.json" if folder.is_dir() else "no such folder",
            do=f"give the folder that {what}.save(...) wrote",
        )
    try:
        manifest = json.loads(file.read_text())
        version, found = manifest["format"], manifest.get("kind")
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise SavedPosteriorError(
            f"Manifest {str(file)!r}",
            expected=f"the JSON text that {what}.save(...) wrote",
            got=f"{type(error).__name__}: {error}",
            do=_ANEW,
        ) from error
    if found != kind:
        raise SavedPosteriorError(
            f"Manifest {str(file)!r}",
            expected=f"that of {kind or 'a posterior'}",
            got=f"that of {found or 'a posterior'}",
            do=f"load it with {f'{found}.load(folder)' if found else 'bayesinn.load(folder)'}",
        )
    if version != FORMAT:
        raise SavedPosteriorError(
            f"Manifest {str(file)!r}",
            expected=f"format {FORMAT}, which bayesinn {__version__} reads",
            got=f"format {version}, written by bayesinn {manifest.get('bayesinn')}",
            do=f"install the bayesinn that wrote it: pip install 'bayesinn=={manifest.get('bayesinn')}'",
        )
    missing = entries - set(manifest)
    if missing:
        raise SavedPosteriorError(
            f"Manifest {str(file)!r}", expected="all of its entries", got=f"{sorted(missing)} missing", do=_ANEW
        )
    return manifest


@contextmanager
def opened_weights(folder: Path) -> Iterator[h5py.File]:
    """The file of weights in a folder; what is wrong with it is explained."""
    try:
        with h5py.File(folder / "weights.h5") as file:
            yield file
    except (OSError, KeyError, ValueError) as error:
        raise SavedPosteriorError(
            f"Weights {str(folder / 'weights.h5')!r}",
            expected="the weights that belong to manifest.json",
            got=f"{type(error).__name__}: {error}",
            do=_ANEW,
        ) from error


def write_network(file: h5py.File, network: keras.layers.Layer) -> None:
    """Write all weights of a network."""
    for number, variable in enumerate(network.variables):
        value = variable.numpy()
        # Shuffled by bytes, exponents compress; scalars can't be.
        packing = {"compression": "gzip", "shuffle": True} if value.ndim else {}
        file.create_dataset(f"network/{number:05d}", data=value, **packing)


def read_network(file: h5py.File, network: keras.layers.Layer) -> None:
    """Read all weights of a built network."""
    for variable, saved in zip(network.variables, file["network"].values(), strict=True):
        if tuple(variable.shape) != saved.shape:
            raise ValueError(f"{variable.path} has shape {tuple(variable.shape)}, the file {saved.shape}")
        variable.assign(saved[()])


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
