"""Black-box simulators: NumPy functions run by worker processes that never import TensorFlow.

Loky's workers start clean: they don't run the user's script again, as the standard library's do. Every draw (or block,
when batched) has a generator of its own, a pure function of the seed and the row, so that workers don't change results.
"""

from __future__ import annotations

import atexit
import collections
import functools
import os
import sys
import threading
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import AnyRows
from bayesinn.core.errors import SimulatorError
from bayesinn.simulation.declaration import Declaration
from bayesinn.simulation.finite import finite_rows
from bayesinn.simulation.missing import lose_values
from bayesinn.simulation.prior import Values
from bayesinn.simulation.simulations import MOST_REDRAWS, Arrays, Simulations
from bayesinn.simulation.worker import combine, install, run_block

# Rows that share a generator when the function is batched: part of the definition of the random numbers.
_BATCHED_BLOCK = 256
_IDLE_SECONDS = 300


class PythonEngine:
    """Draws batches as NumPy arrays through worker processes; otherwise as :class:`TensorFlowEngine`."""

    def __init__(self, declared: Declaration, batched: bool, workers: int | None) -> None:
        self.declared, self.batched = declared, batched
        self.workers = workers or os.cpu_count() or 1
        self._payload = _pickle_by_value(declared)
        self._draw_inputs = AnyRows(self._sample_inputs, leading=(0, 0))

    def sample(self, n: int, seed: int, stream: str) -> Simulations:
        return self.submit(n, seeds.entropy(seed, stream)).result()

    def without_policy(self) -> PythonEngine:
        return PythonEngine(self.declared._replace(on_nonfinite="raise"), self.batched, self.workers)

    def predict(self, parameters: Arrays, context: Arrays, seed: int) -> Arrays:
        return self._gather(self._submit(parameters, context, seeds.entropy(seed, "predictive")))

    def submit(self, n: int, entropy: list[int]) -> PendingSimulations:
        """Start n simulations; a pure function of the entropy (see :func:`bayesinn.core.seeds.entropy`)."""
        parameters, context = tf.nest.map_structure(lambda value: value.numpy(), self._draw_inputs(n, _state(entropy)))
        return PendingSimulations(self, entropy, parameters, context, self._submit(parameters, context, entropy))

    def _sample_inputs(self, n: tf.Tensor, seed: tf.Tensor) -> tuple[Values, Values]:
        return self.declared.draw_inputs(n, seed, seeds.fold_in(seed, 1))

    def _submit(self, parameters: Arrays, context: Arrays, entropy: list[int]) -> list[Future[Arrays]]:
        n = len(next(iter(parameters.values())))
        size = _BATCHED_BLOCK if self.batched else max(1, -(-n // (4 * self.workers)))
        futures = []
        for start in range(0, n, size):
            block = tf.nest.map_structure(lambda value, start=start: value[start : start + size], (parameters, context))
            futures.append(self._submit_block(*block, [*entropy, 1], start, self.batched))
        return futures

    def _submit_block(self, *arguments: Any) -> Future[Arrays]:
        with _locks[os.getpid()]:
            try:
                return _pool(os.getpid(), self.workers, self._payload).submit(run_block, *arguments)
            except RuntimeError:  # the pool has died
                _pool.cache_clear()
                return _pool(os.getpid(), self.workers, self._payload).submit(run_block, *arguments)

    def _gather(self, futures: list[Future[Arrays]]) -> Arrays:
        try:
            return combine([future.result() for future in futures], np.concatenate)
        except BrokenExecutor as error:
            reason = next((line for line in str(error).splitlines() if "exit code" in line), str(error))
            subject, got = f"Simulator {self.declared.name!r}", f"a worker process that ended: {reason}"
            expected = "worker processes that live until they return a result"
            do = "look for too little memory or for compiled code that crashes: call the function in this process"
            raise SimulatorError(subject, expected=expected, got=got, do=do) from error


class PendingSimulations(NamedTuple):
    """Simulations that workers are busy with."""

    engine: PythonEngine
    entropy: list[int]
    parameters: Arrays
    context: Arrays
    futures: list[Future[Arrays]]

    def result(self) -> Simulations:
        """Wait, and replace failed simulations if that is the simulator's policy."""
        parameters, context, observables = self.parameters, self.context, self.engine._gather(self.futures)
        broken = self._broken_rows(observables, context)
        failed, attempt = len(broken), 1
        while self.engine.declared.on_nonfinite == "redraw" and len(broken) and attempt <= MOST_REDRAWS:
            again = self.engine.submit(len(broken), [*self.entropy, attempt])
            fresh = self.engine._gather(again.futures)
            for old, new in ((parameters, again.parameters), (context, again.context), (observables, fresh)):
                for name in old:
                    # Whole numbers in one batch may be floats in the next.
                    old[name] = old[name].astype(np.result_type(old[name], new[name]), copy=False)
                    old[name][broken] = new[name]
            still_broken = self._broken_rows(fresh, again.context)
            failed, attempt, broken = failed + len(still_broken), attempt + 1, broken[still_broken]
        if self.engine.declared.missing:
            seed = seeds.fold_in(_state(self.entropy), 2)
            lost = lose_values(observables, self.engine.declared.missing, seed)
            observables = {name: value.numpy() for name, value in lost.items()}
        return Simulations(parameters, context, observables, failed)

    def _broken_rows(self, observables: Arrays, context: Arrays) -> np.ndarray:
        good = finite_rows(observables, context, self.engine.declared)
        return np.flatnonzero(~np.all(list(good.values()), axis=0))


def _state(entropy: list[int]) -> np.ndarray:
    """Return TensorFlow's seed (2,) of some simulations."""
    return np.random.SeedSequence([*entropy, 0]).generate_state(2).astype(np.int32)


# A forked process has neither the workers of its parent nor the thread that may hold the parent's lock.
_locks: collections.defaultdict[int, threading.Lock] = collections.defaultdict(threading.Lock)


@functools.lru_cache(maxsize=4)
def _pool(process: int, workers: int, payload: bytes) -> Executor:
    """Return a process's pool for a function, which each worker receives once. A dropped pool ends its work first."""
    import loky

    # Any later, loky would complain of modules that are already unloaded.
    atexit.register(_pool.cache_clear)
    # Loky's own reusable executor is one per thread, and tf.data calls generators from ever new threads.
    return loky.ProcessPoolExecutor(workers, timeout=_IDLE_SECONDS, initializer=install, initargs=(payload,))


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
