"""Saved posteriors: a folder with a manifest people can read and weights in HDF5. Never pickle."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras

from bayesinn._version import __version__
from bayesinn.core.configuration import public_name
from bayesinn.core.errors import SavedPosteriorError

FORMAT = 1
_PACKAGES = ("tensorflow", "tensorflow-probability", "keras", "numpy")
_ANEW = "copy the whole folder again, or save anew"


def save(posterior: Any, folder: Path) -> Path:
    """Write a trained posterior into a folder; see :meth:`TrainedPosterior.save`.

    Returns
    -------
    Path, the folder
    """
    model, simulator = posterior.model, posterior.simulator
    entries = {
        "class": public_name(type(posterior)),
        "simulator": simulator.reference(),
        **{kind: {k: list(v) for k, v in shapes.items()} for kind, shapes in simulator.shapes.items()},
        "network": posterior.network_configuration(),
        "compression": {name: scaling.compress for name, scaling in model.data.scalings.items()},
        "training": posterior.training,
        "history": posterior.history.to_dict(orient="list"),
    }
    write_manifest(folder, entries)
    with h5py.File(folder / "weights.h5", "w") as file:
        write_network(file, model.network)
        for name, value in model.arrays().items():
            file.create_dataset(name, data=value)
        for name, value in posterior.reference.arrays().items():
            file.create_dataset(f"reference/{name}", data=value)
    return folder


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
