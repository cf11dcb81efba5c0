"""Write simulation banks by chunks, each a pure function of simulator, seed and number.

The number is that of the chunk.
"""

from __future__ import annotations

import copy
import math
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from bayesinn.core.errors import BankError, InputError
from bayesinn.core.progress import Progress, duration
from bayesinn.core.seeds import check_seed
from bayesinn.core.validation import check_flag, check_integer, check_type
from bayesinn.simulation import bank_identity, checks
from bayesinn.simulation.bank import Bank
from bayesinn.simulation.bank_store import (
    BankStore,
    Variable,
    check_location,
    foreign_files,
    open_group,
    refuse_foreign_files,
)
from bayesinn.simulation.bank_variables import bank_coordinates, bank_variables
from bayesinn.simulation.cluster import connected
from bayesinn.simulation.identity_rows import once
from bayesinn.simulation.python_engine import PythonEngine
from bayesinn.simulation.simulations import Simulations
from bayesinn.simulation.simulator import Simulator

if TYPE_CHECKING:
    from distributed import Client

_CHUNK_BYTES = 8 * 2**20
_MOST_ROWS = 65_536
_FEWEST_ROWS = 16
_FEWEST_ROWS_IN_GRAPH = 1_024
_FEW_CHUNKS = 64
_MOST_CHUNKS = 100_000
_CHUNKS_IN_A_GROUP = 16
_SECONDS_WORTH_TELLING = 5.0


def simulate(
    simulator: Simulator,
    n: int,
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    chunk: int | None = None,
    cluster: str | Client | None = None,
    check_simulator: bool = True,
    progress: bool = True,
) -> Bank:
    """Write simulations into a bank, or go on with one, after an interruption or to a larger ``n``.

    Finished chunks are kept, whatever ends the program. The result doesn't depend on interruptions,
    on the order of chunks, or on how many programs write at the same time: several may write into
    one bank beside each other.

    Parameters
    ----------
    simulator : Simulator
    n : int
        Number of simulations that the bank has in the end. One that has more keeps them.
    folder : path, or address
        Anything that fsspec knows: ``"bank"``, ``"s3://bucket/bank"``. It is created.
    seed : int
        Decides all simulations.
    chunk : int
        Simulations that are drawn, written and checked as a whole; fixed for the life of a bank. By
        default about 8 MB, and a 64th of ``n`` if that is less; at least 1,024 where simulations
        are drawn in the graph, else 16. All of a chunk is simulated, also where n is not a multiple
        of it.
    cluster : address of a Dask scheduler, or ``distributed.Client``
        Where a simulator in Python, or an external program, runs; by default in worker processes
        here. The result is the same. Workers need bayesinn, and what the simulator imports.
    check_simulator : bool
        Whether to keep a few rows in a new bank, one if that takes long, and to simulate those of
        an older bank again, to tell that the simulator is the one that made it. Without it, names
        and shapes alone must fit.
    progress : bool

    Returns
    -------
    Bank

    Raises
    ------
    BankError
        When the place holds something else, or a bank of another simulator, prior, seed or chunk;
        or when it has no room. What is finished stays.
    SimulatorError
        When simulations are not finite, as in :meth:`Simulator.sample`, or more fail than
        ``most_failures`` of the simulator. The same command goes on with a larger one.

    Examples
    --------
    >>> import tempfile
    >>> import bayesinn as bi
    >>> folder = tempfile.TemporaryDirectory()
    >>> len(bi.simulate(bi.get("linear"), 1_000, folder.name, seed=1, progress=False))
    1000
    >>> len(bi.simulate(bi.get("linear"), 3_000, folder.name, seed=1, progress=False))
    3000
    >>> folder.cleanup()
    """
    check_type(
        "Argument 'simulator'", simulator, Simulator, "a Simulator", "fetch one with bi.get(name)"
    )
    n = check_integer("Number of simulations", n, most=2**40)
    seed = check_seed(seed)
    check_flag("Argument 'progress'", progress)
    check_flag("Argument 'check_simulator'", check_simulator)
    given = n, folder, seed, chunk, progress
    if cluster is not None:
        with connected(cluster) as client:
            distributed = _on_cluster(simulator, client)
            return write_bank(distributed, *given, compared=check_simulator)[0]
    return write_bank(simulator, *given, compared=check_simulator)[0]


@once()
def write_bank(
    simulator: Simulator,
    n: int,
    folder: str | os.PathLike[str],
    seed: int,
    chunk: int | None,
    progress: bool,
    task: str = "simulating",
    marker: Mapping[str, str] | None = None,
    compared: bool = True,
) -> tuple[Bank, float]:
    """Write simulations into a bank; return it and the seconds one takes, NaN if too few.

    It is NaN if there was too little to do.

    A new bank has the ``marker`` among its attributes.
    """
    rows = None if chunk is None else check_integer("Argument 'chunk'", chunk)
    variables = bank_variables(simulator)
    place = check_location("Argument 'folder'", folder)
    store = _open_or_create(simulator, n, place, seed, rows, variables, marker or {}, compared)
    if -(-n // store.rows) > _MOST_CHUNKS:
        raise InputError(
            f"Bank {store.location!r}",
            expected=f"at most {_MOST_CHUNKS:,} chunks, here of {store.rows:,} rows",
            got=f"{-(-n // store.rows):,}",
            do="make a bank with a larger chunk=..., in another place",
        )
    store.prepare(n, variables, bank_coordinates(simulator))
    # A program that created another bank here at the same time may have replaced it.
    _open(simulator, store.location, seed, store.rows, compared)
    missing = np.flatnonzero(store.checksums()[: -(-n // store.rows)] == 0)
    if not len(missing):
        return Bank(store), math.nan
    done = max(n - len(missing) * store.rows, 0)
    with Progress(
        task, n, "simulations", shown=progress, done=done, delay=_SECONDS_WORTH_TELLING
    ) as display:
        _make(simulator, store, n, seed, missing, display)
    # Programs that lengthen a bank at the same time may have undone each other.
    store.prepare(n, variables, bank_coordinates(simulator))
    return Bank(store), display.seconds_each


def _on_cluster(simulator: Simulator, client: Client) -> Simulator:
    """Return the same simulator with the workers of a cluster."""
    if not isinstance(simulator.engine, PythonEngine):
        raise InputError(
            "Argument 'cluster'",
            expected="a simulator in Python, or an external program",
            got=f"{simulator.name!r}, made of TensorFlow operations",
            do="leave the cluster out: it runs in this program, on its GPU if there is one",
        )
    remote = copy.copy(simulator)
    remote.engine = simulator.engine.on_cluster(client)
    return remote


def _make(
    simulator: Simulator,
    store: BankStore,
    n: int,
    seed: int,
    missing: np.ndarray,
    display: Progress,
) -> None:
    """Make the chunks that are unfinished."""
    # First the failures: other programs may finish chunks in between.
    failures = store.failed()
    kept = int(np.count_nonzero(store.checksums())) * store.rows
    simulator.check_failures(kept, failures)
    seconds = 0.0
    begun = time.monotonic()
    with ThreadPoolExecutor(1) as writer:
        written: Future[None] | None = None
        for made, (number, wait) in enumerate(_started(simulator, store, seed, missing)):
            if wait is not None:
                simulations = wait().numpy()
                checks.check_finite(simulator, simulations)
                seconds = seconds or time.monotonic() - begun
                if written is not None:
                    written.result()
                    if made == 1:
                        _check_room(store, store.rows * store.row_bytes * (len(missing) - 1))
                        display.note(_estimate(store, n, seconds * (len(missing) - 1)))
                # Written while the next is simulated.
                written = writer.submit(store.write, number, simulations)
                kept = kept + store.rows
                failures = failures + simulations.failed
                simulator.check_failures(kept, failures)
            display.update(min(display.done + store.rows, n))
        if written is not None:
            written.result()


def _started(
    simulator: Simulator, store: BankStore, seed: int, missing: np.ndarray
) -> Iterator[tuple[int, Callable[[], Simulations] | None]]:
    """Yield unfinished chunks and functions that wait for them; None for those finished elsewhere.

    The next one is started before one is waited for, so that workers are never idle. The first ones
    come first, for training that follows. In a group the order is random: programs that write at
    the same time rarely make the same.
    """
    ahead: deque[tuple[int, Callable[[], Simulations] | None]] = deque()
    groups = np.split(missing, range(_CHUNKS_IN_A_GROUP, len(missing), _CHUNKS_IN_A_GROUP))
    for number in np.concatenate(
        [np.random.default_rng().permutation(group) for group in groups]
    ).tolist():
        done = store.finished(number)
        ahead.append(
            (number, None if done else simulator.engine.start(store.rows, seed, "bank", number))
        )
        if len(ahead) > 1:
            yield ahead.popleft()
    yield from ahead


def _estimate(store: BankStore, n: int, seconds: float) -> str:
    """Say how much room and time a bank takes; nothing if it is done soon."""
    size = n * store.row_bytes
    unit, text = next(
        (u, t)
        for u, t in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
        if size >= u or u == 2**10
    )
    message = f"at most {size / unit:,.1f} {text} at {store.location}, about {duration(seconds)}"
    return message if seconds > _SECONDS_WORTH_TELLING else ""


def _check_room(store: BankStore, needed: int) -> None:
    """Raise if chunks that are still to come take more bytes than a local disk has left."""
    if "://" in store.location or needed < (free := shutil.disk_usage(store.location).free):
        return
    # Looked up only where it matters: data that compress well take less.
    finished = np.count_nonzero(store.checksums())
    needed = int(needed * store.stored_bytes() / (finished * store.rows * store.row_bytes))
    if needed > free:
        raise BankError(
            f"Bank {store.location!r}",
            expected=f"{needed / 2**20:,.0f} MiB for the chunks to come",
            got=f"{free / 2**20:,.0f} MiB left",
            do="make room, or choose another place or a smaller n; finished chunks are kept",
        )


def _open_or_create(
    simulator: Simulator,
    n: int,
    location: str,
    seed: int,
    rows: int | None,
    variables: dict[str, Variable],
    marker: Mapping[str, str],
    compared: bool,
) -> BankStore:
    # Before a bank is looked for: another program may create it in between.
    foreign = foreign_files(location)
    if open_group(location, "r") is None:
        refuse_foreign_files(location, foreign)
        row_bytes = sum(v.dtype.itemsize * int(np.prod(v.shape)) for v in variables.values())
        size = rows or _default_rows(simulator, n, row_bytes)
        attributes = bank_identity.bank_attributes(simulator, seed, size, compared)
        open_group(location, "a", {**attributes, **marker})
    return _open(simulator, location, seed, rows, compared)


def _open(
    simulator: Simulator,
    location: str,
    seed: int,
    rows: int | None,
    compared: bool,
) -> BankStore:
    """Open a bank to write into it; a BankError says if it is one of other simulations."""
    store = BankStore(location, open_group(location, "r+"))
    bank_identity.check_simulator(location, store.attributes, simulator, compared)
    bank_identity.check_proposal(location, store.attributes)
    bank_identity.check_settings(location, store.attributes, seed, rows)
    return store


def _default_rows(simulator: Simulator, n: int, row_bytes: int) -> int:
    """Return a chunk's number of rows: few enough to lose little, many enough to be fast.

    Few rows lose little of a short run.
    """
    fewest = _FEWEST_ROWS_IN_GRAPH if simulator.in_graph else min(n, _FEWEST_ROWS)
    return min(max(-(-n // _FEW_CHUNKS), fewest), max(_CHUNK_BYTES // row_bytes, 1), _MOST_ROWS)
