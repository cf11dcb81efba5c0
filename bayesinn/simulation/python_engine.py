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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import AnyRows
from bayesinn.core.errors import SimulatorError
from bayesinn.core.progress import Progress
from bayesinn.simulation.cluster import RemoteWorkers, count_threads
from bayesinn.simulation.declaration import Declaration
from bayesinn.simulation.finite import finite_rows
from bayesinn.simulation.missing import lose_values
from bayesinn.simulation.prior import Values
from bayesinn.simulation.simulations import MOST_REDRAWS, Arrays, Repeated, Simulations, take
from bayesinn.simulation.worker import (
    Block,
    Failure,
    combine,
    describe_call,
    with_failures,
    with_others,
)
from bayesinn.simulation.workers import end_workers, pickled_by_value, start

if TYPE_CHECKING:
    from distributed import Client

# Rows that share a generator when the function is batched: part of the definition of the random
# numbers.
_BATCHED_BLOCK = 256
_SECONDS_BEFORE_PROGRESS = 2.0


class PythonEngine:
    """Draws batches as NumPy arrays through worker processes; else as :class:`TensorFlowEngine`.

    A simulation that raises has failed like one that is not finite. ``keeps_failed`` leaves both in
    place, as NaN; as infinity where NaN stands for a missing value.
    """

    def __init__(
        self, declared: Declaration, batched: bool, workers: int | None, keeps_failed: bool = False
    ) -> None:
        self.declared = declared
        self.batched = batched
        self.keeps_failed = keeps_failed
        self.workers = workers or os.cpu_count() or 1
        self._mark = np.nan if declared.missing is None else np.inf
        self._payload = pickled_by_value(declared.name, declared.function)
        self._start_block: Callable[..., Future[Block]] = functools.partial(
            start, self.workers, self._payload
        )
        self._shapes: dict[str, tuple[int, ...]] = {}
        #: Why a simulation failed, the last one that did, and how it was called.
        self.failure = ""
        self._draw_inputs = AnyRows(self._sample_inputs, leading=(0, 0))

    def start(self, n: int, seed: int, stream: str, *keys: int) -> Callable[[], Simulations]:
        return self.submit(n, seeds.entropy(seed, stream, *keys)).result

    def sample(self, n: int, seed: int, stream: str, *keys: int) -> Simulations:
        return self.start(n, seed, stream, *keys)()

    def on_cluster(self, client: Client) -> PythonEngine:
        """Return an engine whose workers are those of a Dask cluster; it gives the same results."""
        engine = copy.copy(self)
        engine.workers = count_threads(client)
        engine._start_block = RemoteWorkers(client, self._payload)
        return engine

    def without_policy(self) -> PythonEngine:
        engine = copy.copy(self)
        engine.declared = self.declared._replace(on_nonfinite="raise", most_failures=None)
        engine.keeps_failed = True
        return engine

    def repeat(self, parameters: Arrays, context: Arrays, seed: int) -> Repeated:
        engine = self.without_policy()
        tasks = engine._submit(parameters, context, seeds.entropy(seed, "identity"))
        block = engine._gather(tasks)
        kinds = dict.fromkeys(block.failed, "raised")
        kinds |= {row: "costly" for row, failure in block.failed.items() if failure.costly}
        rows = len(next(iter(parameters.values())))
        return Repeated(rows, with_others(block, rows), kinds, block.seconds)

    def predict(
        self, parameters: Arrays, context: Arrays, seed: int, progress: bool = False
    ) -> Arrays:
        rows = len(next(iter(parameters.values())))
        tasks = self._submit(parameters, context, seeds.entropy(seed, "predictive"))
        with Progress(
            "simulating", rows, "simulations", shown=progress, delay=_SECONDS_BEFORE_PROGRESS
        ) as display:
            block = self._gather(tasks, display)
        return with_failures(block, rows, self._mark)

    def submit(self, n: int, entropy: list[int]) -> PendingSimulations:
        """Start n simulations: a pure function of entropy (:func:`bayesinn.core.seeds.entropy`)."""
        parameters, context = tf.nest.map_structure(
            lambda value: value.numpy(), self._draw_inputs(n, _state(entropy))
        )
        return PendingSimulations(
            self, entropy, parameters, context, self._submit(parameters, context, entropy)
        )

    def _sample_inputs(self, n: tf.Tensor, seed: tf.Tensor) -> tuple[Values, Values]:
        return self.declared.draw_inputs(n, seed, seeds.fold_in(seed, 1))

    def _submit(self, parameters: Arrays, context: Arrays, entropy: list[int]) -> list[_Task]:
        n = len(next(iter(parameters.values())))
        size = _BATCHED_BLOCK if self.batched else max(1, -(-n // (4 * self.workers)))
        blocks = [slice(first, first + size) for first in range(0, n, size)]
        return [
            self._start(take(parameters, b), take(context, b), [*entropy, 1], b.start)
            for b in blocks
        ]

    def _start(self, *arguments: Any) -> _Task:
        return _Task(
            self._start_block(*arguments, self.batched, self.declared.time_limit), *arguments
        )

    def _gather(self, tasks: list[_Task], display: Progress | None = None) -> Block:
        """Wait for blocks; return their rows as one, or raise for the first that failed.

        It raises if that is the policy.
        """
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
            if failed and self.declared.on_nonfinite == "raise" and not self.keeps_failed:
                for other in tasks:
                    other.future.cancel()
                raise self._error(failed)
            rows += task.rows
            seconds += block.seconds
            if display is not None:
                display.update(rows)

        call = lambda part: describe_call(*parts[part][1].at(0))  # noqa: E731
        # Those of the first draws, in front, are what all others must have.
        observables = combine([part for part, _ in parts], np.concatenate, call, self._shapes)
        self._shapes = self._shapes or {
            name: value.shape[1:] for name, value in observables.items()
        }
        return Block(observables, failed, seconds)

    def _block(self, task: _Task) -> Block:
        """Wait for a block; redo it if its worker died, at last row by row, to find the culprit."""
        with contextlib.suppress(BrokenExecutor):
            return task.future.result()
        entropy = task.entropy
        first = task.first
        if self.batched:
            # Rows share a generator, and the culprit may be in another block: once more together.
            with contextlib.suppress(BrokenExecutor):
                return self._start(*task[1:]).future.result()
            # The generators of rows that are called by themselves, as in run_block.
            entropy = [*entropy, first]
            first = 0
        blocks = [self._row(*task.at(row), entropy, first + row) for row in range(task.rows)]
        failed = {row: block.failed[0] for row, block in enumerate(blocks) if block.failed}
        kept = [row for row in range(task.rows) if row not in failed]
        observables = [blocks[row].observables for row in kept]
        call = lambda part: describe_call(*task.at(kept[part]))  # noqa: E731
        return Block(combine(observables, np.concatenate, call), failed)

    def _row(self, parameters: Arrays, context: Arrays, entropy: list[int], row: int) -> Block:
        """Run a row by itself; it has failed if its worker dies again."""
        try:
            return self._start(parameters, context, entropy, row).future.result()
        except BrokenExecutor as error:
            reason = next(
                (line for line in str(error).splitlines() if "exit code" in line), str(error)
            )
            text = (
                f"a worker process that ended twice: {reason}: too little memory, or compiled "
                f"code that crashes"
            )
            if self.declared.time_limit is not None and "EXIT(1)" in reason:
                text += f", or that goes on after the time limit of {self.declared.time_limit:g} s"
            call = describe_call(parameters, context, [*entropy, row])
            return Block({}, {0: Failure(text, call, costly=True)})

    def _error(self, failed: dict[int, Failure], redraws: int = 0) -> SimulatorError:
        row, failure = next(iter(failed.items()))
        subject = f"Simulation of row {row} of simulator {self.declared.name!r}"
        do = "correct it, or declare on_nonfinite='redraw' to draw such rows again"
        if self.declared.on_nonfinite == "redraw":
            subject = f"{subject}, after {redraws} redraws"
            do = "correct it, or narrow the prior"
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

    def at(self, row: int) -> tuple[Arrays, Arrays]:
        """Return parameters and context (1, ...) of a row."""
        one = slice(row, row + 1)
        return take(self.parameters, one), take(self.context, one)


class PendingSimulations(NamedTuple):
    """Simulations that workers are busy with."""

    engine: PythonEngine
    entropy: list[int]
    parameters: Arrays
    context: Arrays
    tasks: list[_Task]

    def result(self) -> Simulations:
        """Wait, and replace failed simulations if that is the simulator's policy."""
        engine = self.engine
        policy = self.engine.declared.on_nonfinite
        parameters = self.parameters
        context = self.context
        block = engine._gather(self.tasks)
        rows = len(next(iter(parameters.values())))
        observables = (
            with_failures(block, rows, engine._mark)
            if engine.keeps_failed
            else with_others(block, rows)
        )
        if (
            policy == "redraw"
            and not engine._shapes
            and all(failure.costly for failure in block.failed.values())
        ):
            # The very first draws: most likely all end so, and redraws would take hours to tell.
            raise engine._error(block.failed)
        broken = self._broken_rows(block, observables, context, rows)
        failed = len(broken)
        attempt = 1
        in_block = broken
        while policy == "redraw" and len(broken) and attempt <= MOST_REDRAWS:
            engine.failure = self._describe(block.failed.get(int(in_block[0])), int(broken[0]))
            engine.declared.check_failures(rows - len(broken), failed, engine.failure)
            again = engine.submit(len(broken), [*self.entropy, attempt])
            block = engine._gather(again.tasks)
            fresh = with_others(block, len(broken))
            # If no row has given a result yet, all are broken.
            observables = observables or {name: value.copy() for name, value in fresh.items()}
            for old, new in (
                (parameters, again.parameters),
                (context, again.context),
                (observables, fresh),
            ):
                for name, value in new.items():
                    # Whole numbers in one batch may be floats in the next.
                    old[name] = old[name].astype(np.result_type(old[name], value), copy=False)
                    old[name][broken] = value
            in_block = self._broken_rows(block, fresh, again.context, len(broken))
            failed = failed + len(in_block)
            attempt = attempt + 1
            broken = broken[in_block]
        if block.failed and not engine.keeps_failed:
            raise engine._error(block.failed, attempt - 1)
        if engine.declared.missing:
            seed = seeds.fold_in(_state(self.entropy), 2)
            lost = lose_values(observables, engine.declared.missing, seed)
            observables = {name: value.numpy() for name, value in lost.items()}
        return Simulations(parameters, context, observables, failed)

    def _describe(self, failure: Failure | None, row: int) -> str:
        if failure is not None:
            return f"{failure.error}, called with {failure.call}"
        parameters, context = (
            {name: value[row].tolist() for name, value in part.items()} for part in self[2:4]
        )
        return f"NaN or infinity, called with {describe_call(parameters, context)}"

    def _broken_rows(
        self, block: Block, observables: Arrays, context: Arrays, rows: int
    ) -> np.ndarray:
        good = np.ones(rows, bool)
        good[list(block.failed)] = False
        finite = finite_rows(observables, context, self.engine.declared)
        return np.flatnonzero(~np.all([good, *finite.values()], axis=0))


def _state(entropy: list[int]) -> np.ndarray:
    """Return TensorFlow's seed (2,) of some simulations."""
    return np.random.SeedSequence([*entropy, 0]).generate_state(2).astype(np.int32)
