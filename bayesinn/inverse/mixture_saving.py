"""Saved latent mixtures: a folder with a manifest people can read and weights in HDF5, as saved posteriors are."""

from __future__ import annotations

from pathlib import Path

import h5py
import pandas as pd

from bayesinn.core.configuration import rebuild
from bayesinn.inverse.latent_mixture import LatentMixture
from bayesinn.inverse.mixture_network import Standardisation
from bayesinn.posterior.saving import opened_weights, read_manifest, read_network, write_manifest, write_network

_KIND = "LatentMixture"


def save(model: LatentMixture, folder: Path) -> Path:
    """Write a trained model into a folder; see :meth:`LatentMixture.save`."""
    trained = model._require_trained()
    entries = {
        "kind": _KIND,
        "model": model.configuration(),
        "classes": list(model.classes),
        "training": model.training,
        "history": model.history.to_dict(orient="list"),
    }
    write_manifest(folder, entries)
    with h5py.File(folder / "weights.h5", "w") as file:
        write_network(file, trained.network)
        for name, value in trained.arrays().items():
            file.create_dataset(name, data=value)
    return folder


def load(folder: Path) -> LatentMixture:
    """Read a model from a folder; see :meth:`LatentMixture.load`.

    Raises
    ------
    SavedPosteriorError
        For a folder that is not a saved latent mixture, is damaged, or has another format.
    """
    manifest = read_manifest(folder, {"model", "classes", "training", "history"}, _KIND)
    model = LatentMixture(**{name: rebuild(value) for name, value in manifest["model"].items()})
    with opened_weights(folder) as file:
        standardisation = Standardisation(file["data/mean"][()], file["data/scale"][()])
        trained = model.new_model(len(manifest["classes"]), standardisation, seed=0)
        read_network(file, trained.network)
    model.adopt(trained, manifest["classes"], pd.DataFrame(manifest["history"]), manifest["training"])
    return model
