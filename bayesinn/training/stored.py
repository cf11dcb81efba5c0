"""Simulations that are all there before the first step, with what a network works out once for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.posterior.learner import Learner
from bayesinn.posterior.network import EstimateNetwork
from bayesinn.simulation import checks
from bayesinn.simulation.simulations import Simulations
from bayesinn.simulation.simulator import Simulator
from bayesinn.training.progress import Counted, StepClock
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import ArraySource, put, room_for, training_source
from bayesinn.training.train import broken_training, train

# The first estimate is learned in so many times fewer steps, and at this learning rate.
_FEWER, _LEARNING_RATE = 6, 2e-3

Arrays = dict[str, np.ndarray]


def stored_source(
    simulator: Simulator,
    learner: Learner,
    settings: TrainingSettings,
    arrays: Mapping[str, np.ndarray] | None,
    *,
    learns: bool = True,
    progress: bool = True,
) -> ArraySource:
    """Batches from arrays, or from as many simulations as the settings say, which are drawn here.

    Where the network makes a first estimate, that is learned before all else: what is worked out once for each
    simulation depends on it.

    Parameters
    ----------
    simulator : Simulator
    learner : Learner, with a built network
    settings : TrainingSettings
    arrays : dict of name to array (n, ...), or None
    learns : bool
        Whether there is a first estimate to learn; False if that has been done.
    progress : bool

    Returns
    -------
    ArraySource
        Whose ``seconds_per_step`` are what was spent here for each step of training, without compilation.
    """
    failed, seconds = 0, 0.0
    if learner.network.estimates and learns:
        seconds += _learn_estimate(simulator, learner, settings, arrays, progress) / _FEWER
    if arrays is None:
        arrays, failed, seconds_per_batch = _draw(simulator, settings, progress)
        seconds += seconds_per_batch / settings.passes
    if learner.network.works_beforehand:
        arrays, seconds_per_batch = with_what_is_known(learner, arrays, settings.batch_size, progress)
        seconds += seconds_per_batch / max(settings.passes, 1)
    return ArraySource(arrays, settings, failed, seconds)


def with_what_is_known(
    learner: Learner, arrays: Mapping[str, np.ndarray], batch_size: int, progress: bool = False
) -> tuple[dict[str, np.ndarray | tf.Variable], float]:
    """Arrays (n, ...) with what the network works out beforehand, and the seconds that a batch takes."""
    rows = len(next(iter(arrays.values())))
    work = tf.function(learner.beforehand, autograph=False)
    # Often more than all else, so that it is made where it stays.
    results: dict[str, tf.Variable] = {}
    batches = Counted("preparing", range(0, rows, batch_size), rows, batch_size, progress)
    for start in batches:
        # Always as many: XLA would compile any other number anew.
        chosen = np.arange(start, start + batch_size) % rows
        batch = work({name: tf.convert_to_tensor(value[chosen]) for name, value in arrays.items()})
        for name, value in batch.items():
            if name not in results:
                results[name] = room_for(rows, value.shape[1:], value.dtype)
            put(value[: rows - start], results[name], start)
    return {**arrays, **results}, batches.seconds


def _learn_estimate(
    simulator: Simulator,
    learner: Learner,
    settings: TrainingSettings,
    arrays: Mapping[str, np.ndarray] | None,
    progress: bool,
) -> float:
    """Train the first estimate by itself; the seconds that a step takes."""
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
    lesson = Learner(learner.parameters, learner.data, EstimateNetwork(learner.network))
    if progress:
        print("first, the estimate that all else starts from", flush=True)
    source = training_source(simulator, arrays, short)
    clock = StepClock()
    result = train(lesson, source, short, identity={}, callbacks=[clock], progress=progress)
    if result.error is not None:
        raise result.error
    if result.bad_step is not None:
        raise broken_training(result, short, source.finite(result.bad_step))
    return clock.seconds_per_step


def _draw(simulator: Simulator, settings: TrainingSettings, progress: bool) -> tuple[Arrays, int, float]:
    """All simulations, the number of failed ones, and the seconds that a batch takes."""
    size, total = settings.batch_size, settings.simulations
    alone = replace(settings, steps=total // size, steps_per_epoch=total // size, passes=0)
    source = training_source(simulator, None, alone, progress)
    arrays: Arrays = {}
    all_failed = row = 0
    batches = Counted("drawing", source.elements(0), total, size, progress)
    try:
        for element in batches:
            if int(element[0]) >= 0:
                batch, failed = source.batch(element)
                _put(arrays, row, total, batch)
                all_failed, row = all_failed + int(failed), row + size
    except tf.errors.OpError:
        if source.error is not None:
            raise source.error from None
        raise
    of_parameters, of_observables = (
        {name: arrays[name] for name in names} for names in (simulator.prior.names, simulator.observable_shapes)
    )
    checks.check_finite(simulator, Simulations(of_parameters, {}, of_observables, all_failed))
    return arrays, all_failed, batches.seconds


def _put(arrays: Arrays, start: int, rows: int, batch: Mapping[str, tf.Tensor]) -> None:
    for name, value in batch.items():
        if name not in arrays:
            arrays[name] = np.empty((rows, *value.shape[1:]), value.dtype.as_numpy_dtype)
        arrays[name][start : start + len(value)] = value
