"""Draw from a simulator before its policy for failures acts, and time it."""

from __future__ import annotations

import itertools
import math
import sys
import time
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bayesinn.core import seeds
from bayesinn.simulation.python_engine import PythonEngine
from bayesinn.simulation.simulations import Simulations
from bayesinn.simulation.simulator import Simulator
from bayesinn.simulation.tensorflow_engine import TensorFlowEngine
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import GraphSource

_ROUNDS, _SECONDS = 10, 1.0
_SECONDS_TO_ESTIMATE, _SECONDS_BEFORE_PROGRESS, _SECONDS_BETWEEN_LINES = 0.5, 3.0, 10.0


@dataclass(frozen=True)
class Speed:
    """How fast simulations come, batch by batch as training asks for them.

    Parameters
    ----------
    per_second : float
        Good simulations a second, median over batches: a failed one that is drawn again costs its time.
    batch_size : int
        Of the batches that were timed; smaller than training's where those would take too long.
    first_seconds : float
        The first call, not counted above: tracing of the graph, or start of the workers.
    where : str
    """

    per_second: float
    batch_size: int
    first_seconds: float
    where: str

    def training_seconds(self, steps: int, batch_size: int) -> float:
        """What simulating takes over so many training steps."""
        return steps * batch_size / self.per_second


def draw(simulator: Simulator, n: int, seed: int, batch_size: int) -> tuple[Simulations, Speed]:
    """Draw n simulations, failed ones included, and measure the speed.

    The simulator's policy would hide failures by drawing them again: an engine of the same function without a policy
    is asked instead. The speed is that with the policy.

    Parameters
    ----------
    simulator : Simulator
    n, seed, batch_size : int

    Returns
    -------
    simulations : Simulations, NumPy arrays
    speed : Speed
    """
    engine = simulator.engine
    if isinstance(engine, PythonEngine):
        return _draw_in_workers(simulator, engine, n, seed, batch_size)
    raw = TensorFlowEngine(engine.declared._replace(on_nonfinite="raise"))
    root = seeds.tensor_seed(seed, "pilot")
    parts = []
    with _Progress(n) as progress:
        for start in range(0, n, batch_size):
            rows = min(batch_size, n - start)
            parts.append(raw.draw_eagerly(rows, seeds.fold_in(root, start)).numpy())
            progress.advance(rows)
    return _join(parts), _speed_in_graph(simulator, seed, batch_size)


def _speed_in_graph(simulator: Simulator, seed: int, batch_size: int) -> Speed:
    # Without XLA: compiling takes 20 s for some simulators, which is no answer in seconds.
    settings = TrainingSettings(1, 1, batch_size, seed, 1e-3, 1.0, 0.0, None, xla=False)
    batch = tf.function(GraphSource(simulator, settings).batch)
    seconds: list[float] = []
    while len(seconds) <= _ROUNDS and (len(seconds) < 2 or sum(seconds[1:]) < _SECONDS):
        started = time.perf_counter()
        simulated = batch((tf.constant(len(seconds)),))[0]
        for name in simulator.observable_shapes:
            simulated[name].numpy()
        seconds.append(time.perf_counter() - started)
    return Speed(batch_size / float(np.median(seconds[1:])), batch_size, seconds[0], "in the graph, not XLA-compiled")


def _draw_in_workers(
    simulator: Simulator, engine: PythonEngine, n: int, seed: int, batch_size: int
) -> tuple[Simulations, Speed]:
    raw = PythonEngine(engine.declared._replace(on_nonfinite="raise"), engine.batched, engine.workers)
    parts: list[Simulations] = []
    timed: list[tuple[int, float]] = []
    # Few rows first, which start the workers and give an early estimate. Sizes that adapted to the speed would make the
    # simulations depend on it.
    sizes = itertools.repeat(batch_size) if engine.batched else itertools.chain((4, 16), itertools.repeat(64))
    done = 0
    with _Progress(n) as progress:
        for size in sizes:
            rows = min(size, n - done)
            started = time.perf_counter()
            parts.append(raw.draw(rows, seeds.entropy(seed, "pilot", done)))
            timed.append((rows, time.perf_counter() - started))
            done += rows
            progress.advance(rows)
            if done == n:
                break
    simulations = _join(parts)
    first, later = timed[0][1], timed[1:] or timed
    where = f"in {engine.workers} worker process{'es' if engine.workers > 1 else ''}"
    if min(took / count for count, took in later) * batch_size < _SECONDS:
        seconds: list[float] = []
        while len(seconds) < _ROUNDS and sum(seconds) < _SECONDS:
            started = time.perf_counter()
            engine.draw(batch_size, seeds.entropy(seed, "simulations", len(seconds)))
            seconds.append(time.perf_counter() - started)
        return simulations, Speed(batch_size / float(np.median(seconds)), batch_size, first, where)
    largest = max(count for count, _ in later)
    rate = float(np.median([count / took for count, took in later if count > 0.5 * largest]))
    if engine.declared.redraw:
        rate *= 1.0 - simulations.failed / n
    return simulations, Speed(max(rate, 1e-9), largest, first, where)


def _join(parts: list[Simulations]) -> Simulations:
    parameters, context, observables = (
        {name: np.concatenate([part[kind][name] for part in parts]) for name in parts[0][kind]} for kind in range(3)
    )
    return Simulations(parameters, context, observables, sum(part.failed for part in parts))


class _Progress:
    """Silent unless it takes more than a few seconds: then a bar on a terminal, elsewhere a line every ten seconds."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = self._counted_from = 0
        self._started, self._last_line = 0.0, -math.inf
        self._bar: Progress | None = None

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, rows: int) -> None:
        """Count finished simulations."""
        self._done += rows
        now = time.monotonic()
        if self._counted_from == 0:
            # The first call traces or starts workers: it says nothing about the time left.
            self._counted_from, self._started = self._done, now
            return
        left = (now - self._started) / (self._done - self._counted_from) * (self._total - self._done)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)
        elif left > _SECONDS_BEFORE_PROGRESS and now - self._started > _SECONDS_TO_ESTIMATE:
            self._show(now, left)

    def _show(self, now: float, left: float) -> None:
        if sys.stdout.isatty():
            self._bar = Progress(
                TextColumn("simulating"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(file=sys.stdout),
                transient=True,
            )
            self._task = self._bar.add_task("simulating", total=self._total, completed=self._done)
            self._bar.start()
        elif now - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = now
            print(f"simulating: {self._done:,} of {self._total:,}, {left:.0f} s left", flush=True)
