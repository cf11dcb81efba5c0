"""Black-box simulators: NumPy functions run by worker processes that never import TensorFlow.

Every draw (or block, when batched) has a generator of its own, a pure function of the seed and the
row, so that workers don't change results.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import os
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import AnyRows, map_tensors
from bayesinn.core.progress import Progress
from bayesinn.simulation.checks import lose_values
from bayesinn.simulation.engines.engine import Declaration, Engine, FailurePolicy, tensor_state
from bayesinn.simulation.engines.worker import Failure, Outcome, combine, describe_call
from bayesinn.simulation.engines.workers import (
    RemoteWorkers,
    count_threads,
    end_workers,
    ending_lone_workers,
    pickled_by_value,
    start,
    wait_on_cluster,
)
from bayesinn.simulation.prior import Values
from bayesinn.simulation.simulations import Arrays, Simulations, count_rows, take

if TYPE_CHECKING:
    from distributed import Client

# Rows that share a generator when the function is batched: part of the definition of the random
# numbers.
_BATCHED_BLOCK = 256
_SECONDS_BEFORE_PROGRESS = 2.0
# Of slow simulations a block has few: what is finished when a run is interrupted is kept.
_SECONDS_OF_A_BLOCK = 2.0


class PythonEngine(Engine):
    """Draws batches as NumPy arrays through worker processes.

    A simulation that raises has failed like one that is not finite.
    """

    def __init__(self, declared: Declaration, batched: bool, workers: int | None) -> None:
        super().__init__(declared)
        self.batched = batched
        self.kind = "batched" if batched else "python"
        self.workers = workers or os.cpu_count() or 1
        self._client: Client | None = None
        self._shapes: dict[str, tuple[int, ...]] = {}
        #: Seconds of a simulation, as far as known.
        self._seconds = 0.0
        self._prepare()

    def _prepare(self) -> None:
        """Pickle the function as it is now, with all that it reads, for workers to come."""
        constants = self._read_constants()
        payload = pickled_by_value(self.declared.name, self.declared.function)
        self._start_block: Callable[..., Future[Outcome]] = functools.partial(
            start, self.workers, payload
        )
        if self._client is not None:
            self._start_block = RemoteWorkers(self._client, payload)
        self._draw_inputs = AnyRows(self._sample_inputs, leading=(0, 0))
        # At the end: a function that could not be pickled is tried again.
        self._constants = constants

    def _see_present_constants(self) -> None:
        """Send the function anew if what it reads has changed, as in another cell of a notebook."""
        if not self._constants.same_as(self._read_constants()):
            self._prepare()

    def renew(self, declared: Declaration, workers: int | None = None) -> Self:
        if workers is not None:
            return type(self)(declared, self.batched, workers)
        # The function is the same, and so are its workers.
        engine = copy.copy(self)
        engine.declared = declared
        engine.policy = FailurePolicy(declared)
        return engine

    def on_cluster(self, client: Client) -> Self:
        engine = copy.copy(self)
        engine.workers = count_threads(client)
        engine._client = client
        engine._prepare()
        return engine

    def start(self, n: int, entropy: list[int]) -> Callable[[], Simulations]:
        self._see_present_constants()
        first = self._draw_and_submit(n, entropy)
        return functools.partial(self._finish, n, entropy, first)

    def simulate(
        self, parameters: Arrays, context: Arrays, entropy: list[int], progress: bool = False
    ) -> Outcome:
        self._see_present_constants()
        tasks = self._submit(parameters, context, entropy)
        rows = sum(task.rows for task in tasks)
        with Progress(
            "simulating", rows, "simulations", shown=progress, delay=_SECONDS_BEFORE_PROGRESS
        ) as display:
            return self._gather(tasks, display)

    def _finish(self, n: int, entropy: list[int], first: _Batch) -> Simulations:
        """Wait for n simulations, and apply the policy."""

        def draw_rows(count: int, attempt: int) -> tuple[Arrays, Arrays, Outcome]:
            batch = first if attempt == 0 else self._draw_and_submit(count, [*entropy, attempt])
            outcome = self._gather(batch.tasks)
            costly = all(failure.costly for failure in outcome.failed.values())
            if attempt == 0 and costly and not self._shapes:
                # The very first draws: most likely all end so, and redraws would take hours.
                self.policy.raise_failure(outcome.failed)
            return batch.parameters, batch.context, outcome

        drawn = self.policy.draw(n, draw_rows)
        if self.declared.missing:
            seed = seeds.fold_in(tensor_state([*entropy, 0]), 2)
            lost = lose_values(drawn.observables, self.declared.missing, seed)
            observables = {name: value.numpy() for name, value in lost.items()}
            drawn = drawn._replace(observables=observables)
        return drawn

    def _sample_inputs(self, n: tf.Tensor, seed: tf.Tensor) -> tuple[Values, Values]:
        return self.declared.draw_inputs(n, seed, seeds.fold_in(seed, 1))

    def _draw_and_submit(self, n: int, entropy: list[int]) -> _Batch:
        """Draw parameters and context, and start their simulations."""
        inputs = self._draw_inputs(n, tensor_state([*entropy, 0]))
        parameters, context = map_tensors(lambda value: value.numpy(), inputs)
        return _Batch(parameters, context, self._submit(parameters, context, entropy))

    def _submit(self, parameters: Arrays, context: Arrays, entropy: list[int]) -> list[_Task]:
        """Start simulations in blocks, but for those that are kept."""
        n = count_rows(parameters)
        size = _BATCHED_BLOCK
        if not self.batched:
            soon = int(_SECONDS_OF_A_BLOCK / self._seconds) if self._seconds else n
            size = max(1, min(-(-n // (4 * self.workers)), soon))
        kept = {} if self.kept is None else self.kept.rows(entropy)
        tasks = []
        first = 0
        while first < n:
            end = min([first + size, n, *(place for place in kept if place > first)])
            if first in kept and first + kept[first] <= n:
                end = first + kept[first]
            block = slice(first, end)
            tasks.append(self._task(take(parameters, block), take(context, block), entropy, first))
            first = end
        return tasks

    def _task(self, parameters: Arrays, context: Arrays, entropy: list[int], first: int) -> _Task:
        """Return a block that is kept, or start it, to be kept when it is finished."""
        kept = self.kept
        inputs = parameters, context
        arguments = *inputs, [*entropy, 1], first
        if kept is None:
            return self._start(*arguments)
        if first in kept.rows(entropy) and (block := kept.read(entropy, first, *inputs)):
            future: Future[Outcome] = Future()
            future.set_result(block)
            return _Task(future, *arguments)
        task = self._start(*arguments)

        def keep(done: Future[Outcome]) -> None:
            if not done.cancelled() and done.exception() is None:
                block = done.result()
                if not block.failed or self.policy.redraws:
                    kept.keep(entropy, first, block, *inputs)

        task.future.add_done_callback(keep)
        return task

    def _start(self, *arguments: Any, alone: bool = False) -> _Task:
        limit = self.declared.time_limit
        future = self._start_block(*arguments, self.batched, limit, alone=alone)
        return _Task(future, *arguments)

    @ending_lone_workers()
    def _gather(self, tasks: list[_Task], display: Progress | None = None) -> Outcome:
        """Wait for blocks; return their rows as one, or those up to a failure that ends all."""
        parts: list[tuple[Arrays, _Task]] = []
        failed: dict[int, Failure] = {}
        rows = 0
        seconds = 0.0
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
            seconds += block.seconds
            if display is not None:
                display.update(rows)
            if failed and self.declared.on_nonfinite == "raise":
                for other in tasks:
                    other.future.cancel()
                break

        def call(part: int) -> str:
            return describe_call(*parts[part][1].at(0))

        self._seconds = seconds / max(rows, 1)
        # Those of the first draws, in front, are what all others must have.
        observables = combine([part for part, _ in parts], np.concatenate, call, self._shapes)
        self._shapes = self._shapes or {
            name: value.shape[1:] for name, value in observables.items()
        }
        return Outcome(rows, observables, failed, seconds)

    def _block(self, task: _Task) -> Outcome:
        """Wait for a block; redo it if its worker died, at last row by row, to find the culprit.

        The culprit may be in another block, or in another batch. So what is redone runs alone:
        otherwise, what happens to run at the same time would decide which rows fail.
        """
        with contextlib.suppress(BrokenExecutor):
            return self._result(task)
        entropy = task.entropy
        first = task.first
        if self.batched:
            # Rows share a generator: once more together.
            with contextlib.suppress(BrokenExecutor):
                return self._result(self._start(*task[1:], alone=True))
            # The generators of rows that are called by themselves, as in run_block.
            entropy = [*entropy, first]
            first = 0
        blocks = [self._row(*task.at(row), entropy, first + row) for row in range(task.rows)]
        failed = {row: block.failed[0] for row, block in enumerate(blocks) if block.failed}
        good = [row for row in range(task.rows) if row not in failed]

        def call(part: int) -> str:
            return describe_call(*task.at(good[part]))

        observables = combine([blocks[row].observables for row in good], np.concatenate, call)
        return Outcome(task.rows, observables, failed)

    def _result(self, task: _Task) -> Outcome:
        if self._client is not None:
            wait_on_cluster(task.future, self._client)
        return task.future.result()

    def _row(self, parameters: Arrays, context: Arrays, entropy: list[int], row: int) -> Outcome:
        """Run a row by itself; it has failed if its worker dies again."""
        try:
            return self._result(self._start(parameters, context, entropy, row, alone=True))
        except BrokenExecutor as error:
            reason = next(
                (line for line in str(error).splitlines() if "exit code" in line), str(error)
            )
            text = (
                f"a worker process that ended twice: {reason}: too little memory, or compiled "
                "code that crashes"
            )
            if self.declared.time_limit is not None and "EXIT(1)" in reason:
                text += f", or that goes on after the time limit of {self.declared.time_limit:g} s"
            call = describe_call(parameters, context, [*entropy, row])
            return Outcome(1, {}, {0: Failure(text, call, costly=True)})


class _Task(NamedTuple):
    """A block that a worker is busy with, and what it was given."""

    future: Future[Outcome]
    parameters: Arrays
    context: Arrays
    entropy: list[int]
    first: int

    @property
    def rows(self) -> int:
        return count_rows(self.parameters)

    def at(self, row: int) -> tuple[Arrays, Arrays]:
        """Return parameters and context (1, ...) of a row."""
        one = slice(row, row + 1)
        return take(self.parameters, one), take(self.context, one)


class _Batch(NamedTuple):
    """Parameters and context of simulations that workers are busy with."""

    parameters: Arrays
    context: Arrays
    tasks: list[_Task]
