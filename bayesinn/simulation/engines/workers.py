"""Pools of worker processes, shared by all threads of a process, and how they end.

Loky's workers start clean: they don't run the user's script again, as the standard library's do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Any

import cloudpickle

from bayesinn.core.errors import SimulatorError
from bayesinn.core.interrupts import interrupts, owns_interrupts
from bayesinn.simulation.engines.constants import innermost
from bayesinn.simulation.engines.outcome import Outcome
from bayesinn.simulation.engines.processes import end_group
from bayesinn.simulation.engines.worker import install, run_block

_IDLE_SECONDS = 300
_MOST_POOLS = 4
_WARNINGS = "PYTHONWARNINGS"
# A forked process has neither the workers of its parent nor the thread that may hold the parent's
# lock.
_locks: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
#: The thread of pools that all threads share.
_SHARED = 0
#: All pools that still do something, and the process that started them.
_started: weakref.WeakKeyDictionary[Executor, int] = weakref.WeakKeyDictionary()
#: Folders of programs, by process.
_folders: dict[int, tempfile.TemporaryDirectory[str]] = {}
_SECONDS_BETWEEN_LOOKS = 0.1
#: By process, number of workers, function and thread, the last used last.
_pools: dict[tuple[int, int, bytes, int], Executor] = {}


def start(workers: int, payload: bytes, *task: Any, alone: bool = False) -> Future[Outcome]:
    """Let a worker run a block: one of those that have the function, received once by each.

    A worker that ends breaks its pool, with all blocks that run or wait there. What is to tell
    whether it ends its worker runs ``alone``: in a pool of one worker that no other thread uses,
    see :func:`ending_lone_workers`.
    """
    import loky

    if alone:
        workers = 1
    key = (os.getpid(), workers, payload, threading.get_ident() if alone else _SHARED)
    future = None
    with _locks[os.getpid()]:
        # Loky's own reusable executor is one per thread, and tf.data calls generators from ever new
        # threads.
        pool = _pools.pop(key, None)
        if pool is not None:
            # One whose workers died takes no more.
            with contextlib.suppress(RuntimeError):
                future = pool.submit(run_block, *task)
        if pool is None or future is None:
            start_tracker()
            given = {"initializer": install, "initargs": (payload, os.getpid(), _folder())}
            pool = loky.ProcessPoolExecutor(workers, timeout=_IDLE_SECONDS, **given)
            future = pool.submit(run_block, *task)
            _started[pool] = os.getpid()
            watch = threading.Thread(
                target=_watch, args=(weakref.ref(pool), pool._processes), daemon=True
            )
            watch.start()
            # After loky's own for this pool, and therefore called before it: that one waits for
            # workers that are busy.
            threading._register_atexit(end_workers)  # type: ignore[attr-defined]
        _pools[key] = pool
        while len(_pools) > _MOST_POOLS:
            # A pool that is dropped ends its work first.
            del _pools[next(iter(_pools))]
    return future


@contextlib.contextmanager
def ending_lone_workers() -> Iterator[None]:
    """End the workers that this thread has for itself when all is done; also a decorator."""
    try:
        yield
    finally:
        own = (os.getpid(), threading.get_ident())
        with _locks[os.getpid()]:
            pools = [_pools.pop(key) for key in list(_pools) if (key[0], key[3]) == own]
        for pool in pools:
            # They are idle: nothing waits for them, be it threads that a simulator has left.
            pool.shutdown(wait=False, kill_workers=True)  # type: ignore[call-arg]


def _folder() -> str:
    """Return this process's folder for those of programs, which is removed when it ends."""
    with contextlib.suppress(KeyError):
        return _folders[os.getpid()].name
    folder = tempfile.TemporaryDirectory(prefix="bayesinn-", ignore_cleanup_errors=True)
    return _folders.setdefault(os.getpid(), folder).name


def _watch(pool: weakref.ref[Executor], processes: dict[int, Any]) -> None:
    """End what workers leave that have ended, such as processes that a simulator has started.

    These keep the pipe open by whose end loky knows that a worker has ended.
    """
    seen: set[int] = set()
    while seen or pool() is not None:
        now = set(processes.copy())
        for worker in seen - now:
            end_group(worker)
        seen = now
        for worker in seen:
            # Until loky has asked, too, no other process has its number. One that was stopped
            # would never go on.
            kinds = os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT
            with contextlib.suppress(ChildProcessError):
                if os.waitid(os.P_PID, worker, kinds) is not None:
                    end_group(worker)
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def start_tracker() -> None:
    """Start loky's process that removes semaphores, without its warnings.

    The process removes the semaphores that a killed run leaves, and would warn of them.
    """
    from loky.backend import resource_tracker

    before = os.environ.get(_WARNINGS)
    ours = "ignore:resource_tracker:UserWarning"
    os.environ[_WARNINGS] = f"{before},{ours}" if before else ours
    try:
        resource_tracker.ensure_running()
    finally:
        del os.environ[_WARNINGS]
        if before is not None:
            os.environ[_WARNINGS] = before


def pickled_by_value(simulator: str, function: Any) -> bytes:
    """Pickle the function itself, not the name of its module.

    Each worker would have to import the module, and TensorFlow with it.
    """
    name = innermost(function).__module__
    module = sys.modules.get(name)
    by_value = module is not None and name != "__main__"
    if by_value:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(function)
    except Exception as error:
        raise SimulatorError(
            f"Function of simulator {simulator!r}",
            expected="a function that can be sent to other processes",
            got=f"{type(error).__name__}: {error}",
            do="open files and locks inside the function",
        ) from error
    finally:
        if by_value:
            cloudpickle.unregister_pickle_by_value(module)


def end_workers() -> None:
    """End all workers of this process at once, whatever they are busy with."""
    with _locks[os.getpid()]:
        for key in [key for key in _pools if key[0] == os.getpid()]:
            del _pools[key]
        # Also those that were dropped, and end their work.
        own = [pool for pool, process in _started.items() if process == os.getpid()]
    for pool in own:
        workers = list(pool._processes or ())  # type: ignore[attr-defined]
        pool.shutdown(kill_workers=True)  # type: ignore[call-arg]
        for worker in workers:
            end_group(worker)


@contextlib.contextmanager
def on_interrupt(end: Callable[[], None]) -> Iterator[None]:
    """Call a function on Ctrl-C at once, inside a ``with`` block that waits in compiled code.

    The function ends what the block waits for. Python would raise the KeyboardInterrupt only when
    the compiled code returns.
    """
    if not owns_interrupts():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def watch() -> None:
        while number := os.read(reader, 1):
            if before != -1:
                os.write(before, number)
            if interrupts(number[0]):
                end()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)
        thread.join()
        os.close(reader)
