"""Simulations that are all drawn before the first step. Those of an interrupted run are kept beside its checkpoint."""

import json
import shutil
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tensorflow as tf

from bayesinn.core.hdf5 import packed
from bayesinn.core.manifest import explained
from bayesinn.core.progress import Progress
from bayesinn.core.storage import replace_file
from bayesinn.simulation import checks
from bayesinn.simulation.simulations import Simulations
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import online_source

_SECONDS_BETWEEN_WRITES = 30.0


def draw_all(
    simulator: Simulator, settings: TrainingSettings, progress: bool, folder: Path | None = None
) -> tuple[Arrays, int, float]:
    """Return all simulations, the number of failed ones, and the seconds that a batch takes.

    Where a checkpoint has a ``folder``, they are written there every half a minute, and read by the run that resumes.
    """
    size, total = settings.batch_size, settings.simulations
    # An epoch for each batch, so that drawing can go on after any of them.
    source = online_source(simulator, replace(settings, steps=total // size, steps_per_epoch=1), progress)
    kept = Kept(folder, {"simulator": simulator.name, "seed": settings.seed, "batch_size": size})
    batches, failed = kept.read()
    with (
        Progress("drawing", total, "simulations", shown=progress, done=len(batches) * size) as display,
        source.interruptible(),
    ):
        try:
            for element in source.elements(len(batches)):
                batch, failures = source.batch(element)
                batches.append({name: np.asarray(value) for name, value in batch.items()})
                failed.append(int(failures))
                simulator.check_failures(len(batches) * size, sum(failed))
                kept.write(batches, failed)
                display.update(len(batches) * size)
        except BaseException as error:
            kept.write(batches, failed, at_once=True)
            if isinstance(error, tf.errors.OpError):
                raise source.cause(error) from None
            raise
    arrays = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    parameters, context, observables = (
        {name: arrays[name] for name in names}
        for names in (simulator.prior.names, simulator.context_names, simulator.observable_shapes)
    )
    checks.check_finite(simulator, Simulations(parameters, context, observables, sum(failed)))
    return arrays, sum(failed), float(np.nan_to_num(display.seconds_each)) * size


class Kept:
    """Batches in files of a checkpoint's folder, each file with those that came after the one before."""

    def __init__(self, folder: Path | None, run: Mapping[str, Any]) -> None:
        self._folder, self._run = folder and simulations_of(folder), json.dumps(run)
        self._written, self._last_write = 0, time.monotonic()

    def read(self) -> tuple[list[Arrays], list[int]]:
        """Return the batches of the same run, and their numbers of failed simulations."""
        batches: list[Arrays] = []
        failed: list[int] = []
        if self._folder is None:
            return batches, failed
        do = "delete it: its simulations are then drawn again"
        for file in sorted(self._folder.glob("*.h5")):
            with explained(f"File {str(file)!r}", "simulations of an interrupted run", do), h5py.File(file) as saved:
                if saved.attrs["run"] != self._run or int(file.stem) != len(batches):
                    raise ValueError(f"simulations of {saved.attrs['run']}, batch {file.stem} on")
                counts = json.loads(saved.attrs["failed"])
                arrays = {name: np.split(value[()], len(counts)) for name, value in saved.items()}
                batches += [{name: parts[number] for name, parts in arrays.items()} for number in range(len(counts))]
                failed += counts
        self._written = len(batches)
        return batches, failed

    def write(self, batches: list[Arrays], failed: list[int], at_once: bool = False) -> None:
        """Write the batches that are new, if it is time to."""
        new, late = batches[self._written :], time.monotonic() - self._last_write > _SECONDS_BETWEEN_WRITES
        if self._folder is None or not new or not (late or at_once):
            return
        arrays = {name: np.concatenate([batch[name] for batch in new]) for name in new[0]}
        attributes = {"run": self._run, "failed": json.dumps(failed[self._written :])}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            replace_file(self._folder / f"{self._written:08d}.h5", packed(arrays, attributes=attributes))
            self._written = len(batches)
        except (OSError, RuntimeError) as error:
            warnings.warn(f"Simulations not written to {self._folder}: {error}. Drawing goes on.", stacklevel=2)
        self._last_write = time.monotonic()


def simulations_of(checkpoint: Path) -> Path:
    """Return the folder of the simulations that belong to a checkpoint."""
    return checkpoint / "simulations"


def forget(checkpoint: Path) -> None:
    """Remove the simulations of a run that has ended."""
    shutil.rmtree(simulations_of(checkpoint), ignore_errors=True)
