"""Training from start to end: Keras' own loop over a dataset of steps, many steps a call."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from bayesinn.core.compilation import reproducible_sums
from bayesinn.core.errors import TrainingError
from bayesinn.training.checkpoint import CheckpointWriter, prepare_folder
from bayesinn.training.early_stopping import EarlyStopping
from bayesinn.training.guard import Guard
from bayesinn.training.history import HistoryRecorder
from bayesinn.training.progress import ProgressReport
from bayesinn.training.settings import Checkpoint, TrainingSettings
from bayesinn.training.sources import Source
from bayesinn.training.step import TrainingModel
from bayesinn.training.trainable import Trainable

_VALIDATION_BATCH = 1024


@dataclass(frozen=True)
class TrainingResult:
    """What training leaves: its history, its wall-clock seconds, and where or by what it was stopped, if it was."""

    history: pd.DataFrame
    seconds: float
    failed_simulations: int
    bad_step: int | None
    error: BaseException | None

    def raise_error(self, settings: TrainingSettings, source: Source) -> None:
        """Raise what stopped the training, if anything did."""
        if self.error is not None:
            raise self.error
        if self.bad_step is None:
            return
        got = "the simulations of that step are finite, the network's loss or gradient is not"
        do = "lower learning_rate or clip_norm, or add noise where data are near-deterministic or repeat"
        if not source.finite(self.bad_step):
            got = "the simulator returned NaN or infinity"
            do = "mend the simulator, narrow the prior, or declare on_nonfinite='redraw'"
        raise TrainingError(
            f"Training stopped at step {self.bad_step:,} of {settings.steps:,}",
            expected="a finite loss",
            got=got,
            do=f"{do}; the network has the last good weights",
        )


@reproducible_sums()
def train(
    trainable: Trainable,
    source: Source,
    settings: TrainingSettings,
    *,
    identity: dict[str, Any],
    validation: Mapping[str, np.ndarray | tf.Variable] | None = None,
    optimizer: keras.optimizers.Optimizer | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    progress: bool = True,
    checkpoint: Checkpoint | None = None,
) -> TrainingResult:
    """Train a network in place.

    Parameters
    ----------
    trainable : Trainable, with a built network
    source : Source
    settings : TrainingSettings
    identity : dict
        What else decides the run (network, data), for the checkpoint.
    validation : dict of name to array (m, ...)
        A fixed set; the weights with the best loss on it are kept.
    optimizer : Keras optimizer
        Adam with warm-up and cosine by default.
    callbacks : Keras callbacks
    progress : bool
    checkpoint : Checkpoint

    Returns
    -------
    TrainingResult
        With ``bad_step`` set when a loss was not finite, ``error`` when workers or callbacks raised or the user
        interrupted; the network then has the last good weights.
    """
    model = TrainingModel(trainable, source, settings)
    model.compile(optimizer=_optimizer(optimizer, settings), jit_compile=False, steps_per_execution=1)
    model.steps_per_execution = settings.steps_per_call
    model.optimizer.build([model.flat])
    model.compile_update()
    recorder, stopping, guard = HistoryRecorder(), EarlyStopping(settings.patience), Guard()
    own: list[keras.callbacks.Callback] = [recorder, stopping]
    first_epoch = 0
    if checkpoint is not None:
        writer = CheckpointWriter(checkpoint.folder, recorder, stopping)
        if prepare_folder(checkpoint, {**settings.plain(), **identity}):
            first_epoch = writer.restore(model)
        own.append(writer)
    report = ProgressReport(min(first_epoch * settings.steps_per_epoch, settings.steps), settings.steps, progress)
    started = time.monotonic()
    stopped_by: BaseException | None = None
    if not settings.ended(first_epoch, stopping.waited):
        try:
            model.fit(
                source.elements(first_epoch),
                epochs=settings.epochs,
                initial_epoch=first_epoch,
                steps_per_epoch=settings.padded_epoch,
                validation_data=_validation_rows(model, validation),
                callbacks=[guard, report, *own, *callbacks],
                shuffle=False,
                verbose=0,
            )
        except KeyboardInterrupt as error:
            stopped_by = error
        except Exception as error:
            # tf.data turns the errors of workers into text.
            stopped_by = source.error if isinstance(error, tf.errors.OpError) and source.error is not None else error
            if stopped_by is error and not recorder.rows:
                # Nothing is trained that could be kept.
                raise
        finally:
            report.close()
            source.release()
    if stopping.best is not None and guard.bad_step is None:
        stopping.restore_best(model)
    model.weight_layout.assign(model.averaged.value)
    failed = int(model.failed.numpy())
    return TrainingResult(recorder.frame(), time.monotonic() - started, failed, guard.bad_step, stopped_by)


def _optimizer(optimizer: keras.optimizers.Optimizer | None, settings: TrainingSettings) -> keras.optimizers.Optimizer:
    if optimizer is not None:
        # A copy, so that the user's can be used again.
        return type(optimizer).from_config(optimizer.get_config())
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=settings.learning_rate * 1e-2,
        decay_steps=max(1, settings.steps - settings.warmup_steps),
        warmup_target=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
    )
    return keras.optimizers.Adam(schedule)


def _validation_rows(model: TrainingModel, validation: Mapping[str, Any] | None) -> tf.data.Dataset | None:
    if validation is None:
        return None
    model.validation_arrays.update({name: tf.convert_to_tensor(value) for name, value in validation.items()})
    rows = np.arange(len(next(iter(validation.values()))), dtype=np.int32)
    return tf.data.Dataset.from_tensor_slices(rows).batch(_VALIDATION_BATCH)
