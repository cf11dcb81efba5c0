"""Black-box simulators: NumPy functions run by worker processes that never import TensorFlow.

The processes come from loky, an executor with the interface of ``concurrent.futures`` whose workers start clean: they
don't run the user's script again, as the standard library's spawned workers do. Every draw (or block of draws, when
batched) has a random generator of its own, a pure function of the seed and the row, so that results depend neither on
the number of workers nor on which worker runs what.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import cloudpickle
import loky
import numpy as np
import tensorflow as tf

from bayesinn.core.compilation import AnyRows
from bayesinn.simulation.declaration import Declaration
from bayesinn.simulation.finite import finite_rows
from bayesinn.simulation.simulations import Simulations
from bayesinn.simulation.worker import combine, run_block

# Rows that share a generator when the function is batched: part of the definition of the random numbers.
_BATCHED_BLOCK = 256
_MOST_REDRAWS = 100
_IDLE_SECONDS = 300

Arrays = dict[str, np.ndarray]


class PythonEngine:
    """Draws batches as NumPy arrays through worker processes."""

    def __init__(self, declared: Declaration, batched: bool, workers: int | None) -> None:
        self.declared = declared
        self.batched = batched
        self.workers = workers or os.cpu_count() or 1
        self._payload = _pickle_by_value(declared.function)
        self._draw_inputs = AnyRows(self._sample_inputs, leading=(0, 0))

    def submit(self, n: int, entropy: list[int]) -> PendingSimulations:
        """Start n simulations; a pure function of the entropy (see :func:`bayesinn.core.seeds.entropy`)."""
        state = np.random.SeedSequence([*entropy, 0]).generate_state(2).astype(np.int32)
        parameters, context = tf.nest.map_structure(lambda value: value.numpy(), self._draw_inputs(n, state))
        return PendingSimulations(self, entropy, parameters, context, self._submit_rows(parameters, context, entropy))

    def draw(self, n: int, entropy: list[int]) -> Simulations:
        """Draw n simulations and wait for them."""
        return self.submit(n, entropy).result()

    def simulate(self, parameters: Arrays, context: Arrays | None, entropy: list[int]) -> Arrays:
        """Run the forward model for given parameters (n, *event)."""
        return _gather(self._submit_rows(parameters, context or {}, entropy))

    def _submit_rows(self, parameters: Arrays, context: Arrays, entropy: list[int]) -> list[Future[Arrays]]:
        n = len(next(iter(parameters.values())))
        block = _BATCHED_BLOCK if self.batched else max(1, -(-n // (4 * self.workers)))
        futures = []
        for start in range(0, n, block):
            rows = slice(start, min(start + block, n))
            part = {key: value[rows] for key, value in parameters.items()}
            given = {key: value[rows] for key, value in context.items()} if self.declared.context is not None else None
            futures.append(_submit(self.workers, self._payload, part, given, [*entropy, 1], start, self.batched))
        return futures

    def _sample_inputs(self, n: tf.Tensor, seed: tf.Tensor) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        context_seed = tf.random.experimental.stateless_fold_in(seed, 1, alg="philox")
        prior, context = self.declared.prior, self.declared.context
        return prior.sample(n, seed), {} if context is None else context.sample(n, context_seed)


class PendingSimulations:
    """Simulations that workers are busy with."""

    def __init__(
        self,
        engine: PythonEngine,
        entropy: list[int],
        parameters: Arrays,
        context: Arrays,
        futures: list[Future[Arrays]],
    ) -> None:
        self._engine = engine
        self._entropy = entropy
        self._parameters = parameters
        self._context = context
        self._futures = futures

    def result(self) -> Simulations:
        """Wait, and replace what is not finite if that is the simulator's policy."""
        parameters, context, observables = self._parameters, self._context, _gather(self._futures)
        broken = self._broken_rows(observables, context)
        failed = len(broken)
        attempt = 1
        while self._engine.declared.redraw and len(broken) and attempt < _MOST_REDRAWS:
            again = self._engine.submit(len(broken), [*self._entropy, attempt])
            fresh = _gather(again._futures)
            for old, new in ((parameters, again._parameters), (context, again._context), (observables, fresh)):
                for name in old:
                    # Whole numbers in one batch may be floats in the next.
                    old[name] = old[name].astype(np.result_type(old[name], new[name]), copy=False)
                    old[name][broken] = new[name]
            still_broken = self._broken_rows(fresh, again._context)
            failed += len(still_broken)
            broken = broken[still_broken]
            attempt += 1
        return Simulations(parameters, context, observables, failed)

    def _broken_rows(self, observables: Arrays, context: Arrays) -> np.ndarray:
        good = finite_rows(observables, context, self._engine.declared.lengths)
        return np.flatnonzero(~np.all(list(good.values()), axis=0))


_executors: dict[int, Executor] = {}
_executors_lock = threading.Lock()


def _submit(workers: int, *arguments: Any) -> Future[Arrays]:
    """Submit a block to the one pool of so many workers; to a new one if that has died.

    Loky's own reusable executor is one per thread, and tf.data calls generators from ever new threads.
    """
    with _executors_lock:
        try:
            return _executors[workers].submit(run_block, *arguments)
        except (KeyError, RuntimeError):
            _executors[workers] = loky.ProcessPoolExecutor(max_workers=workers, timeout=_IDLE_SECONDS)
            return _executors[workers].submit(run_block, *arguments)


def _gather(futures: list[Future[Arrays]]) -> Arrays:
    blocks = [future.result() for future in futures]
    return combine(blocks, np.concatenate)


def _pickle_by_value(function: Callable[..., Any]) -> bytes:
    """The function itself, not the name of its module: importing that would bring TensorFlow into each worker."""
    module = sys.modules.get(function.__module__)
    if module is None or function.__module__ == "__main__":
        return cloudpickle.dumps(function)
    cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(function)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
