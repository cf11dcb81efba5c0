"""Saved latent mixtures: a folder with a manifest people can read and weights in HDF5, as saved posteriors are."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import h5py
import pandas as pd

from bayesinn._version import __version__
from bayesinn.configuration import rebuild
from bayesinn.errors import SavedPosteriorError
from bayesinn.inverse.latent_mixture import LatentMixture
from bayesinn.inverse.mixture_network import Standardisation
from bayesinn.saving import FORMAT

_KIND = "LatentMixture"
_PACKAGES = ("tensorflow", "tensorflow-probability", "keras", "numpy")


def save(model: LatentMixture, folder: Path) -> Path:
    """Write a trained model into a folder; see :meth:`LatentMixture.save`."""
    learner = model._require_trained()
    manifest = {
        "format": FORMAT,
        "kind": _KIND,
        "bayesinn": __version__,
        "packages": {package: importlib.metadata.version(package) for package in _PACKAGES},
        "model": model.configuration(),
        "classes": list(model.classes),
        "training": model.training,
        "history": model.history.to_dict(orient="list"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2))
    with h5py.File(folder / "weights.h5", "w") as file:
        for number, variable in enumerate(learner.network.variables):
            file.create_dataset(f"network/{number:05d}", data=variable.numpy())
        file.create_dataset("data/mean", data=learner.standardisation.mean)
        file.create_dataset("data/scale", data=learner.standardisation.scale)
    return folder


def load(folder: Path) -> LatentMixture:
    """Read a model from a folder; see :meth:`LatentMixture.load`.

    Raises
    ------
    SavedPosteriorError
        For a folder that is not a saved latent mixture, is damaged, or has another format.
    """
    manifest = _read_manifest(folder)
    model = LatentMixture(**{name: rebuild(value) for name, value in manifest["model"].items()})
    try:
        with h5py.File(folder / "weights.h5") as file:
            standardisation = Standardisation(file["data/mean"][()], file["data/scale"][()])
            learner = model.new_learner(len(manifest["classes"]), standardisation, seed=0)
            for variable, saved in zip(learner.network.variables, file["network"].values(), strict=True):
                if tuple(variable.shape) != saved.shape:
                    raise ValueError(f"{variable.path} has shape {tuple(variable.shape)}, the file {saved.shape}")
                variable.assign(saved[()])
    except (OSError, KeyError, ValueError) as error:
        raise SavedPosteriorError(
            f"Weights {str(folder / 'weights.h5')!r}",
            expected="the weights that belong to manifest.json",
            got=f"{type(error).__name__}: {error}",
            do="copy the whole folder again, or save the model anew",
        ) from error
    model.adopt(learner, manifest["classes"], pd.DataFrame(manifest["history"]), manifest["training"])
    return model


def _read_manifest(folder: Path) -> dict[str, Any]:
    file = folder / "manifest.json"
    if not file.is_file():
        raise SavedPosteriorError(
            f"Folder {str(folder)!r}",
            expected="a saved latent mixture, with manifest.json and weights.h5",
            got="no manifest.json" if folder.is_dir() else "no such folder",
            do="give the folder that model.save(...) wrote",
        )
    try:
        manifest = dict(json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise SavedPosteriorError(
            f"Manifest {str(file)!r}",
            expected="the JSON text that model.save(...) wrote",
            got=f"{type(error).__name__}: {error}",
            do="copy the whole folder again, or save the model anew",
        ) from error
    missing = {"format", "kind", "bayesinn", "model", "classes", "training", "history"} - set(manifest)
    if missing or manifest["kind"] != _KIND:
        raise SavedPosteriorError(
            f"Manifest {str(file)!r}",
            expected="that of a latent mixture",
            got=f"{sorted(missing)} missing" if missing else f"that of {manifest['kind']}",
            do="load a posterior with bayesinn.load(folder), or copy the whole folder again",
        )
    if manifest["format"] != FORMAT:
        raise SavedPosteriorError(
            f"Manifest {str(file)!r}",
            expected=f"format {FORMAT}, which bayesinn {__version__} reads",
            got=f"format {manifest['format']}, written by bayesinn {manifest['bayesinn']}",
            do=f"install the bayesinn that wrote it: pip install 'bayesinn=={manifest['bayesinn']}'",
        )
    return manifest
