"""Checkpoints: everything a run needs to continue as if it had never stopped.

A folder with ``settings.json`` (what the run is) and ``state.h5`` (where it stands). Each is replaced at one instant:
a crash while writing leaves the one before.
"""

from __future__ import annotations

import contextlib
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf

from bayesinn.core.errors import InputError
from bayesinn.core.hdf5 import packed, read_array
from bayesinn.core.manifest import explained
from bayesinn.core.storage import replace_file
from bayesinn.training.callbacks import EarlyStopping, HistoryRecorder, TrainingCallback
from bayesinn.training.settings import Checkpoint, TrainingSettings
from bayesinn.training.step import TrainingModel

_SECONDS_BETWEEN_WRITES = 10.0
_ANEW = "delete the folder and train again"


class CheckpointWriter(TrainingCallback):
    """Writes the state after the first epoch, every ten seconds, and after the last."""

    def __init__(self, folder: Path, recorder: HistoryRecorder, stopping: EarlyStopping) -> None:
        super().__init__()
        self.folder, self._recorder, self._stopping = folder, recorder, stopping
        self._last_write = -np.inf

    def restore(self, model: TrainingModel) -> int:
        """Put the saved state into a model; return the number of finished epochs."""
        with _state(self.folder) as file:
            for name, variable in zip(file["variables"], _variables(model), strict=True):
                shape, kind = tuple(variable.shape), keras.backend.standardize_dtype(variable.dtype)
                variable.assign(read_array(file, f"variables/{name}", shape, kind, finite=False))
            self._recorder.rows = json.loads(file.attrs["history"])
            self._stopping.best_loss = float(file.attrs["best_loss"])
            self._stopping.waited = int(file.attrs["waited"])
            if "best" in file:
                self._stopping.best = [tf.constant(saved[()]) for saved in file["best"].values()]
            return int(file.attrs["epochs"])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write if it is time to, unless the epoch broke."""
        last = epoch + 1 == self.model.settings.epochs
        if self.model.broken or not (last or time.monotonic() - self._last_write > _SECONDS_BETWEEN_WRITES):
            return
        try:
            self._write(epoch + 1)
        except (OSError, RuntimeError) as error:
            # A full disk must not cost the run: the last state that was written is still there.
            warnings.warn(f"Checkpoint not written to {self.folder}: {error}. Training goes on.", stacklevel=2)
        self._last_write = time.monotonic()

    def _write(self, epochs: int) -> None:
        arrays = {f"variables/{number:05d}": variable.numpy() for number, variable in enumerate(_variables(self.model))}
        arrays |= {f"best/{number:05d}": np.asarray(value) for number, value in enumerate(self._stopping.best or [])}
        attributes = {
            "epochs": epochs,
            "history": json.dumps(self._recorder.rows),
            "best_loss": self._stopping.best_loss,
            "waited": self._stopping.waited,
        }
        replace_file(self.folder / "state.h5", packed(arrays, attributes=attributes))


def prepare_folder(checkpoint: Checkpoint, identity: dict[str, Any]) -> bool:
    """Make a folder ready for checkpoints of a run; return whether there is a state to continue from.

    A checkpoint of another run than ``identity`` says is refused, and any unless ``resume`` is True.
    """
    folder, resume = checkpoint.folder, checkpoint.resume
    settings_file, exists = folder / "settings.json", (folder / "state.h5").is_file()
    if exists and not resume:
        raise InputError(
            f"Checkpoint folder {str(folder)!r}",
            expected="a new or empty folder for a new run",
            got="a checkpoint",
            do="continue that run with checkpoint=bi.Checkpoint(folder, resume=True) (--resume on the command line), "
            "or choose another folder",
        )
    if exists:
        expected, kinds = "the settings of an interrupted run", (OSError, ValueError, TypeError)
        with explained(f"Checkpoint {str(settings_file)!r}", expected, _ANEW, kinds):
            known = dict(json.loads(settings_file.read_text()))
        different = [key for key in identity if known.get(key) != identity[key]]
        if different:
            raise InputError(
                f"Checkpoint folder {str(folder)!r}",
                expected="a checkpoint of this very run",
                got=", ".join(f"{key} {known.get(key)} (now {identity[key]})" for key in different),
                do="continue with the same settings, or choose another folder",
            )
    do = "make room, or choose another folder"
    with explained(f"Checkpoint folder {str(folder)!r}", "room and permission to write there", do, (OSError,)):
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(settings_file, json.dumps(identity, indent=2).encode())
    return exists


def has_ended(folder: Path, settings: TrainingSettings) -> bool:
    """Tell whether the run of a checkpoint has ended, so that resuming needs no data."""
    with _state(folder) as file:
        return settings.ended(int(file.attrs["epochs"]), int(file.attrs["waited"]))


@contextlib.contextmanager
def _state(folder: Path) -> Iterator[h5py.File]:
    """Open the state in a folder; what goes wrong while it is read becomes a SavedPosteriorError."""
    subject, kinds = f"Checkpoint {str(folder / 'state.h5')!r}", (OSError, RuntimeError, KeyError, ValueError)
    with explained(subject, "the state of an interrupted run", _ANEW, kinds), h5py.File(folder / "state.h5") as file:
        yield file


def _variables(model: TrainingModel) -> list[keras.Variable]:
    return [model.flat, model.averaged, model.failed, *model.optimizer.variables, *model.network_state]
