"""Pools of worker processes, here and on a Dask cluster, and how they end.

Loky's workers start clean: they don't run the user's script again, as the standard library's do.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, wait
from typing import TYPE_CHECKING, Any

import cloudpickle

from bayesinn.core.errors import InputError, SimulatorError, warn
from bayesinn.core.process import interrupts, owns_interrupts
from bayesinn.simulation.engines.constants import innermost
from bayesinn.simulation.engines.program import end_group
from bayesinn.simulation.engines.worker import Outcome, install, run_block

if TYPE_CHECKING:
    from distributed import Client


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
            options = {"initializer": install, "initargs": (payload, os.getpid(), _folder())}
            pool = loky.ProcessPoolExecutor(workers, timeout=_IDLE_SECONDS, **options)
            future = pool.submit(run_block, *task)
            _started[pool] = os.getpid()
            watch = threading.Thread(
                target=_watch, args=(weakref.ref(pool), pool._processes), daemon=True
            )
            watch.start()
            # After loky's own for this pool, and therefore called before it: that one waits for
            # workers that are busy, while the main thread still counts as alive. There is no public
            # function that comes early enough.
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
        place = (os.getpid(), threading.get_ident())
        with _locks[os.getpid()]:
            pools = [_pools.pop(key) for key in list(_pools) if (key[0], key[3]) == place]
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
    if not hasattr(os, "waitid"):  # Windows
        return
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
        # Also those that were dropped, and end their work. First: a pool that nobody holds any more
        # is known to nobody, and its workers do all that they were given.
        own = [pool for pool, process in _started.items() if process == os.getpid()]
        for key in [key for key in _pools if key[0] == os.getpid()]:
            del _pools[key]
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


# Python simulators on the workers of a Dask cluster.
#
# The workers run the same code as local worker processes.

_SECONDS_TO_CONNECT = 15
_SECONDS_BETWEEN_POLLS = 5.0
_INSTALL = "install bayesinn[cluster]"


@contextlib.contextmanager
def connected(cluster: str | Client) -> Iterator[Client]:
    """Give the client of a cluster; if opened here, from an address, close it at the end."""
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError(
            "Argument 'cluster'", expected="the package distributed", got="none", do=_INSTALL
        ) from error
    if isinstance(cluster, Client):
        yield cluster
        return
    if not isinstance(cluster, str):
        raise InputError(
            "Argument 'cluster'",
            expected="the address of a Dask scheduler, or a distributed.Client",
            got=repr(cluster),
            do='pass for example "tcp://host:8786"',
        )
    try:
        client = Client(cluster, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    # Whatever a protocol raises: for "tls://" without certificates, for example, a TypeError.
    except Exception as error:
        expected = "the address of a Dask scheduler"
        do = "start one: dask scheduler; then dask worker ADDRESS"
        if cluster.startswith(("tls:", "wss:")):
            do = (
                "pass a distributed.Client(address, security=...) with your certificates, or set "
                "those of Dask"
            )
        raise InputError(
            "Argument 'cluster'",
            expected=expected,
            got=f"{cluster!r}: {type(error).__name__}: {error}",
            do=do,
        ) from error
    with client:
        yield client


def count_threads(client: Client) -> int:
    """Return how many simulations run at a time; raise if there is no worker."""
    with _explained():
        threads = sum(client.nthreads().values())
    if not threads:
        raise InputError(
            "Argument 'cluster'",
            expected="a scheduler with workers",
            got="no worker",
            do="start some: dask worker ADDRESS",
        )
    return threads


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Raise a SimulatorError if the scheduler is lost."""
    from distributed import CancelledError as Cancelled

    try:
        yield
    except (Cancelled, CancelledError, OSError) as error:
        raise SimulatorError(
            "Dask cluster",
            expected="a scheduler that lives",
            got=f"{type(error).__name__}: {error}",
            do="start it again, and give the same command: what is finished is kept",
        ) from error


class RemoteWorkers:
    """Starts blocks of simulations on a cluster, as :func:`start` does here."""

    def __init__(self, client: Client, payload: bytes) -> None:
        # Sent once to each worker, not with each block. Results of tasks are made again if their
        # worker is lost.
        with _explained():
            self._client = client
            self._payload = client.submit(bytes, payload, pure=False)

    def __call__(self, *task: Any, alone: bool = False) -> Future[Outcome]:
        """Let a worker run a block as soon as there is one."""
        with _explained():
            there = self._client.submit(run_remotely, self._payload, *task, alone=alone, pure=False)
        here: Future[Outcome] = Future()
        here.add_done_callback(lambda done: there.cancel() if done.cancelled() else None)
        there.add_done_callback(functools.partial(_fetch, here))
        return here


def _fetch(here: Future[Outcome], there: Any) -> None:
    """Take the result of a block from a cluster, or its error as a local worker has it.

    A BrokenExecutor says that worker after worker died of it.
    """
    from distributed import KilledWorker

    error: Exception | None = None
    try:
        with _explained():
            block = there.result()
    except KilledWorker as killed:
        error = BrokenExecutor(f"workers of the cluster ended: {killed}")
    except Exception as failed:
        error = failed
        # A BrokenExecutor is a RuntimeError, too: that of the process beside a worker.
        if isinstance(failed, RuntimeError) and "deserialization" in str(failed):
            error = SimulatorError(
                "Dask cluster",
                expected="bayesinn on scheduler and workers",
                got=str(failed.__cause__ or failed),
                do="install the same bayesinn on all machines",
            )
    if here.cancelled():
        return
    if error is None:
        here.set_result(block)
    else:
        here.set_exception(error)


def wait_on_cluster(future: Future[Outcome], client: Client) -> None:
    """Wait for a block; a warning says so while there is no worker that could run it."""
    while not wait([future], _SECONDS_BETWEEN_POLLS).done:
        with _explained():
            workers = len(client.nthreads())
        if not workers and client.scheduler is not None:
            address = client.scheduler.address
            warn(
                f"waiting for a worker: the Dask cluster at {address} has 0 workers now. "
                f"Simulations go on as soon as there is one: dask worker {address}",
            )


def run_remotely(payload: bytes, *task: Any, alone: bool = False) -> Outcome:
    """Run a block on a worker of the cluster, in its own process, which may time out or crash.

    Threads of the worker share these processes. One that runs blocks ``alone`` is kept for more of
    them, and ends when it has been idle.
    """
    from distributed import get_worker

    # Dask's workers are daemons, which multiprocessing lets have no children. Ours end with their
    # parent by themselves.
    multiprocessing.current_process().daemon = False
    return start(get_worker().state.nthreads, payload, *task, alone=alone).result()
