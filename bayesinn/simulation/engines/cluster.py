"""Python simulators on the workers of a Dask cluster.

The workers run the same code as local worker processes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future
from typing import TYPE_CHECKING, Any

from bayesinn.core.errors import InputError, SimulatorError
from bayesinn.core.warning import warn
from bayesinn.simulation.engines.outcome import Outcome
from bayesinn.simulation.engines.workers import start

if TYPE_CHECKING:
    from distributed import Client

_SECONDS_TO_CONNECT = 15
_SECONDS_BETWEEN_LOOKS = 5.0
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
    """Starts blocks of simulations on a cluster.

    It works as :func:`bayesinn.simulation.engines.workers.start` does here.
    """

    def __init__(self, client: Client, payload: bytes) -> None:
        # Sent once to each worker, not with each block. Results of tasks are made again if their
        # worker is lost.
        with _explained():
            self._client = client
            self._payload = client.submit(bytes, payload, pure=False)

    def __call__(self, *task: Any, alone: bool = False) -> Future[Outcome]:
        with _explained():
            future = self._client.submit(
                run_remotely, self._payload, *task, alone=alone, pure=False
            )
            return RemoteFuture(self._client, future)


class RemoteFuture(Future[Outcome]):
    """The future of a block, with the errors of a local one."""

    def __init__(self, client: Client, future: Any) -> None:
        super().__init__()
        self._client = client
        self._future = future

    def cancel(self) -> bool:
        self._future.cancel()
        return True

    def result(self, timeout: float | None = None) -> Outcome:
        """Wait for the block; a BrokenExecutor says that worker after worker died of it.

        The block is simulated as soon as there is a worker. While there is none, a warning says
        what is waited for.
        """
        from distributed import KilledWorker

        try:
            with _explained():
                return self._patient_result() if timeout is None else self._future.result(timeout)
        except RuntimeError as error:
            # A BrokenExecutor is one, too: that of the process beside a worker of the cluster.
            if "deserialization" not in str(error):
                raise
            raise SimulatorError(
                "Dask cluster",
                expected="bayesinn on scheduler and workers",
                got=str(error.__cause__ or error),
                do="install the same bayesinn on all machines",
            ) from error
        except KilledWorker as error:
            raise BrokenExecutor(f"workers of the cluster ended: {error}") from error

    def _patient_result(self) -> Outcome:
        while True:
            try:
                return self._future.result(_SECONDS_BETWEEN_LOOKS)
            except TimeoutError:
                if self._future.done():
                    # Done just now, or the error is one of the block itself.
                    return self._future.result()
            _warn_without_workers(self._client)


def _warn_without_workers(client: Client) -> None:
    """Say so if a cluster has no worker that could do what is waited for."""
    workers = len(client.nthreads())
    if not workers and client.scheduler is not None:
        address = client.scheduler.address
        warn(
            f"waiting for a worker: the Dask cluster at {address} has {workers} workers now. "
            "Simulations go on as soon "
            f"as there is one: dask worker {address}",
        )


def run_remotely(payload: bytes, *task: Any, alone: bool = False) -> Outcome:
    """Run a block on a worker of the cluster, in its own process, which may time out or crash.

    Threads of the worker share these processes. One that runs blocks ``alone`` is kept for more of
    them, and ends when it has been idle.
    """
    from distributed import get_worker

    # Dask's workers are daemons, which multiprocessing lets have no children. Ours end with their
    # parent by themselves.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    return start(get_worker().state.nthreads, payload, *task, alone=alone).result()
