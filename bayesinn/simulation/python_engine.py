"""Black-box simulators: NumPy functions run by worker processes that never import TensorFlow.

Every draw (or block, when batched) has a generator of its own, a pure function of the seed and the row, so that workers
don't change results.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import AnyRows
from bayesinn.core.errors import SimulatorError
from bayesinn.core.progress import Progress
from bayesinn.simulation.declaration import Declaration
from bayesinn.simulation.finite import finite_rows
from bayesinn.simulation.missing import lose_values
from bayesinn.simulation.prior import Values
from bayesinn.simulation.simulations import MOST_REDRAWS, Arrays, Simulations
from bayesinn.simulation.worker import Block, Failure, combine, describe_call, with_nan, with_others
from bayesinn.simulation.workers import end_workers, start

# Rows that share a generator when the function is batched: part of the definition of the random numbers.
_BATCHED_BLOCK = 256
_SECONDS_BEFORE_PROGRESS = 2.0


class PythonEngine:
    """Draws batches as NumPy arrays through worker processes; otherwise as :class:`TensorFlowEngine`.

    A simulation that raises has failed like one that is not finite. ``keeps_failed`` leaves both in place, as NaN.
    """

    def __init__(self, declared: Declaration, batched: bool, workers: int | None, keeps_failed: bool = False) -> None:
        self.declared, self.batched, self.keeps_failed = declared, batched, keeps_failed
        self.workers = workers or os.cpu_count() or 1
        self._payload = _pickle_by_value(declared)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._draw_inputs = AnyRows(self._sample_inputs, leading=(0, 0))

    def start(self, n: int, seed: int, stream: str, *keys: int) -> Callable[[], Simulations]:
        return self.submit(n, seeds.entropy(seed, stream, *keys)).result

    def sample(self, n: int, seed: int, stream: str, *keys: int) -> Simulations:
        return self.start(n, seed, stream, *keys)()

    def without_policy(self) -> PythonEngine:
        declared = self.declared._replace(on_nonfinite="raise")
        return PythonEngine(declared, self.batched, self.workers, keeps_failed=True)

    def predict(self, parameters: Arrays, context: Arrays, seed: int, progress: bool = False) -> Arrays:
        rows = len(next(iter(parameters.values())))
        tasks = self._submit(parameters, context, seeds.entropy(seed, "predictive"))
        with Progress("simulating", rows, "simulations", shown=progress, delay=_SECONDS_BEFORE_PROGRESS) as display:
            block = self._gather(tasks, display)
        if block.failed and self.declared.on_nonfinite == "raise":
            raise self._error(block)
        return with_nan(block, rows)

    def submit(self, n: int, entropy: list[int]) -> PendingSimulations:
        """Start n simulations; a pure function of the entropy (see :func:`bayesinn.core.seeds.entropy`)."""
        parameters, context = tf.nest.map_structure(lambda value: value.numpy(), self._draw_inputs(n, _state(entropy)))
        return PendingSimulations(self, entropy, parameters, context, self._submit(parameters, context, entropy))

    def _sample_inputs(self, n: tf.Tensor, seed: tf.Tensor) -> tuple[Values, Values]:
        return self.declared.draw_inputs(n, seed, seeds.fold_in(seed, 1))

    def _submit(self, parameters: Arrays, context: Arrays, entropy: list[int]) -> list[_Task]:
        n = len(next(iter(parameters.values())))
        size = _BATCHED_BLOCK if self.batched else max(1, -(-n // (4 * self.workers)))
        return [
            self._start(*_rows(slice(first, first + size), parameters, context), [*entropy, 1], first)
            for first in range(0, n, size)
        ]

    def _start(self, *arguments: Any) -> _Task:
        future = start(self.workers, self._payload, *arguments, self.batched, self.declared.time_limit)
        return _Task(future, *arguments)

    def _gather(self, tasks: list[_Task], display: Progress | None = None) -> Block:
        """Wait for blocks, and return their rows as one."""
        parts: list[tuple[Arrays, _Task]] = []
        failed: dict[int, Failure] = {}
        rows = 0
        for task in tasks:
            try:
                block = self._block(task)
            except KeyboardInterrupt:
                end_workers()
                raise
            if block.observables:
                parts.append((block.observables, task))
            failed |= {rows + row: failure for row, failure in block.failed.items()}
            rows += task.rows
            if display is not None:
                display.update(rows)

        def call(part: int) -> str:
            parameters, context = _rows(slice(0, 1), parts[part][1].parameters, parts[part][1].context)
            return describe_call(parameters, context)

        # Those of the first draws, in front, are what all others must have.
        observables = combine([part for part, _ in parts], np.concatenate, call, self._shapes)
        self._shapes = self._shapes or {name: value.shape[1:] for name, value in observables.items()}
        return Block(observables, failed)

    def _block(self, task: _Task) -> Block:
        """Wait for a block; do it again if its worker died, row by row where rows are apart, to know the culprit."""
        with contextlib.suppress(BrokenExecutor):
            return task.future.result()
        parts = [task]
        if not self.batched:
            pieces = (_rows(slice(row, row + 1), task.parameters, task.context) for row in range(task.rows))
            parts = [
                task._replace(parameters=p, context=c, first=task.first + row) for row, (p, c) in enumerate(pieces)
            ]
        blocks = []
        for part in parts:
            call = describe_call(part.parameters, part.context, [*part.entropy, part.first])
            try:
                blocks.append(self._start(*part[1:]).future.result())
            except BrokenExecutor as error:
                reason = next((line for line in str(error).splitlines() if "exit code" in line), str(error))
                if "SIGVTALRM" in reason:
                    text = f"nothing after the time limit of {self.declared.time_limit} s, and no way to interrupt it"
                    blocks.append(Block({}, dict.fromkeys(range(part.rows), Failure(text, call))))
                    continue
                subject, got = f"Simulator {self.declared.name!r}", f"a worker process that ended twice: {reason}"
                expected = "worker processes that live until they return a result"
                do = f"look for too little memory or compiled code that crashes; call the function with {call}"
                raise SimulatorError(subject, expected=expected, got=got, do=do) from error
        failed = {row + n: failure for n, block in enumerate(blocks) for row, failure in block.failed.items()}
        kept = [block.observables for block in blocks if block.observables]
        return Block(combine(kept, np.concatenate, lambda part: describe_call(*parts[part][1:3])), failed)

    def _error(self, block: Block) -> SimulatorError:
        row, failure = next(iter(block.failed.items()))
        subject = f"Simulation of row {row} of simulator {self.declared.name!r}"
        do = "correct it, or declare on_nonfinite='redraw' to draw such rows again"
        if self.declared.on_nonfinite == "redraw":
            subject, do = f"{subject}, after {MOST_REDRAWS} redraws", "correct it, or narrow the prior"
        do = f"{do}; it was called with {failure.call}"
        return SimulatorError(subject, expected="a result", got=failure.error, do=do)


class _Task(NamedTuple):
    """A block that a worker is busy with, and what it was given."""

    future: Future[Block]
    parameters: Arrays
    context: Arrays
    entropy: list[int]
    first: int

    @property
    def rows(self) -> int:
        return len(next(iter(self.parameters.values())))


class PendingSimulations(NamedTuple):
    """Simulations that workers are busy with."""

    engine: PythonEngine
    entropy: list[int]
    parameters: Arrays
    context: Arrays
    tasks: list[_Task]

    def result(self) -> Simulations:
        """Wait, and replace failed simulations if that is the simulator's policy."""
        engine, policy = self.engine, self.engine.declared.on_nonfinite
        parameters, context, block = self.parameters, self.context, engine._gather(self.tasks)
        rows = len(next(iter(parameters.values())))
        if block.failed and policy == "raise" and not engine.keeps_failed:
            raise engine._error(block)
        observables = (with_nan if engine.keeps_failed else with_others)(block, rows)
        broken = self._broken_rows(block, observables, context, rows)
        failed, attempt = len(broken), 1
        while policy == "redraw" and len(broken) and attempt <= MOST_REDRAWS:
            again = engine.submit(len(broken), [*self.entropy, attempt])
            block = engine._gather(again.tasks)
            fresh = with_others(block, len(broken))
            # If no row has given a result yet, all are broken.
            observables = observables or {name: value.copy() for name, value in fresh.items()}
            for old, new in ((parameters, again.parameters), (context, again.context), (observables, fresh)):
                for name, value in new.items():
                    # Whole numbers in one batch may be floats in the next.
                    old[name] = old[name].astype(np.result_type(old[name], value), copy=False)
                    old[name][broken] = value
            still_broken = self._broken_rows(block, fresh, again.context, len(broken))
            failed, attempt, broken = failed + len(still_broken), attempt + 1, broken[still_broken]
        if block.failed and not engine.keeps_failed:
            raise engine._error(block)
        if engine.declared.missing:
            seed = seeds.fold_in(_state(self.entropy), 2)
            lost = lose_values(observables, engine.declared.missing, seed)
            observables = {name: value.numpy() for name, value in lost.items()}
        return Simulations(parameters, context, observables, failed)

    def _broken_rows(self, block: Block, observables: Arrays, context: Arrays, rows: int) -> np.ndarray:
        good = np.ones(rows, bool)
        good[list(block.failed)] = False
        finite = finite_rows(observables, context, self.engine.declared)
        return np.flatnonzero(~np.all([good, *finite.values()], axis=0))


def _state(entropy: list[int]) -> np.ndarray:
    """Return TensorFlow's seed (2,) of some simulations."""
    return np.random.SeedSequence([*entropy, 0]).generate_state(2).astype(np.int32)


def _rows(rows: slice, *parts: Arrays) -> list[Arrays]:
    return [{name: value[rows] for name, value in part.items()} for part in parts]


def _pickle_by_value(declared: Declaration) -> bytes:
    """Pickle the function itself, not the name of its module: importing that would load TensorFlow in each worker."""
    innermost: Any = declared.function
    while isinstance(innermost, functools.partial):
        innermost = innermost.func
    module = sys.modules.get(innermost.__module__)
    by_value = module is not None and innermost.__module__ != "__main__"
    if by_value:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(declared.function)
    except Exception as error:
        subject, got = f"Function of simulator {declared.name!r}", f"{type(error).__name__}: {error}"
        expected, do = "a function that can be sent to other processes", "open files and locks inside the function"
        raise SimulatorError(subject, expected=expected, got=got, do=do) from error
    finally:
        if by_value:
            cloudpickle.unregister_pickle_by_value(module)
