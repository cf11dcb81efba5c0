"""Simulations that all exist before the first step, with what is computed once for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.progress import Progress
from bayesinn.simulation.bank.simulate import draw_simulations, write_bank
from bayesinn.simulation.simulations import count_rows
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.training.callbacks import MARKER, check_place, run_of, simulations_of
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import ArraySource, Source, allocate, online_source, write
from bayesinn.training.train import StepClock, train
from bayesinn.training.trainable import Trainable

_MOST_CHUNKS = 64
_MOST_ROWS = 4_096
_TASK = "drawing"


def draw_all(
    simulator: Simulator, settings: TrainingSettings, progress: bool, folder: Path | None = None
) -> tuple[Arrays, int, float]:
    """Return all simulations, the number of failed ones, and the seconds that a batch takes.

    Where a checkpoint has a ``folder``, an interrupted run leaves them there, and the run that
    resumes goes on.
    """
    size = settings.batch_size
    total = settings.simulations
    # Whole batches, and with few of them no simulation too many.
    batches = max(1, min(total // size // _MOST_CHUNKS, _MOST_ROWS // size))
    # Of its own, so that they are not those of a bank with the same seed, which may be held out.
    seed = seeds.integer_seed(settings.seed, "simulations")
    if folder is None:
        arrays, failed, seconds = draw_simulations(
            simulator, total, seed, batches * size, progress, _TASK
        )
    else:
        check_place(folder, None)
        run = run_of(folder)
        marker = {} if run is None else {MARKER: run}
        place = str(simulations_of(folder))
        bank, seconds = write_bank(
            simulator, total, place, seed, batches * size, progress, _TASK, marker
        )
        # A longer run that was interrupted before its first step may have left more.
        arrays = bank.read(slice(0, total))
        failed = bank.failed
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
    folder: Path | None = None,
) -> ArraySource:
    """Return batches from arrays (n, ...), or from simulations that are drawn here.

    The settings say the number of simulations. ``failed`` is the number of those that failed in the
    bank that arrays come from.

    Unless a trainable is ``pretrained``, as by copied weights, what it needs trained first is
    trained. What it can compute once is computed. The source's ``seconds_per_step`` are what all of
    that takes. Simulations are kept in the ``folder`` of a checkpoint while they are drawn.
    """
    stored: Stored
    seconds = 0.0
    drawing = 0.0
    if not pretrained and (first := trainable.pretraining()) is not None:
        seconds = _pretrain(first, settings, data, progress) / _FEWER
    if isinstance(data, Simulator):
        stored, failed, drawing = draw_all(data, settings, progress, folder)
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
