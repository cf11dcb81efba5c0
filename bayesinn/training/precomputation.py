"""Simulations that all exist before the first step, with what is computed once for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.progress import Progress
from bayesinn.simulation import checks
from bayesinn.simulation.simulations import Simulations
from bayesinn.simulation.simulator import Simulator
from bayesinn.training.arrays import ArraySource, allocate, write
from bayesinn.training.progress import StepClock
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import Source, online_source
from bayesinn.training.train import train
from bayesinn.training.trainable import Batch, Trainable

# Factor by which pretraining takes fewer steps, and its learning rate.
_FEWER, _LEARNING_RATE = 6, 2e-3

Arrays = Mapping[str, np.ndarray | tf.Variable]


def offline_source(
    trainable: Trainable,
    settings: TrainingSettings,
    *,
    arrays: Mapping[str, np.ndarray] | None,
    simulator: Simulator | None = None,
    pretrained: bool = False,
    progress: bool = True,
) -> ArraySource:
    """Return batches from arrays, or from as many simulations as the settings say, which are drawn here.

    What the trainable needs trained first is trained, and what it can compute once is computed.

    Parameters
    ----------
    trainable : Trainable, with a built network
    settings : TrainingSettings
    arrays : dict of name to array (n, ...), or None
    simulator : Simulator, where there are no arrays
    pretrained : bool
        Whether :meth:`Trainable.pretraining` has been done, as in weights that were copied.
    progress : bool

    Returns
    -------
    ArraySource
        Its ``seconds_per_step`` are what was spent here for each step of training, without compilation.
    """
    failed, seconds = 0, 0.0
    if not pretrained and (first := trainable.pretraining()) is not None:
        seconds += _pretrain(first, settings, arrays, simulator, progress) / _FEWER
    stored: Arrays
    if arrays is None:
        assert simulator is not None
        stored, failed, seconds_per_batch = _draw(simulator, settings, progress)
        seconds += seconds_per_batch / settings.passes
    else:
        stored = arrays
    trainable.freeze()
    stored, seconds_per_batch = precomputed(trainable, stored, settings.batch_size, progress)
    return ArraySource(stored, settings, failed, seconds + seconds_per_batch / max(settings.passes, 1))


def precomputed(trainable: Trainable, arrays: Arrays, batch_size: int, progress: bool = False) -> tuple[Arrays, float]:
    """Return arrays (n, ...) with what the trainable computes once for each row, and the seconds that a batch takes."""
    rows = len(next(iter(arrays.values())))
    compute = tf.function(trainable.precompute, autograph=False)
    # Often larger than all else: written at once into the variables that training reads.
    results: dict[str, tf.Variable] = {}
    with Progress("preparing", rows, "simulations", shown=progress) as display:
        for start in range(0, rows, batch_size):
            # Each batch has the same number of rows: XLA would compile any other number anew.
            chosen = np.arange(start, start + batch_size) % rows
            batch = compute({name: tf.convert_to_tensor(value[chosen]) for name, value in arrays.items()})
            if not batch:
                display.shown = False
                return arrays, 0.0
            for name, value in batch.items():
                if name not in results:
                    results[name] = allocate(rows, value.shape[1:], value.dtype)
                write(value[: rows - start], results[name], start)
            display.update(min(start + batch_size, rows))
    return {**arrays, **results}, _seconds_per_batch(display, batch_size)


def _pretrain(
    trainable: Trainable,
    settings: TrainingSettings,
    arrays: Mapping[str, np.ndarray] | None,
    simulator: Simulator | None,
    progress: bool,
) -> float:
    """Train what precomputation depends on; return the seconds that a step takes."""
    steps = max(1, settings.steps // _FEWER)
    short = replace(
        settings,
        steps=steps,
        steps_per_epoch=settings.steps_per_epoch if arrays is not None else -(-steps // 2),
        seed=seeds.integer_seed(settings.seed, "estimates"),
        learning_rate=_LEARNING_RATE,
        patience=None,
        passes=0,
    )
    if progress:
        print("Training the initial estimate (1 of 2)", flush=True)
    source: Source
    if arrays is None:
        assert simulator is not None
        source = online_source(simulator, short)
    else:
        source = ArraySource(arrays, short)
    clock = StepClock()
    train(trainable, source, short, identity={}, callbacks=[clock], progress=progress).raise_error(short, source)
    return clock.seconds_per_step


def _draw(simulator: Simulator, settings: TrainingSettings, progress: bool) -> tuple[Arrays, int, float]:
    """Return all simulations, the number of failed ones, and the seconds that a batch takes."""
    size, total = settings.batch_size, settings.simulations
    alone = replace(settings, steps=total // size, steps_per_epoch=total // size, passes=0)
    source = online_source(simulator, alone, progress)
    arrays: dict[str, np.ndarray] = {}
    all_failed = row = 0
    with Progress("drawing", total, "simulations", shown=progress) as display:
        try:
            for element in source.elements(0):
                if int(element[0]) >= 0:
                    batch, failed = source.batch(element)
                    _write(arrays, row, total, batch)
                    all_failed, row = all_failed + int(failed), row + size
                    display.update(row)
        except tf.errors.OpError:
            if source.error is not None:
                raise source.error from None
            raise
    parameters, observables = (
        {name: arrays[name] for name in names} for names in (simulator.prior.names, simulator.observable_shapes)
    )
    context = {name: arrays[name] for name in simulator.context_names}
    checks.check_finite(simulator, Simulations(parameters, context, observables, all_failed))
    return arrays, all_failed, _seconds_per_batch(display, size)


def _write(arrays: dict[str, np.ndarray], start: int, rows: int, batch: Batch) -> None:
    for name, value in batch.items():
        if name not in arrays:
            arrays[name] = np.empty((rows, *value.shape[1:]), value.dtype.as_numpy_dtype)
        arrays[name][start : start + len(value)] = value


def _seconds_per_batch(display: Progress, batch_size: int) -> float:
    """Return the seconds that a batch takes, without the first, in which functions are compiled."""
    return float(np.nan_to_num(display.seconds_each)) * batch_size
