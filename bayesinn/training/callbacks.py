"""Callbacks of training: history, guard, checkpoint, deadline, round-trip monitor.

The guard stops training at losses or gradients that are not finite, or too many failures.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections import Bijection
from bayesinn.bijections.chain import reversible_chains, round_trip_errors
from bayesinn.core.errors import InputError, warn
from bayesinn.core.files import packed, read_array, replace_file, reraise_as
from bayesinn.simulation import identity as simulator_identity
from bayesinn.simulation.engines.kept import has_blocks, remove_blocks
from bayesinn.simulation.simulator import Simulator
from bayesinn.training.settings import Checkpoint, TrainingSettings
from bayesinn.training.sources import fingerprint
from bayesinn.training.step import TrainingModel
from bayesinn.training.trainable import Trainable

if TYPE_CHECKING:
    import pandas as pd


class TrainingCallback(keras.callbacks.Callback):
    """A callback of a :class:`TrainingModel`."""

    model: TrainingModel


class History(TrainingCallback):
    """Collects a row each epoch, keeps the best averaged weights, and stops when patience ends."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float | None]] = []
        #: Those with the best validation loss, then the network's non-trainable ones, such as
        #: moving statistics.
        self.best: list[tf.Tensor] | None = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add a row, unless the epoch broke."""
        if self.model.broken:
            return
        row = {
            "step": min(self.model.settings.steps_in(epoch + 1), self.model.steps_done),
            "loss": logs["loss"],
            "val_loss": logs.get("val_loss"),
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            "failed_simulations": self.count_failed(self.model),
        }
        self.rows.append(row)
        waited = epochs_waited(self.rows)
        if "val_loss" in logs and waited == 0:
            self.best = [tf.identity(variable.value) for variable in _kept(self.model)]
        if self.model.settings.ended(epoch + 1, waited):
            self.model.stop_training = True

    def count_failed(self, model: TrainingModel) -> int:
        """Return how many simulations have failed, of the model's source or before it was opened.

        A run that had ended is given no source of its own, but has its rows.
        """
        now = int(model.failed.numpy()) + model.source.failed_by(model.steps_done)
        return max([now, *(int(row["failed_simulations"] or 0) for row in self.rows[-1:])])

    def restore_best(self, model: TrainingModel) -> None:
        """Put the best weights back."""
        for variable, value in zip(_kept(model), self.best or [], strict=True):
            variable.assign(value)

    def describe_best(self) -> str:
        """Say of which step the weights are that are kept; nothing if of the last one."""
        waited = epochs_waited(self.rows)
        if not 0 < waited < len(self.rows):
            return ""
        best, last = (self.rows[place] for place in (-1 - waited, -1))
        return (
            f"kept the weights of step {best['step']:,}, whose validation loss was the best: "
            f"{best['val_loss']:.3f}, and {last['val_loss']:.3f} at the end"
        )

    def frame(self) -> pd.DataFrame:
        """Return the rows as a table, with the columns that have values."""
        import pandas as pd

        return pd.DataFrame(self.rows).dropna(axis="columns", how="all")


def epochs_waited(rows: Sequence[Mapping[str, float | None]]) -> int:
    """Return how many epochs ago the validation loss was best; 0 without validation."""
    losses = [loss for row in rows if (loss := row.get("val_loss")) is not None]
    # Place 0 stands for the start: no loss beats it if all are NaN. Place k is epoch k.
    best_epoch = int(np.nanargmin([np.inf, *losses]))
    return len(losses) - best_epoch


class Guard(TrainingCallback):
    """Stops after the last step, at a bad loss or gradient, or at too many failures.

    ``bad_step`` is the step whose loss or gradient was not finite.

    The step itself notices, in the graph, and leaves everything as it is from then on. The weights
    before it may be what broke it, so the guard goes back to those of the last call (up to 50
    steps) that went well from end to end.
    """

    bad_step: int | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Keep the first weights.

        They stay on the device: a copy to the host in every call would stall it.
        """
        self._good = [tf.identity(variable.value) for variable in self._variables]

    @property
    def _variables(self) -> list[keras.Variable]:
        return [self.model.flat, *_kept(self.model)]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Go back if one of the call's steps was bad, else keep the weights."""
        if not self.model.broken:
            self.on_train_begin()
            self.model.source.check_failures(self.model.steps_done, int(self.model.failed.numpy()))
            # The rest of a pass through stored simulations would be idle steps.
            if self.model.steps_done >= self.model.settings.steps:
                self.model.stop_training = True
            return
        self.bad_step = int(self.model.bad_step.numpy())
        for variable, value in zip(self._variables, self._good, strict=True):
            variable.assign(value)
        self.model.stop_training = True


def _kept(model: TrainingModel) -> list[keras.Variable]:
    return [model.averaged, *model.network_state]


# Simulations that a run draws are kept beside its checkpoint, in a folder with the name of the run.

#: Entry of ``settings.json`` of a checkpoint with that name.
RUN = "bayesinn_run"
_NAME = re.compile("[0-9a-f]{32}")


def run_of(checkpoint: Path) -> str | None:
    """Return the name of a checkpoint's run; None if its ``settings.json`` is not ours."""
    with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
        name = json.loads((checkpoint / "settings.json").read_text("utf-8")).get(RUN)
        return name if _NAME.fullmatch(name) else None
    return None


def blocks_of(checkpoint: Path) -> Path | None:
    """Return the folder of finished blocks of simulations, which has the name of the run."""
    run = run_of(checkpoint)
    return None if run is None else checkpoint / f"simulated-{run}"


def has_drawn(checkpoint: Path) -> bool:
    """Tell whether the run of a checkpoint has left simulations there."""
    blocks = blocks_of(checkpoint)
    return blocks is not None and has_blocks(blocks)


def forget(checkpoint: Path) -> None:
    """Remove the simulations that the run of a checkpoint has drawn, now that it has ended."""
    if (blocks := blocks_of(checkpoint)) is not None:
        remove_blocks(blocks)


# Checkpoints: everything a run needs to continue as if it had never stopped.
#
# A folder with ``state.h5``, which says what the run is and where it stands, and
# ``settings.json``, the former again for people. Each is replaced at one instant: a crash while
# writing leaves the one before.

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
    refusal = simulator_identity.Refusal(name, maker, do, InputError)
    simulator_identity.check(told, simulator, refusal)


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
    expected = attributes.pop(_DIGEST, "")
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


#: Share of the time in which the speed is measured, and the fewest calls.
_WINDOW = 0.1
_FEWEST_CALLS = 3


@keras.saving.register_keras_serializable("bayesinn")
class Shortened(keras.optimizers.schedules.CosineDecay):
    """Warm-up and cosine, whose rest passes faster or slower from some step on."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # From this step on, the place in the schedule, and how far a step goes there.
        self._rest = tf.Variable([0.0, 0.0, 1.0], trainable=False, name="rest")

    def __call__(self, step: Any) -> Any:
        start, place, pace = tf.unstack(self._rest)
        return super().__call__(place + (tf.cast(step, tf.float32) - start) * pace)

    def end_at(self, end: float, step: int) -> None:
        """Let the schedule end at another step, from this one on."""
        start, place, pace = self._rest.numpy()
        now = float(place + (step - start) * pace)
        whole = float(self.decay_steps + self.warmup_steps)
        self._rest.assign([float(step), now, (whole - now) / max(end - step, 1.0)])


class Deadline(TrainingCallback):
    """Ends training at a time of the clock ``now``; the schedule ends with it, if it can.

    The speed of the last calls tells how many ``steps`` there will be: None before the second call,
    as the first one compiles.
    """

    def __init__(
        self,
        end: float,
        schedule: Shortened | None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.end = end
        self.steps: int | None = None
        self._schedule = schedule
        self._now = now
        self._started = now()
        self._calls: deque[tuple[float, int]] = deque()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = self._now()
        step = self.model.steps_done
        self._calls.append((now, step))
        window = _WINDOW * (self.end - self._started)
        while len(self._calls) > _FEWEST_CALLS and self._calls[1][0] < now - window:
            self._calls.popleft()
        before, first = self._calls[0]
        each = (now - before) / (step - first) if step > first else math.nan
        # The next call would end later than now is early.
        call = each * self.model.settings.steps_per_call
        if now >= self.end or now + 0.5 * call > self.end:
            self.model.stop_training = True
        elif each > 0.0:
            last = min(step + (self.end - now) / each, self.model.settings.steps)
            self.steps = round(last)
            if self._schedule is not None:
                self._schedule.end_at(last, step)


class RoundTripMonitor(TrainingCallback):
    """Checks reversible chains before training and after each epoch, on the same few rows.

    Each check uses the weights that the chains have by then. Of several networks, which one program
    trains, the worst decides for all.

    A chain that has become inexact says so once, and stores its activations while it is worse than
    that; see :meth:`Chain.check_round_trip`. What is decided depends on nothing but the weights, so
    that a run that is resumed decides the same. ``inputs`` returns the vectors (n, d) and
    conditions (n, c), or None, of those rows for each of the ``bijections`` of the first network.
    """

    def __init__(
        self,
        bijections: Sequence[Bijection],
        inputs: Callable[[], Sequence[tuple[tf.Tensor, tf.Tensor | None]]],
    ) -> None:
        super().__init__()
        self._bijections = bijections
        self._inputs = inputs
        self._chains = [chain for each in bijections for chain in reversible_chains(each)]
        # Compiled, like the training step: layer by layer it would take as long as a short epoch.
        self._errors = tf.function(self._find_worst_errors, autograph=False)
        self._train_functions: dict[tuple[bool, ...], Any] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        """Check the first weights, which are those of a checkpoint if a run is resumed."""
        self._check()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not self.model.broken:
            self._check()

    def _check(self) -> None:
        if not self._chains:
            return
        self._train_functions[self._stored()] = self.model.train_function
        state = [tf.convert_to_tensor(variable) for variable in self.model.network_state]
        errors = self._errors(tf.convert_to_tensor(self.model.flat), state).numpy()
        for chain, error in zip(self._chains, errors.tolist(), strict=True):
            chain.apply_round_trip_error(error)
        # A compiled step either stores activations or computes them again; both are kept.
        if self._stored() in self._train_functions:
            self.model.train_function = self._train_functions[self._stored()]
        else:
            self.model.make_train_function(force=True)

    def _find_worst_errors(self, flat: tf.Tensor, state: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the largest error of each chain over all networks; infinite where it is NaN."""
        layout = self.model.weight_layout
        found = []
        for weights, own in zip(layout.split(flat), layout.split_state(state), strict=True):
            held = zip(layout.first, layout.unpack(weights), strict=True)
            fixed = zip(layout.first_state, own, strict=True)
            with keras.StatelessScope([*held, *fixed], initialize_variables=False):
                pairs = zip(self._bijections, self._inputs(), strict=True)
                errors = [error for one, given in pairs for error in round_trip_errors(one, *given)]
            found.append(tf.stack(errors))
        worst = tf.stack(found)
        return tf.reduce_max(tf.where(tf.math.is_nan(worst), np.inf, worst), axis=0)

    def _stored(self) -> tuple[bool, ...]:
        return tuple(chain.stores_activations for chain in self._chains)
