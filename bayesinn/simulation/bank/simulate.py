"""Write simulation banks by chunks, each a pure function of simulator, seed and chunk number."""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.errors import BankError, InputError, check_flag, check_integer, check_type
from bayesinn.core.progress import Progress, duration
from bayesinn.core.seeds import check_seed
from bayesinn.simulation import checks
from bayesinn.simulation.bank import bank as bank_identity
from bayesinn.simulation.bank.bank import Bank, bank_attributes, check_settings, check_simulator
from bayesinn.simulation.bank.store import (
    BankStore,
    Variable,
    bank_coordinates,
    bank_variables,
    check_location,
    foreign_files,
    open_group,
    refuse_foreign_files,
)
from bayesinn.simulation.checks import lose_values
from bayesinn.simulation.engines.engine import no_function
from bayesinn.simulation.engines.worker import Outcome
from bayesinn.simulation.engines.workers import connected
from bayesinn.simulation.simulations import Arrays, Simulations, count_rows, join, take
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
# Entry of a kept chunk beside its variables, whose names have no "/": failed draws.
_FAILED = "/redrawn"

type Wait = Callable[[], Simulations]


def simulate_bank(
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
    """Write simulations into a bank; continue one after an interruption, or to a larger ``n``.

    Finished chunks are kept, whatever ends the program. Several programs may write into one bank at
    the same time. The result depends neither on interruptions, nor on the order of chunks, nor on
    the number of programs.

    Parameters
    ----------
    simulator : Simulator
    n : int
        Number of simulations in the finished bank. A bank that has more keeps them.
    folder : path, or address
        Anything that fsspec knows: ``"bank"``, ``"s3://bucket/bank"``. It is created.
    seed : int
        Determines all simulations.
    chunk : int
        Number of simulations that are drawn, written and checked together; fixed for the life of a
        bank. By default about 8 MB, and a 64th of ``n`` if that is less; at least 1,024 where
        simulations are drawn in the graph, else 16. A chunk is simulated whole, even where n is not
        a multiple of it.
    cluster : address of a Dask scheduler, or ``distributed.Client``
        Cluster that runs a Python simulator or an external program; by default local worker
        processes do. The result is the same. The workers need bayesinn and what the simulator
        imports.
    check_simulator : bool
        Whether to check that this simulator made an older bank: a few of its rows, one if that
        takes long, are simulated again. A new bank keeps such rows. If False, only names and shapes
        must fit.
    progress : bool, whether to show progress

    Returns
    -------
    Bank

    Raises
    ------
    BankError
        If the place holds something else, or a bank of another simulator, prior, seed or chunk; or
        if it has no room. Finished chunks stay.
    SimulatorError
        If simulations are not finite, as in :meth:`Simulator.sample`, or if more fail than the
        simulator's ``most_failures`` allows. With a larger limit, the same command continues.

    Examples
    --------
    >>> import tempfile
    >>> import bayesinn as bi
    >>> folder = tempfile.TemporaryDirectory()
    >>> len(
    ...     bi.simulate_bank(bi.get_simulator("linear"), 1_000, folder.name, seed=1, progress=False)
    ... )
    1000
    >>> len(
    ...     bi.simulate_bank(bi.get_simulator("linear"), 3_000, folder.name, seed=1, progress=False)
    ... )
    3000
    >>> folder.cleanup()
    """
    check_type(
        "Argument 'simulator'",
        simulator,
        Simulator,
        "a Simulator",
        "fetch one with bi.get_simulator(name)",
    )
    n = check_integer("Number of simulations", n, most=2**40)
    seed = check_seed(seed)
    check_flag("Argument 'progress'", progress)
    check_flag("Argument 'check_simulator'", check_simulator)
    with contextlib.ExitStack() as stack:
        if cluster is not None:
            client = stack.enter_context(connected(cluster))
            simulator = copy.copy(simulator)
            simulator.engine = simulator.engine.on_cluster(client)
        return _write_bank(simulator, n, folder, seed, chunk, progress, check_simulator)


def _write_bank(
    simulator: Simulator,
    n: int,
    folder: str | os.PathLike[str],
    seed: int,
    chunk: int | None,
    progress: bool,
    compared: bool,
) -> Bank:
    if not simulator.simulates:
        raise no_function(simulator.name)
    rows = None if chunk is None else check_integer("Argument 'chunk'", chunk)
    variables = bank_variables(simulator)
    place = check_location("Argument 'folder'", folder)
    store = _open_or_create(simulator, n, place, seed, rows, variables, compared)
    if -(-n // store.rows) > _MOST_CHUNKS:
        raise InputError(
            f"Bank {store.location!r}",
            expected=f"at most {_MOST_CHUNKS:,} chunks, here of {store.rows:,} rows",
            got=f"{-(-n // store.rows):,}",
            do="make a bank with a larger chunk=..., in another place",
        )
    store.prepare(n, variables, bank_coordinates(simulator))
    # A program that created another bank here at the same time may have replaced it.
    _open(simulator, store.location, seed, store.rows, compared, store.attributes)
    missing = np.flatnonzero(store.checksums()[: -(-n // store.rows)] == 0)
    if not len(missing):
        return Bank(store)
    done = max(n - len(missing) * store.rows, 0)
    with Progress(
        "simulating", n, "simulations", shown=progress, done=done, delay=_SECONDS_WORTH_TELLING
    ) as display:
        _make(simulator, store, n, seed, missing, display)
    # Programs that lengthen a bank at the same time may have undone each other.
    store.prepare(n, variables, bank_coordinates(simulator))
    return Bank(store)


def draw_simulations(
    simulator: Simulator, n: int, seed: int, rows: int, progress: bool
) -> tuple[Arrays, int, float]:
    """Return the simulations that a bank with chunks of ``rows`` rows has, without writing one.

    Also return the number of failures, and the seconds that a simulation takes. Costly chunks are
    kept, where a run wants that, until it has ended.
    """
    types = {name: variable.dtype for name, variable in bank_variables(simulator).items()}
    kept = simulator.engine.kept

    def place(number: int) -> list[int]:
        return seeds.entropy(seed, "drawn", number)

    def finished(number: int) -> bool:
        return kept is not None and kept.rows(place(number)).get(0) == rows

    numbers = range(-(-n // rows))
    done = min(rows * sum(map(finished, numbers)), n)
    chunks: list[Arrays] = []
    failed = 0
    begun = time.monotonic()
    with Progress(
        "drawing", n, "simulations", shown=progress, done=done, delay=_SECONDS_WORTH_TELLING
    ) as display:
        for number, wait in _started(simulator, rows, seed, numbers, finished):
            block = kept.read(place(number), 0) if kept is not None and wait is None else None
            if block is None:
                wait = wait or simulator.engine.start(rows, seeds.entropy(seed, "bank", number))
                simulations = _checked(simulator, wait)
                drawn = simulations.flat()
                arrays = {name: np.asarray(drawn[name], types[name]) for name in types}
                arrays[_FAILED] = np.array(simulations.failed)
                block = Outcome(rows, arrays, {}, time.monotonic() - begun)
                begun = time.monotonic()
                if kept is not None:
                    kept.keep(place(number), 0, block)
                    # The parts that workers keep while they make it.
                    kept.forget(seeds.entropy(seed, "bank"), below=number + 1)
                display.update(min(display.done + rows, n))
            failed += int(block.observables[_FAILED])
            chunks.append({name: block.observables[name] for name in types})
            simulator.check_failures(len(chunks) * rows, failed)
    return take(join(chunks), slice(n)), failed, display.seconds_each


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
    good = int(np.count_nonzero(store.checksums())) * store.rows
    simulator.check_failures(good, failures)
    seconds = 0.0
    begun = time.monotonic()
    started = _started(simulator, store.rows, seed, _in_turn(missing), store.finished)
    with ThreadPoolExecutor(1) as writer:
        written: Future[None] | None = None
        drawn = 0
        for passed, (number, wait) in enumerate(started, 1):
            if wait is not None:
                simulations = _checked(simulator, wait)
                seconds = seconds or time.monotonic() - begun
                drawn += 1
                if written is not None:
                    written.result()
                    if drawn == 2:
                        # All but the one that is written.
                        left = len(missing) - passed + 1
                        _check_room(store, store.rows * store.row_bytes * left)
                        display.note(_estimate(store, n, seconds * left))
                # Written while the next is simulated.
                written = writer.submit(store.write, number, simulations)
                good = good + store.rows
                failures = failures + simulations.failed
                simulator.check_failures(good, failures)
            display.update(min(display.done + store.rows, n))
        if written is not None:
            written.result()


def _checked(simulator: Simulator, wait: Wait) -> Simulations:
    """Wait for simulations; raise if they are not finite."""
    simulations = wait().numpy()
    checks.check_finite(simulator, simulations)
    return simulations


def _in_turn(missing: np.ndarray) -> list[int]:
    """Return unfinished chunks, the first ones first, for training that follows.

    In a group the order is random: programs that write at the same time rarely make the same.
    """
    groups = np.split(missing, range(_CHUNKS_IN_A_GROUP, len(missing), _CHUNKS_IN_A_GROUP))
    generator = np.random.default_rng()
    return [number for group in groups for number in generator.permutation(group).tolist()]


def _started(
    simulator: Simulator,
    rows: int,
    seed: int,
    chunks: Iterable[int],
    finished: Callable[[int], bool] | None = None,
) -> Iterator[tuple[int, Wait | None]]:
    """Yield chunks and functions that wait for them; None for those finished elsewhere.

    The next one is started before one is waited for, so that workers are never idle.
    """
    ahead: deque[tuple[int, Wait | None]] = deque()
    for number in chunks:
        wait = None
        if finished is None or not finished(number):
            wait = simulator.engine.start(rows, seeds.entropy(seed, "bank", number))
        ahead.append((number, wait))
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
    compared: bool,
) -> BankStore:
    # Before a bank is looked for: another program may create it in between.
    foreign = foreign_files(location)
    attributes = None
    if open_group(location, "r") is None:
        refuse_foreign_files(location, foreign)
        row_bytes = sum(
            variable.dtype.itemsize * int(np.prod(variable.shape))
            for variable in variables.values()
        )
        size = rows or _default_rows(simulator, n, row_bytes)
        attributes = bank_identity.bank_attributes(simulator, seed, size, compared)
        open_group(location, "a", attributes)
    return _open(simulator, location, seed, rows, compared, attributes)


def _open(
    simulator: Simulator,
    location: str,
    seed: int,
    rows: int | None,
    compared: bool,
    known: Mapping[str, Any] | None,
) -> BankStore:
    """Open a bank to write into it; a BankError says if it is one of other simulations.

    Attributes that are ``known`` have been checked, or were written just now.
    """
    store = BankStore(location, open_group(location, "r+"))
    if store.attributes == known:
        return store
    bank_identity.check_simulator(location, store.attributes, simulator, compared)
    bank_identity.check_proposal(location, store.attributes)
    bank_identity.check_settings(location, store.attributes, seed, rows)
    return store


def _default_rows(simulator: Simulator, n: int, row_bytes: int) -> int:
    """Return a chunk's number of rows: short runs lose little with few, and many are fast."""
    fewest = _FEWEST_ROWS_IN_GRAPH if simulator.in_graph else min(n, _FEWEST_ROWS)
    return min(max(-(-n // _FEW_CHUNKS), fewest), max(_CHUNK_BYTES // row_bytes, 1), _MOST_ROWS)


#: Draws a number of parameters (n, *event); the second argument is the number of the attempt.
Proposal = Callable[[int, int], Arrays]


def draw_proposed(
    simulator: Simulator,
    propose: Proposal,
    context: Mapping[str, np.ndarray],
    n: int,
    seed: int,
    *keys: int,
) -> Simulations:
    """Draw n simulations of proposed parameters, all at one context, (1, ...) by name.

    Failures follow the simulator's policy: an error, or others are proposed in their place, and
    they are counted. A pure function of the proposal, the seed and the keys.
    """
    types = {name: variable.dtype for name, variable in bank_variables(simulator).items()}

    def state(attempt: int) -> np.ndarray:
        entropy = seeds.entropy(seed, "rounds", *keys, attempt)
        return np.random.SeedSequence(entropy).generate_state(3)

    def draw_rows(count: int, attempt: int) -> tuple[Arrays, Arrays, Outcome]:
        parameters = checks.check_arrays(simulator.prior, propose(count, attempt))
        contexts = {
            name: np.repeat(value, count, axis=0).astype(types[name])
            for name, value in context.items()
        }
        entropy = seeds.entropy(int(state(attempt)[0]), "predictive")
        outcome = simulator.engine.simulate(simulator.prior.cast(parameters), contexts, entropy)
        # In the types of a bank, so that it makes no difference whether they are kept in one.
        observables = {
            name: np.asarray(value, types[name]) for name, value in outcome.observables.items()
        }
        return parameters, contexts, outcome._replace(observables=observables)

    def lose(observables: Arrays, attempt: int) -> Arrays:
        lost = lose_values(
            observables, simulator.missing or 0.0, state(attempt)[1:].astype(np.int32)
        )
        return {name: value.numpy() for name, value in lost.items()}

    policy = simulator.engine.policy
    drawn = policy.draw(n, draw_rows, lose if simulator.missing else None, in_place=False)
    checks.check_finite(simulator, drawn)
    simulator.check_failures(n, drawn.failed)
    return drawn


def write_proposed(
    simulator: Simulator,
    simulations: Simulations,
    folder: Path,
    seed: int,
    proposal: Mapping[str, Any],
    compared: bool = True,
) -> None:
    """Write simulations of a proposal into a bank of one chunk, the proposal as an attribute.

    The attribute holds the proposal in plain values.
    """
    rows = count_rows(simulations.parameters)
    variables = bank_variables(simulator)
    attributes = bank_attributes(simulator, seed, rows, compared) | {"proposal": dict(proposal)}
    store = BankStore(str(folder), open_group(str(folder), "a", attributes))
    store.prepare(rows, variables, bank_coordinates(simulator))
    store.write(0, simulations)


def read_proposed(
    simulator: Simulator,
    folder: Path,
    seed: int,
    compared: bool = True,
) -> tuple[Arrays, int] | None:
    """Return what :func:`write_proposed` wrote and the number of failures; None if unfinished.

    A BankError says if the bank is damaged, or has another seed or, if ``compared``, another
    simulator, or if something else is there.
    """
    group = open_group(str(folder), "r") if folder.exists() else None
    if group is None:
        refuse_foreign_files(str(folder))
        return None
    store = BankStore(str(folder), group)
    if "proposal" not in store.attributes:
        raise BankError(
            f"Bank {store.location!r}",
            expected="simulations from a proposal, as rounds write them",
            got="those from the prior",
            do="choose another folder, or move that bank away",
        )
    if "chunk" not in group:
        return None
    bank = Bank(store)
    check_simulator(bank.location, bank.attributes, simulator, compared)
    check_settings(bank.location, bank.attributes, seed, None)
    return None if bank.missing else (bank.read(), bank.failed)
