"""Training from start to end: Keras' own loop over a dataset of steps, many steps a call.

Also what is drawn and computed before the first step, and what tells whether training is finished.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import reproducible_sums
from bayesinn.core.errors import TrainingError
from bayesinn.core.private_api import learning_rate
from bayesinn.core.progress import Progress, sparkline
from bayesinn.simulation.bank.simulate import draw_simulations
from bayesinn.simulation.simulations import count_rows
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.training.callbacks import (
    CheckpointWriter,
    Deadline,
    Guard,
    History,
    Shortened,
    TrainingCallback,
    epochs_waited,
)
from bayesinn.training.settings import Checkpoint, TrainingSettings
from bayesinn.training.sources import ArraySource, Source, allocate, online_source, write
from bayesinn.training.step import Devices, TrainingModel, mixed_precision
from bayesinn.training.trainable import Trainable

if TYPE_CHECKING:
    import pandas as pd


#: Steps without which nothing is learned, whatever the losses are.
FEWEST_STEPS = 50
# Epochs without which nothing can be told, and the share of the steps that is left out: warm-up and
# the first steep fall, of which no law holds.
_FEWEST_EPOCHS = 10
_LEFT_OUT = 0.2
# Of the fall over the other epochs, what a falling learning rate makes by itself, a priori:
# zero, with this standard deviation.
_ANNEALING = 0.15
# What twice the training may gain: so many nats for each number of an event, half of what the
# verdict tolerates, and so much of the fall since the start.
_TOLERANCE = 0.05
_SHARE = 0.01
# Of more, the law says nothing.
_MOST_TIMES = 20.0


def what_is_missing(
    rows: Sequence[Mapping[str, float | None]],
    seconds_per_step: float,
    cut: bool = False,
    numbers: int = 1,
) -> str:
    """Say what a training lacks, from a row for each epoch; nothing where that can't be told.

    A training that time has ``cut`` after a few steps has learned nothing.

    After so many steps, S learning rates have been added up, and the loss is about

        a + b / S + c * (learning rate),

    where b is what is left to learn and c the noise of large steps, which ends as the learning rate
    falls: late in a schedule that ends at zero, losses are flat whether or not anything is left to
    learn, so that their slope alone tells nothing. While the learning rate falls, both terms do; c
    gets a prior, so that few noisy epochs don't explain all by it. Twice the training gains half of
    b / S. Measured: ``sir`` after 100, 300 and 1,000 steps gains .3, .2 and .1 nats (truly .5, .2
    and .1), ``linear`` after 100 and more steps less than .04.
    """
    steps = int(rows[-1]["step"] or 0) if rows else 0
    if steps < FEWEST_STEPS:
        text = f"Training is not finished: time ended it after {steps:,} steps, too few to learn."
        return text if cut else ""
    name = "val_loss" if rows[-1].get("val_loss") is not None else "loss"
    step, loss, rate = (
        np.array([row.get(key) for row in rows], float) for key in ("step", name, "learning_rate")
    )
    kept = (step > _LEFT_OUT * steps) & np.isfinite(loss)
    if len(rows) < _FEWEST_EPOCHS or kept.sum() < 0.5 * len(rows) or not rate.max() > 0.0:
        return ""
    path = np.cumsum(rate * np.diff(step, prepend=0.0))
    design = np.stack([np.ones(len(rows)), path[-1] / path, rate / rate.max()], axis=1)[kept]
    target = loss[kept]
    few = max(len(target) // 8, 2)
    fall = max(float(target[:few].mean() - target[-few:].mean()), 1e-9)
    free = len(target) - design.shape[1]
    residual = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    variance = max(float(residual @ residual) / free, 1e-12 * fall**2)
    prior = np.diag([0.0, 0.0, variance / (_ANNEALING * fall) ** 2])
    covariance = np.linalg.inv(design.T @ design + prior)
    left = float((covariance @ (design.T @ target))[1])
    error = math.sqrt(variance * covariance[1, 1])
    start = float(np.median(loss[: max(len(rows) // 10, 1)]))
    allowed = _TOLERANCE * numbers + _SHARE * max(start - float(target[-few:].mean()), 0.0)
    if 0.5 * left < allowed or left < 2.0 * error:
        return ""
    seconds = (min(left / allowed, _MOST_TIMES) - 1.0) * steps * seconds_per_step
    more = f" About {_round(seconds)} more are needed." if seconds > 0.0 else ""
    return (
        f"Training is not finished: the loss still fell after {steps:,} steps, by about "
        f"{0.5 * left:.2g} in as many steps more.{more}"
    )


def _round(seconds: float) -> str:
    """Write a duration for people, as a guess: with one or two digits."""
    if seconds < 100.0:
        return f"{float(f'{max(seconds, 1.0):.1g}'):.0f} seconds"
    minutes = float(f"{seconds / 60.0:.2g}")
    return f"{minutes:.0f} minutes" if minutes < 120.0 else f"{minutes / 60.0:.1f} hours"


# Share of the time from which on the simulator is what training waits for.
_MUCH = 0.5


class ProgressReport(TrainingCallback):
    """Shows how far training has come, on from the finished epochs of a run that is resumed.

    With a ``deadline``, that tells how many steps there will be, once it knows.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        finished: int,
        shown: bool,
        deadline: Deadline | None = None,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._deadline = deadline
        self._display = Progress(
            "training",
            settings.steps if deadline is None else None,
            "steps",
            shown=shown,
            done=settings.steps_in(finished),
            ends_at=math.inf if deadline is None else deadline.end,
        )
        self._validation = ""
        self._losses: list[float] = []

    @property
    def seconds_per_step(self) -> float:
        """Mean seconds of a step, without the first call, which compiles; NaN before the second."""
        return self._display.seconds_each

    def on_train_begin(self, logs: Any = None) -> None:
        self._display.stage("compiling")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch_step = self._settings.steps_in(epoch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        settings = self._settings
        seconds = self._display.seconds_each
        step = min(self._epoch_step + min(batch + 1, settings.steps_per_epoch), settings.steps)
        # Not a number before the second call.
        speed = f", {settings.batch_size / seconds:,.0f} simulations/s" if seconds > 0 else ""
        share = self._share_of_simulator()
        slow = f", {100 * share:.0f} % of the time for the simulator" if share > _MUCH else ""
        curve = f" {sparkline(self._losses)}".rstrip() if self._display.terminal else ""
        self._expect(step)
        self._display.update(step, f"loss {logs['loss']:.3f}{self._validation}{curve}{speed}{slow}")

    def _expect(self, step: int) -> None:
        """Tell the display for how many steps there is time: two digits, and at the end all."""
        if self._deadline is None:
            return
        if self.model.stop_training:
            self._display.expect(step)
        elif (steps := self._deadline.steps) is not None:
            unit = 10 ** max(len(str(steps)) - 2, 0)
            about = max(round(steps / unit) * unit, step)
            if self._display.total is None:
                self._display.note(f"the time is enough for about {about:,} steps")
            self._display.expect(about)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._losses.append(logs.get("val_loss", logs["loss"]))
        if "val_loss" in logs:
            self._validation = f", validation {logs['val_loss']:.3f}"

    def on_train_end(self, logs: Any = None) -> None:
        """Propose to use simulations more than once where they take most of the time."""
        share = self._share_of_simulator()
        self._display.close()
        if share > _MUCH:
            self._display.note(
                f"{100 * share:.0f} % of the time went into simulating; --passes 4, or "
                "bi.Optimization(passes=4), uses each simulation four times"
            )

    def _share_of_simulator(self) -> float:
        """Return the share of the time in which the network waited for simulations."""
        return float(self.model.source.waited / max(self._display.seconds, 1e-9))

    def close(self) -> None:
        """Give the terminal back, whatever ended training.

        Keras tells callbacks nothing of exceptions.
        """
        self._display.close()


class StepClock(TrainingCallback):
    """Measures the time of a step, without the first epoch, in which functions are compiled.

    ``now`` gives seconds: of the clock on the wall, or of the processor. Training ends as soon as
    it has taken ``most_seconds``, and the second epoch has ended.
    """

    def __init__(
        self, now: Callable[[], float] = time.monotonic, most_seconds: float = math.inf
    ) -> None:
        super().__init__()
        self._now = now
        self._most = most_seconds
        self._ends: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._ends.append(self._now())
        if len(self._ends) > 1 and self._ends[-1] - self._ends[0] > self._most:
            self.model.stop_training = True

    @property
    def seconds_per_epoch(self) -> float:
        """Mean seconds of an epoch; NaN before there are two."""
        return (
            (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)
            if len(self._ends) > 1
            else math.nan
        )

    @property
    def seconds_per_step(self) -> float:
        """Mean seconds of a step, with its share of what was done before the first one."""
        return (
            self.seconds_per_epoch / self.model.settings.steps_per_epoch
            + self.model.source.seconds_per_step
        )


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
        :func:`bayesinn.training.callbacks.prepare_folder`.
    simulator_record : dict of plain values
        What is kept of a simulator in the checkpoint, see :mod:`bayesinn.simulation.identity`.
    ends_at : float
        Time of the monotonic clock to end at.
    """
    model = TrainingModel(trainable, source, settings, devices)
    optimizer_now = _optimizer(optimizer, settings, in_time=ends_at is not None)
    # Keras runs many steps in a call.
    model.compile(optimizer=optimizer_now, jit_compile=False, steps_per_execution=1)
    model.steps_per_execution = settings.steps_per_call
    model.optimizer.build([model.flat])
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
        rate = None if optimizer is not None else learning_rate(model.optimizer)
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
    if missing := what_is_missing(
        history.rows, report.seconds_per_step, cut, model.problem.numbers
    ):
        record["unfinished"] = missing
    return TrainingResult(history.frame(), record, stopped_by)


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
    elif source.suspect:
        do += f"; {source.suspect}"
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
        kind = type(learning_rate(optimizer))
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


_MOST_CHUNKS = 64
_MOST_ROWS = 4_096


def draw_all(
    simulator: Simulator, settings: TrainingSettings, progress: bool
) -> tuple[Arrays, int, float]:
    """Return all simulations, the number of failed ones, and the seconds that a batch takes."""
    size = settings.batch_size
    total = settings.simulations
    # Whole batches, and with few of them no simulation too many.
    batches = max(1, min(total // size // _MOST_CHUNKS, _MOST_ROWS // size))
    # Of its own, so that they are not those of a bank with the same seed, which may be held out.
    seed = seeds.integer_seed(settings.seed, "simulations")
    arrays, failed, seconds = draw_simulations(simulator, total, seed, batches * size, progress)
    return arrays, failed, float(np.nan_to_num(seconds)) * size


# Factor by which pretraining takes fewer steps, and its learning rate.
_FEWER = 6
_LEARNING_RATE = 2e-3

Stored = Mapping[str, np.ndarray | tf.Variable]


def offline_source(
    trainable: Trainable,
    settings: TrainingSettings,
    data: Mapping[str, np.ndarray] | Simulator,
    *,
    failed: int = 0,
    pretrained: bool = False,
    progress: bool = True,
) -> ArraySource:
    """Return batches from arrays (n, ...), or from simulations that are drawn here.

    The settings say the number of simulations. ``failed`` is the number of those that failed in the
    bank that arrays come from.

    Unless a trainable is ``pretrained``, as by copied weights, what it needs trained first is
    trained. What it can compute once is computed. The source's ``seconds_per_step`` are what all of
    that takes.
    """
    stored: Stored
    seconds = 0.0
    drawing = 0.0
    if not pretrained and (first := trainable.pretraining()) is not None:
        seconds = _pretrain(first, settings, data, progress) / _FEWER
    if isinstance(data, Simulator):
        stored, failed, drawing = draw_all(data, settings, progress)
    else:
        stored = data
    trainable.freeze()
    stored, preparing = precomputed(trainable, stored, settings.batch_size, progress)
    return ArraySource(
        stored, settings, failed, seconds + (drawing + preparing) / max(settings.passes, 1)
    )


def precomputed(
    trainable: Trainable, arrays: Stored, batch_size: int, progress: bool = False
) -> tuple[Stored, float]:
    """Return arrays (n, ...) with what a trainable computes once for each row.

    Also return the seconds that a batch takes.
    """
    rows = count_rows(arrays)
    traced = tf.function(trainable.precompute, autograph=False)
    compute = None
    # Often larger than all else: written at once into the variables that training reads.
    results: dict[str, tf.Variable] = {}
    with Progress("preparing", rows, "simulations", shown=progress) as display:
        for start in range(0, rows, batch_size):
            # Each batch has the same number of rows: XLA would compile any other number anew.
            chosen = np.arange(start, start + batch_size) % rows
            given = {name: tf.convert_to_tensor(value[chosen]) for name, value in arrays.items()}
            # TensorFlow would warn of the calls for several trainables, as of one that is traced
            # again and again.
            compute = compute or traced.get_concrete_function(given)
            batch = compute(given)
            if not batch:
                display.shown = False
                return arrays, 0.0
            for name, value in batch.items():
                if name not in results:
                    results[name] = allocate(rows, value.shape[1:], value.dtype)
                write(value[: rows - start], results[name], start)
            display.update(min(start + batch_size, rows))
    return {**arrays, **results}, float(np.nan_to_num(display.seconds_each)) * batch_size


def _pretrain(
    trainable: Trainable,
    settings: TrainingSettings,
    data: Mapping[str, np.ndarray] | Simulator,
    progress: bool,
) -> float:
    """Train what precomputation depends on; return the seconds that a step takes."""
    steps = max(1, settings.steps // _FEWER)
    short = replace(
        settings,
        steps=steps,
        steps_per_epoch=-(-steps // 2) if isinstance(data, Simulator) else settings.steps_per_epoch,
        seed=seeds.integer_seed(settings.seed, "estimates"),
        learning_rate=_LEARNING_RATE,
        # Each process does all of it: a sixth of the steps, and nothing says that rows are
        # independent.
        parts=1,
        # Frames start from it.
        mixed_precision=False,
    )
    if progress:
        print("Training the initial estimate (1 of 2)", flush=True)
    source: Source = (
        online_source(data, short) if isinstance(data, Simulator) else ArraySource(data, short)
    )
    clock = StepClock()
    train(trainable, source, short, identity={}, callbacks=[clock], progress=progress).raise_error()
    return clock.seconds_per_step
