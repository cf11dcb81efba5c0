"""The folder of truncated rounds: what decides them, and of each round its simulations and its posterior."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from bayesinn.core.errors import InputError
from bayesinn.core.hdf5 import packed
from bayesinn.core.manifest import explained
from bayesinn.core.storage import replace_file
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.posterior.loading import load
from bayesinn.simulation.checks import check_simulations
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.training.arrays import fingerprint

_SETTINGS = "rounds.json"


@dataclass(frozen=True)
class RoundFiles:
    """Finished rounds in a folder, or none of them without a folder."""

    folder: Path | None

    def check(self, settings: Mapping[str, Any]) -> None:
        """Write what decides the rounds; refuse a folder with rounds that something else decided."""
        if self.folder is None:
            return
        file = self.folder / _SETTINGS
        with explained(f"Folder {str(self.folder)!r}", "rounds that this version has written there"):
            kept = json.loads(file.read_text()) if file.exists() else None
            if kept is None:
                replace_file(file, json.dumps(settings, indent=2).encode())
                return
            kept = dict(kept)
        for name, value in json.loads(json.dumps(settings)).items():
            if kept.get(name) != value:
                subject, do = (
                    f"Folder {str(self.folder)!r}",
                    "pass what the rounds there were made with, or another folder",
                )
                raise InputError(subject, expected=f"{name} {kept.get(name)!r}", got=f"{value!r}", do=do)

    def simulations(self, number: int, simulator: Simulator) -> tuple[Arrays, int] | None:
        """Return the simulations of a round and how many others failed, or None where they are not there yet."""
        file = self._path(number, "simulations.h5")
        if file is None or not file.exists():
            return None
        subject = f"File {str(file)!r}"
        with explained(subject, "the simulations that were written there", "delete it, to simulate them again"):
            with h5py.File(io.BytesIO(file.read_bytes()), "r") as content:
                arrays = {name: content[name][()] for name in content}
                failed, digest = int(content.attrs["failed"]), str(content.attrs["fingerprint"])
            if fingerprint(arrays) != digest:
                raise ValueError("other numbers than were written")
        return check_simulations(simulator, arrays, subject), failed

    def keep_simulations(self, number: int, arrays: Arrays, failed: int, proposal: Mapping[str, Any]) -> None:
        """Write the simulations of a round, and what they were proposed from."""
        file = self._path(number, "simulations.h5")
        if file is not None:
            with explained(f"File {str(file)!r}", "room and permission to write it", "make room, and go on", OSError):
                file.parent.mkdir(exist_ok=True)
                replace_file(
                    file,
                    packed(arrays, None, {**proposal, "failed": failed, "fingerprint": fingerprint(arrays)}),
                )

    def posterior(self, number: int, simulator: Simulator) -> AmortizedPosterior | None:
        """Return the posterior of a round, or None where it is not there yet."""
        folder = self._path(number, "posterior")
        return None if folder is None or not (folder / "manifest.json").exists() else load(folder, simulator)

    def keep_posterior(self, number: int, posterior: AmortizedPosterior) -> None:
        """Save the posterior of a round, unless it is there."""
        folder = self._path(number, "posterior")
        if folder is not None and not (folder / "manifest.json").exists():
            posterior.save(folder)

    def _path(self, number: int, name: str) -> Path | None:
        return None if self.folder is None else self.folder / f"round_{number}" / name
