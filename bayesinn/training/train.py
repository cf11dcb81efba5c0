"""Training from start to end: Keras' own loop over a dataset of steps, many steps a call."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core.compilation import reproducible_sums
from bayesinn.core.errors import TrainingError
from bayesinn.simulation.simulations import count_rows
from bayesinn.training.callbacks import Guard, History, epochs_waited
from bayesinn.training.checkpoint import CheckpointWriter
from bayesinn.training.convergence import what_is_missing
from bayesinn.training.deadline import Deadline, Shortened
from bayesinn.training.devices import Devices
from bayesinn.training.mixed_precision import mixed_precision
from bayesinn.training.progress import ProgressReport
from bayesinn.training.settings import Checkpoint, TrainingSettings
from bayesinn.training.sources import Source
from bayesinn.training.step import TrainingModel
from bayesinn.training.trainable import Trainable

if TYPE_CHECKING:
    import pandas as pd

_VALIDATION_BATCH = 1024


@dataclass(frozen=True)
class TrainingResult:
    """What training leaves, apart from weights.

    ``history`` has a row for each epoch; ``record`` is for manifests, in plain values. ``error`` is
    what stopped training, if anything did: a loss that is not finite, workers or callbacks that
    raised, or the user.
    """

    history: pd.DataFrame
    record: dict[str, Any]
    error: BaseException | None

    def raise_error(self) -> None:
        """Raise what stopped the training, if anything did."""
        if self.error is not None:
            raise self.error


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
    resumes: bool = False,
    devices: Devices = Devices(),
    simulator_record: Mapping[str, Any] | None = None,
    ends_at: float | None = None,
) -> TrainingResult:
    """Train a built network in place; whatever stops it, the network has the last good weights.

    Parameters
    ----------
    identity : dict of plain values
        What decides the run apart from the settings (network, data), for checkpoint and record.
    validation : dict of name to array (m, ...)
        A fixed set; the weights with the best loss on it are kept.
    optimizer : Keras optimizer
        Adam with warm-up and cosine by default.
    resumes : bool
        Whether to continue from the state in the folder of the checkpoint, which is prepared; see
        :func:`bayesinn.training.checkpoint.prepare_folder`.
    simulator_record : dict of plain values
        What is kept of a simulator in the checkpoint, see :mod:`bayesinn.simulation.identity`.
    ends_at : float
        Time of the monotonic clock to end at.
    """
    model = TrainingModel(trainable, source, settings, devices)
    _compile(model, _optimizer(optimizer, settings, in_time=ends_at is not None))
    guard = Guard()
    history = History()
    finished = 0
    # It runs before Keras closes the dataset, which would wait for a batch being made.
    end = keras.callbacks.LambdaCallback(on_train_end=lambda logs: source.release())
    own: list[keras.callbacks.Callback] = [guard, history, end]
    if checkpoint is not None:
        everything = {**asdict(settings), **identity}
        writer = CheckpointWriter(checkpoint.folder, history, everything, simulator_record)
        if resumes:
            finished = writer.restore(model)
        if devices.chief:
            own.append(writer)
    deadline = None
    if ends_at is not None:
        rate = None if optimizer is not None else model.optimizer._learning_rate
        deadline = Deadline(ends_at, rate)
        own.append(deadline)
    initial = model.flat.numpy()
    devices.check_agreement([asdict(settings), identity, finished], initial)
    report = ProgressReport(settings, finished, progress, deadline)
    started = time.monotonic()
    stopped_by: BaseException | None = None
    try:
        if not settings.ended(finished, epochs_waited(history.rows)):
            _run(model, finished, validation, [*own, report, *callbacks], progress)
    except KeyboardInterrupt as error:
        stopped_by = error
    except Exception as error:
        stopped_by = devices.restate(source.cause(error, len(history.rows)))
    finally:
        report.close()
        source.release()
    trained = finished > 0 or not np.array_equal(initial, model.flat.numpy())
    if guard.bad_step is not None:
        stopped_by = stopped_by or _not_finite(guard.bad_step, settings, source, trained)
    # No step is left, though an optimizer may count the one that failed: an earlier fit stays.
    if stopped_by is not None and not trained:
        raise stopped_by
    if history.best is not None:
        history.restore_best(model)
        if progress and (kept := history.describe_best()):
            print(f"training: {kept}", flush=True)
    model.weight_layout.assign(model.averaged.value)
    record = {
        **identity,
        "settings": asdict(settings),
        "steps_done": model.steps_done,
        "seconds": round(time.monotonic() - started, 1),
        "failed_simulations": history.count_failed(model),
    }
    cut = deadline is not None and model.steps_done < settings.steps
    if missing := what_is_missing(history.rows, report.seconds_per_step, cut):
        record["unfinished"] = missing
    return TrainingResult(history.frame(), record, stopped_by)


def _compile(model: TrainingModel, optimizer: keras.optimizers.Optimizer) -> None:
    """Give a model its optimizer, and let Keras run many steps in a call."""
    model.compile(optimizer=optimizer, jit_compile=False, steps_per_execution=1)
    model.steps_per_execution = model.settings.steps_per_call
    model.optimizer.build([model.flat])


def _run(
    model: TrainingModel,
    finished: int,
    validation: Mapping[str, Any] | None,
    callbacks: list[keras.callbacks.Callback],
    progress: bool,
) -> None:
    """Do the epochs that are left after the finished ones, in Keras' loop."""
    settings = model.settings
    source = model.source
    elements = _untuned(source.elements(finished))
    with mixed_precision(model.problem, settings.mixed_precision):
        if (note := model.compile_step(elements.element_spec)) and progress:
            print(f"  note: {note}", flush=True)
        with source.interruptible():
            model.fit(
                elements,
                epochs=settings.epochs,
                initial_epoch=finished,
                steps_per_epoch=settings.padded_epoch,
                validation_data=_validation_rows(model, validation),
                callbacks=callbacks,
                shuffle=False,
                verbose=0,
            )


def _not_finite(
    step: int, settings: TrainingSettings, source: Source, trained: bool
) -> TrainingError:
    got = "the simulations of that step are finite, the network's loss or gradient is not"
    do = (
        "lower learning_rate or clip_norm of bi.Optimization(...), or add noise where data are "
        "near-deterministic or repeat"
    )
    if not source.finite(step):
        got = "the simulator returned NaN or infinity"
        do = "mend the simulator, narrow the prior, or declare on_nonfinite='redraw'"
    subject = f"Training stopped at step {step:,} of {settings.steps:,}"
    # A process that ends with this error keeps none of them.
    left = "in Python, the network has the last good weights" if trained else "nothing was trained"
    return TrainingError(
        subject,
        expected="a finite loss",
        got=got,
        do=f"{do}; {left}",
    )


def _optimizer(
    optimizer: keras.optimizers.Optimizer | None, settings: TrainingSettings, in_time: bool = False
) -> keras.optimizers.Optimizer:
    if optimizer is not None:
        # A copy, so that the user's can be used again. Schedules of users may not be registered.
        kind = type(optimizer._learning_rate)
        with keras.saving.CustomObjectScope({kind.__name__: kind}):
            return type(optimizer).from_config(optimizer.get_config())
    rate: Any = settings.learning_rate
    warmup = min(500, max(1, settings.steps // 20))
    decay_steps = max(1, settings.steps - warmup)
    schedule = (Shortened if in_time else keras.optimizers.schedules.CosineDecay)(
        rate * 1e-2, decay_steps, warmup_target=rate, warmup_steps=warmup
    )
    if settings.weight_decay:
        return keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay)
    return keras.optimizers.Adam(schedule)


def _validation_rows(
    model: TrainingModel, validation: Mapping[str, Any] | None
) -> tf.data.Dataset | None:
    if validation is None:
        return None
    model.validation_arrays.update(
        {name: tf.convert_to_tensor(value) for name, value in validation.items()}
    )
    rows = np.arange(count_rows(validation), dtype=np.int32)
    return _untuned(tf.data.Dataset.from_tensor_slices(rows).batch(_VALIDATION_BATCH))


def _untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return a dataset without TensorFlow's tuning of buffers, of which none is left to it.

    The tuning thread sleeps twice as long each time, up to a minute, and the end of training
    sometimes waited for it: by 1 to 20 s after 25 s of training.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
