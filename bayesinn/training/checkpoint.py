"""Checkpoints: everything a run needs to continue as if it had never stopped.

A folder with ``state.h5``, which says what the run is and where it stands, and ``settings.json``,
the former again for people. Each is replaced at one instant: a crash while writing leaves the one
before.
"""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf

from bayesinn.core.atomic_write import replace_file
from bayesinn.core.errors import InputError
from bayesinn.core.hdf5 import packed, read_array
from bayesinn.core.manifest import reraise_as
from bayesinn.core.warning import warn
from bayesinn.simulation import identity as simulator_identity
from bayesinn.simulation.simulator import Simulator
from bayesinn.training.arrays import fingerprint
from bayesinn.training.callbacks import History, TrainingCallback, epochs_waited
from bayesinn.training.drawn_simulations import RUN, forget, has_drawn, run_of
from bayesinn.training.settings import Checkpoint, TrainingSettings
from bayesinn.training.step import TrainingModel
from bayesinn.training.trainable import Trainable

# Scalings of a resumed run may differ by so much of a standard deviation, which changes nothing.
_MOST_MOVED = 0.01
_SECONDS_BETWEEN_WRITES = 10.0
_DIGEST = "sha256"
# What decides the simulations that a run draws, and how many of them, in the user's own numbers.
_DECIDES_DRAWN = ("simulator", "prior", "context", "seed", "steps", "batch_size", "passes")
_ANEW = "train again in another folder; if that file is one of an earlier run, you may delete it"


class CheckpointWriter(TrainingCallback):
    """Writes the state after the first epoch, every ten seconds, and after the last.

    An epoch that was cut short is not written: a run that is resumed does it anew.
    """

    def __init__(
        self,
        folder: Path,
        history: History,
        identity: Mapping[str, Any],
        simulator_record: Mapping[str, Any] | None,
    ) -> None:
        super().__init__()
        self.folder = folder
        self._history = history
        self._identity = identity
        self._last_write = -np.inf
        self._epochs = 0
        self._simulator_record = simulator_record

    def restore(self, model: TrainingModel) -> int:
        """Put the saved state into a model; return the number of finished epochs."""
        with _state(self.folder) as file:
            for name, variable in zip(file["variables"], _variables(model), strict=True):
                shape = tuple(variable.shape)
                kind = keras.backend.standardize_dtype(variable.dtype)
                variable.assign(read_array(file, f"variables/{name}", shape, kind, finite=False))
            if "best" in file:
                self._history.best = [tf.constant(saved[()]) for saved in file["best"].values()]
            self._history.rows = json.loads(file.attrs["history"])
            # Another number would round sums in another order.
            model.most_shards = int(file.attrs["shards"])
            self._epochs = len(self._history.rows)
            return self._epochs

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write if it is time to, unless the epoch broke or was cut short."""
        if self.model.broken:
            return
        settings = self.model.settings
        if self.model.steps_done < settings.steps_in(epoch + 1):
            if not self._epochs and not has_drawn(self.folder):
                warn(
                    f"{self.folder} has nothing to resume: the run ended inside its first epoch, "
                    f"after {self.model.steps_done:,} of {settings.steps_per_epoch:,} steps. Ask "
                    "for fewer steps, or for more epochs, such as epochs=1000."
                )
            return
        last = epoch + 1 == self.model.settings.epochs or self.model.stop_training
        if not last and time.monotonic() - self._last_write <= _SECONDS_BETWEEN_WRITES:
            return
        try:
            self._write(epoch + 1)
            self._epochs = epoch + 1
            self.model.source.saved(settings.steps_in(epoch + 1))
        except (OSError, RuntimeError) as error:
            # A full disk must not cost the run: the last state that was written is still there.
            warn(f"Checkpoint not written to {self.folder}: {error}. Training goes on.")
        self._last_write = time.monotonic()

    def _write(self, epochs: int) -> None:
        arrays = {
            f"variables/{number:05d}": variable.numpy()
            for number, variable in enumerate(_variables(self.model))
        }
        arrays |= {
            f"best/{number:05d}": np.asarray(value)
            for number, value in enumerate(self._history.best or [])
        }
        scalings = self.model.problem.arrays()
        arrays |= {f"scalings/{name}": np.asarray(value) for name, value in scalings.items()}
        if self._simulator_record is not None:
            # Attributes have no room for it.
            arrays["simulator"] = np.frombuffer(
                json.dumps(self._simulator_record).encode(), np.uint8
            )
        attributes = {
            "epochs": epochs,
            "history": json.dumps(self._history.rows),
            "shards": self.model.most_shards,
        }
        attributes["identity"] = json.dumps(self._identity)
        attributes[_DIGEST] = _digest(arrays, attributes)
        replace_file(self.folder / "state.h5", packed(arrays, attributes=attributes))


def prepare_folder(
    checkpoint: Checkpoint,
    settings: TrainingSettings,
    identity: dict[str, Any],
    write: bool = True,
    simulator: Simulator | None = None,
) -> bool:
    """Make a folder ready for a run's checkpoints; return whether it has a state to continue from.

    A checkpoint of another run is refused, and any checkpoint unless ``resume`` is True. A
    checkpoint of a ``simulator`` that did something else is refused, too. ``identity`` is what
    decides a run apart from its settings, in plain values. Simulations that an interrupted run has
    left there are refused likewise. Of several processes, one may ``write``.
    """
    identity = {**asdict(settings), **identity}
    folder = checkpoint.folder
    known = saved_identity(folder)
    interrupted = known is None and has_drawn(folder)
    if (known is not None or interrupted) and not checkpoint.resume:
        raise InputError(
            f"Checkpoint folder {str(folder)!r}",
            expected="a new or empty folder for a new run",
            got="a checkpoint",
            do="continue that run with checkpoint=bi.Checkpoint(folder, resume=True) (--resume on "
            "the command line), or choose another folder",
        )
    if known is not None:
        _check_run(folder, known, identity)
        if simulator is not None and checkpoint.check_simulator:
            _check_simulator(folder, simulator)
    elif interrupted and identity.get("data") is None:
        # Before the settings are replaced, which say how to go on.
        before = known_run(folder) or {}
        _check_run(folder, before, {key: identity[key] for key in _DECIDES_DRAWN if key in before})
    _refuse_foreign_files(folder, has_state=known is not None)
    if write:
        _write_settings(folder, identity)
    return known is not None


def _check_run(folder: Path, known: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of a run that something else decides than what decides this one."""
    changes = [
        f"{key} {known.get(key)} (now {now})"
        for key, now in identity.items()
        if known.get(key) != now
    ]
    if changes:
        raise InputError(
            f"Checkpoint folder {str(folder)!r}",
            expected="a checkpoint of this very run",
            got=", ".join(changes),
            do="continue with the same settings, or choose another folder",
        )


def _refuse_foreign_files(folder: Path, has_state: bool) -> None:
    """Refuse a folder in which somebody else has files with the names of ours."""
    foreign = []
    if os.path.lexists(folder / "settings.json") and run_of(folder) is None:
        foreign.append("settings.json")
    if not has_state and os.path.lexists(folder / "state.h5"):
        foreign.append("state.h5")
    if foreign:
        raise InputError(
            f"Folder {str(folder)!r}",
            expected="a folder of its own for a checkpoint",
            got=f"{foreign[0]} of something else",
            do="choose another folder, or move that file away",
        )


def _write_settings(folder: Path, identity: Mapping[str, Any]) -> None:
    """Write what decides a run, for people, and the name by which its simulations are known."""
    do = "make room, or choose another folder"
    with reraise_as(
        f"Checkpoint folder {str(folder)!r}", "room and permission to write there", do, (OSError,)
    ):
        folder.mkdir(parents=True, exist_ok=True)
        # The name tells simulations of this very run from all others.
        run = run_of(folder) or secrets.token_hex(16)
        text = json.dumps({**identity, RUN: run}, indent=2)
        replace_file(folder / "settings.json", text.encode())


def remove_checkpoint(folder: Path) -> None:
    """Remove the state and the simulations of a run that has ended, and nothing else."""
    if saved_identity(folder) is None:
        return
    forget(folder)
    (folder / "state.h5").unlink()
    if run_of(folder) is not None:
        (folder / "settings.json").unlink()
    # Unless there is something of somebody else.
    with contextlib.suppress(OSError):
        folder.rmdir()


def saved_identity(folder: Path) -> dict[str, Any] | None:
    """Return what decides the run of a checkpoint, in plain values.

    Return None if the folder has no state to continue from.
    """
    if not (folder / "state.h5").is_file():
        return None
    with _state(folder) as file:
        return dict(json.loads(file.attrs["identity"]))


def known_run(folder: Path) -> dict[str, Any] | None:
    """Return what decides a run that can go on, or that has ended; None if there is none.

    A run that was interrupted while it drew its simulations has no state yet, but its settings.
    """
    known = saved_identity(folder)
    if known is None and has_drawn(folder):
        return dict(json.loads((folder / "settings.json").read_text("utf-8")))
    return known


def check_scalings(folder: Path, model: Trainable) -> None:
    """Refuse a model whose scalings are not those that a run began with.

    They are measured on draws. Of some laws, draws differ by machine and number of threads; of a
    simulator with random numbers of its own, from time to time.
    """
    now = model.arrays()
    with _state(folder) as file:
        if "scalings" not in file:
            return
        before = {
            name: np.asarray(file[f"scalings/{name}"]) if f"scalings/{name}" in file else None
            for name in now
        }
    moved = [name for name in now if _has_moved(name, now, before)]
    if moved:
        raise InputError(
            f"Checkpoint folder {str(folder)!r}",
            expected="the scalings that its run began with",
            got=f"others: {', '.join(moved)}",
            do="resume on a machine of the same kind, with as many threads, and with a simulator "
            "whose numbers its seed decides; or train anew in another folder",
        )


def _has_moved(
    name: str, now: Mapping[str, np.ndarray], before: Mapping[str, np.ndarray | None]
) -> bool:
    """Tell whether an array differs by more than a hundredth of its scale, or of itself."""
    old = before[name]
    if old is None or old.shape != now[name].shape:
        return True
    if old.dtype == bool:
        return not np.array_equal(now[name], old)
    unit = before.get(f"{name.rpartition('/')[0]}/scale")
    if unit is None or unit.shape != old.shape:
        unit = np.abs(old)
    return bool(np.any(np.abs(now[name] - old) > _MOST_MOVED * np.abs(unit)))


def _check_simulator(folder: Path, simulator: Simulator) -> None:
    """Refuse a simulator that does something else than that of a run, where the state tells."""
    with _state(folder) as file:
        if "simulator" not in file:
            return
        told = json.loads(read_array(file, "simulator", (None,), np.uint8).tobytes())
    check_record(folder, told, simulator)


def check_record(folder: Path, told: Mapping[str, Any], simulator: Simulator) -> None:
    """Refuse a simulator that does something else than that of a run, as its record tells."""
    name = f"the checkpoint {str(folder)!r}"
    maker = "this training began with"
    do = "continue with the simulator as it was, or train anew in another folder; if it is the "
    do += "same: bi.Checkpoint(folder, resume=True, check_simulator=False)"
    owner = simulator_identity.Owner(name, maker, do, InputError)
    simulator_identity.check(told, simulator, owner)


def describe_checkpoint(folder: Path) -> str:
    """Say what a checkpoint holds, for somebody who has interrupted the run."""
    if (known := saved_identity(folder)) is None:
        return "the simulations" if has_drawn(folder) else "nothing: no epoch had ended"
    with _state(folder) as file:
        step = json.loads(file.attrs["history"])[-1]["step"]
    return f"the state after step {step:,} of {known['steps']:,}"


def has_ended(folder: Path, settings: TrainingSettings) -> bool:
    """Tell whether the run of a checkpoint has ended, so that resuming needs no data."""
    with _state(folder) as file:
        rows = json.loads(file.attrs["history"])
        return settings.ended(len(rows), epochs_waited(rows))


@contextlib.contextmanager
def _state(folder: Path) -> Iterator[h5py.File]:
    """Open the state in a folder; errors while it is read become a SavedPosteriorError."""
    file = folder / "state.h5"
    expected = "the state of an interrupted run"
    with reraise_as(f"Checkpoint {str(file)!r}", expected, _ANEW), h5py.File(file) as state:
        _check_digest(state)
        yield state


def _digest(arrays: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the content of a state."""
    texts = {
        f"attribute {name}": np.frombuffer(str(value).encode(), np.uint8)
        for name, value in attributes.items()
    }
    return fingerprint({**arrays, **texts})


def _check_digest(state: h5py.File) -> None:
    """Raise a ValueError if the content of a state is not what was written."""
    attributes = dict(state.attrs)
    # Those of older versions have none.
    expected = attributes.pop(_DIGEST, None)
    if expected is None:
        return
    arrays: dict[str, np.ndarray] = {}

    def read(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = read_array(state, name, item.shape, item.dtype, finite=False)

    state.visititems(read)
    if _digest(arrays, attributes) != expected:
        raise ValueError("its content is not what was written")


def _variables(model: TrainingModel) -> list[keras.Variable]:
    return [
        model.flat,
        model.averaged,
        model.failed,
        *model.optimizer.variables,
        *model.network_state,
    ]
