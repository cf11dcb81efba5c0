"""Training from start to end: Keras' own loop over a dataset of steps, many steps a call."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from bayesinn.core.errors import InputError, TrainingError
from bayesinn.posterior.learner import Learner
from bayesinn.training.checkpoint import Checkpoint, prepare_folder
from bayesinn.training.early_stopping import EarlyStopping
from bayesinn.training.guard import Guard
from bayesinn.training.history import HistoryRecorder
from bayesinn.training.progress import ProgressReport
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import Source
from bayesinn.training.step import TrainingModel

_VALIDATION_BATCH = 1024


@dataclass(frozen=True)
class TrainingResult:
    """What training leaves: its history, its wall-clock seconds, and where or by what it was stopped, if it was."""

    history: pd.DataFrame
    seconds: float
    failed_simulations: int
    bad_step: int | None
    error: BaseException | None


def train(
    learner: Learner,
    source: Source,
    settings: TrainingSettings,
    *,
    identity: dict[str, Any],
    validation: Mapping[str, np.ndarray] | None = None,
    optimizer: keras.optimizers.Optimizer | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    progress: bool = True,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> TrainingResult:
    """Train the learner's network in place.

    Parameters
    ----------
    learner : Learner, with a built network
    source : Source
    settings : TrainingSettings
    identity : dict
        What else decides the run (network, data), for the checkpoint.
    validation : dict of name to array (m, ...)
        A fixed set; the weights with the best loss on it are kept.
    optimizer : Keras optimizer
        Adam with warm-up and cosine by default. It is copied, so that it can be used again.
    callbacks : Keras callbacks
    progress : bool
    checkpoint : Path
    resume : bool

    Returns
    -------
    TrainingResult
        With ``bad_step`` set when a loss was not finite, ``error`` when workers or callbacks raised or the user
        interrupted; the network then has the last good weights.
    """
    model = TrainingModel(learner, source, settings)
    model.compile(optimizer=_optimizer(optimizer, settings), jit_compile=False, steps_per_execution=1)
    model.steps_per_execution = settings.steps_per_call
    model.optimizer.build([model.flat])
    model.compile_update()
    recorder, stopping, guard = HistoryRecorder(), EarlyStopping(settings.patience), Guard()
    own: list[keras.callbacks.Callback] = [guard, recorder, stopping]
    first_epoch = 0
    if checkpoint is not None:
        keeper = Checkpoint(checkpoint, recorder, stopping)
        if prepare_folder(checkpoint, {**asdict(settings), **identity}, resume):
            first_epoch = keeper.restore(model)
        own.append(keeper)
    report = ProgressReport(min(first_epoch * settings.steps_per_epoch, settings.steps))
    if progress:
        own.insert(1, report)
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
                callbacks=[*own, *callbacks],
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
            report.stop()
            source.release()
    if stopping.best is not None and guard.bad_step is None:
        stopping.restore_best(model)
    model.weight_layout.assign(model.averaged.numpy())
    failed = int(model.failed.numpy())
    return TrainingResult(recorder.frame(), time.monotonic() - started, failed, guard.bad_step, stopped_by)


def _optimizer(optimizer: keras.optimizers.Optimizer | None, settings: TrainingSettings) -> keras.optimizers.Optimizer:
    if optimizer is not None:
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise InputError(
                "Argument 'optimizer'",
                expected="a Keras optimizer object",
                got=repr(optimizer),
                do="pass for example keras.optimizers.AdamW(1e-3)",
            )
        return type(optimizer).from_config(optimizer.get_config())
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=settings.learning_rate * 1e-2,
        decay_steps=max(1, settings.steps - settings.warmup_steps),
        warmup_target=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
    )
    return keras.optimizers.Adam(schedule)


def _validation_rows(model: TrainingModel, validation: Mapping[str, np.ndarray] | None) -> tf.data.Dataset | None:
    if validation is None:
        return None
    model.validation_arrays.update({name: tf.convert_to_tensor(value) for name, value in validation.items()})
    rows = np.arange(len(next(iter(validation.values()))), dtype=np.int32)
    return tf.data.Dataset.from_tensor_slices(rows).batch(_VALIDATION_BATCH)


def broken_training(result: TrainingResult, settings: TrainingSettings, simulations_finite: bool) -> TrainingError:
    """The error for a run that the guard stopped."""
    step = result.bad_step
    if simulations_finite:
        cause = "the simulations of that step are finite, the network's loss or gradient is not"
        do = "lower learning_rate or clip_norm, or look for parameters whose data are near-deterministic (add noise)"
    else:
        cause = "the simulator returned NaN or infinity"
        do = "mend the simulator, narrow the prior, or declare on_nonfinite='redraw'"
    return TrainingError(
        f"Training stopped at step {step:,} of {settings.steps:,}",
        expected="a finite loss",
        got=cause,
        do=f"{do}; the posterior has the last good weights",
    )
