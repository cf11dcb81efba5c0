"""The folder of truncated rounds: what decides them, and their banks and posteriors.

The bank of a round is a simulation bank.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayesinn.core.atomic_write import replace_file
from bayesinn.core.errors import InputError
from bayesinn.core.manifest import reraise_as
from bayesinn.estimators.loading import load
from bayesinn.guidance.fitted import FittedPosterior
from bayesinn.simulation import identity
from bayesinn.simulation.proposals import read_proposed, write_proposed
from bayesinn.simulation.simulations import Arrays, Simulations
from bayesinn.simulation.simulator import Simulator

_SETTINGS = "rounds.json"
_ROUND = re.compile(r"round_[0-9]+")


@dataclass(frozen=True)
class RoundFiles:
    """Finished rounds in a folder; none if ``folder`` is None.

    Unless ``compared``, the simulator of the rounds is known by names and shapes alone.
    """

    folder: Path | None
    compared: bool = True

    def check(self, settings: Mapping[str, Any]) -> None:
        """Write what decides the rounds; refuse a folder with rounds decided by anything else."""
        if self.folder is None:
            return
        file = self.folder / _SETTINGS
        subject = f"Folder {str(self.folder)!r}"
        do = "choose another folder, or move what is there away"
        with reraise_as(subject, "rounds that this version has written there", do):
            kept = dict(json.loads(file.read_text())) if os.path.lexists(file) else None
            rounds = sorted(
                path.name for path in self.folder.iterdir() if _ROUND.fullmatch(path.name)
            )
            if kept is None and not rounds:
                replace_file(file, json.dumps(settings, indent=2).encode())
                return
        if kept is None:
            raise InputError(
                subject,
                expected="a folder of its own for rounds",
                got=f"{', '.join(rounds[:3])} of something else",
                do=do,
            )
        for name, value in json.loads(json.dumps(settings)).items():
            if kept.get(name) != value:
                raise InputError(
                    subject,
                    expected=f"{name} {kept.get(name)!r}",
                    got=f"{value!r}",
                    do="pass what the rounds there were made with, or another folder",
                )

    def simulations(
        self, number: int, simulator: Simulator, seed: int
    ) -> tuple[Arrays, int] | None:
        """Return the simulations of a round and the number of failures; None if not there yet."""
        folder = self._path(number, "simulations")
        return None if folder is None else read_proposed(simulator, folder, seed, self.compared)

    def keep_simulations(
        self,
        number: int,
        simulator: Simulator,
        drawn: Simulations,
        seed: int,
        proposal: Mapping[str, Any],
    ) -> None:
        """Write the simulations of a round, and what they were proposed from."""
        folder = self._path(number, "simulations")
        if folder is not None:
            folder.parent.mkdir(exist_ok=True)
            write_proposed(simulator, drawn, folder, seed, proposal, self.compared)

    def posterior(self, number: int, simulator: Simulator) -> FittedPosterior | None:
        """Return the posterior of a round, or None where it is not there yet."""
        folder = self._path(number, "posterior")
        if folder is None or not (folder / "manifest.json").exists():
            return None
        return load(folder, simulator, check_simulator=self.compared)

    def keep_posterior(self, number: int, posterior: FittedPosterior) -> None:
        """Save the posterior of a round."""
        folder = self._path(number, "posterior")
        if folder is not None:
            if not self.compared:
                posterior.identity = identity.entries(posterior.simulator, simulated=False)
            posterior.save(folder)

    def _path(self, number: int, name: str) -> Path | None:
        return None if self.folder is None else self.folder / f"round_{number + 1}" / name
