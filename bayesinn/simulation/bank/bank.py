"""Simulation banks: on disk or in an object store, to be opened, checked, read, trained from."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesinn._version import __version__
from bayesinn.core.errors import BankError, InputError, check_flag, check_memory
from bayesinn.core.html import facts_html
from bayesinn.simulation import identity
from bayesinn.simulation.bank.store import (
    FORMAT,
    LAST_ARRAY,
    VERSION,
    BankStore,
    check_location,
    open_group,
)
from bayesinn.simulation.checks import check_simulations
from bayesinn.simulation.prior_text import prior_text
from bayesinn.simulation.simulations import Arrays, take
from bayesinn.simulation.simulator import Simulator, shape_lines

if TYPE_CHECKING:
    import xarray


_PACKAGES = ("tensorflow", "tensorflow-probability", "numpy", "zarr")
_DO = (
    "use the simulator, the seed and the chunk that the bank was made with, or another place "
    "for a new bank"
)
_OR_LEAVE_OUT = "; if it is the same: bi.simulate_bank or bi.open_bank(..., check_simulator=False)"


def bank_attributes(
    simulator: Simulator,
    seed: int,
    rows: int,
    simulated: bool = True,
) -> dict[str, Any]:
    """Return the attributes of a bank: what decides its simulations, and who wrote it.

    Some rows are ``simulated`` to tell the simulator from another one.
    """
    declared = identity.entries(simulator, simulated)
    return {
        "format": FORMAT,
        "format_version": VERSION,
        "simulator": simulator.name,
        "fingerprint": identity.fingerprint(declared),
        "prior": prior_text(simulator.prior),
        **({} if simulator.context is None else {"context": prior_text(simulator.context)}),
        "seed": seed,
        "rows_per_chunk": rows,
        "declared": declared,
        "versions": {
            "bayesinn": __version__,
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
    }


def check_simulator(
    location: str,
    attributes: Mapping[str, Any],
    simulator: Simulator,
    simulated: bool = True,
) -> None:
    """Raise unless a bank is one of this very simulator: its name, and what it does."""
    if attributes["simulator"] != simulator.name:
        raise BankError(
            f"Bank {location!r}",
            expected=f"simulations of {simulator.name!r}",
            got=f"those of {attributes['simulator']!r}",
            do=_DO,
        )
    do = _DO + _OR_LEAVE_OUT
    refusal = identity.Refusal(f"the bank {location!r}", "made this bank", do, BankError)
    identity.check(attributes["declared"], simulator, refusal, simulated)


def check_proposal(location: str, attributes: Mapping[str, Any]) -> None:
    """Raise unless the parameters of a bank were drawn from the prior."""
    if "proposal" in attributes:
        raise BankError(
            f"Bank {location!r}",
            expected="simulations from the prior",
            got=f"those of a proposal: {attributes['proposal']}",
            do=(
                "use another bank; bank.read() returns these simulations, for one who knows what "
                "they were drawn from"
            ),
        )


def check_settings(
    location: str, attributes: Mapping[str, Any], seed: int, rows: int | None
) -> None:
    """Raise unless a bank has this seed and, if it is given, this number of rows in a chunk."""
    for name, key, value in (("seed", "seed", seed), ("chunk", "rows_per_chunk", rows)):
        if value is not None and attributes[key] != value:
            raise BankError(
                f"Bank {location!r}",
                expected=f"{name}={attributes[key]}, with which it was made",
                got=f"{name}={value}",
                do=_DO,
            )


Rows = slice | np.ndarray
Place = tuple[int, Rows, Rows]


class Bank:
    """Simulations written by :func:`simulate_bank`; :func:`open_bank` opens them again.

    A bank is a Zarr group with one array (n, ...) for each parameter, context variable and
    observable; ``xarray.open_zarr`` opens it, too. Chunks of rows are finished one by one. Rows of
    unfinished chunks hold NaN, or 0.

    Attributes
    ----------
    location : str, the path or the address
    simulator_name : str
    seed : int
    n : int, number of simulations, finished or not
    rows_per_chunk : int
    attributes : dict
        Attributes of the file: among them prior, record of the simulator, versions of libraries.

    Examples
    --------
    >>> import tempfile
    >>> import bayesinn as bi
    >>> folder = tempfile.TemporaryDirectory()
    >>> bank = bi.simulate_bank(
    ...     bi.get_simulator("linear"), 2_000, folder.name, seed=1, progress=False
    ... )
    >>> bank
    Bank of 2,000 simulations of 'linear', seed 1, all finished
      parameters:  x1, x2
      observables: y
      chunks:      2 of 1,024 rows
    >>> bank.read(slice(0, 3))["y"].shape
    (3,)
    >>> bank.verify()
    []
    >>> folder.cleanup()
    """

    def __init__(self, store: BankStore, compared: bool = True) -> None:
        self._store = store
        self._compared = compared
        self.location = store.location
        self.attributes = store.attributes
        self.rows_per_chunk = store.rows
        self.simulator_name: str = self.attributes["simulator"]
        self.seed: int = self.attributes["seed"]
        self.n = store.read_layout()

    @property
    def shapes(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """Shape of one row of each variable, in the form of :attr:`Simulator.shapes`."""
        declared = self.attributes["declared"]
        kinds = ("parameters", "observables", "context")
        return {
            kind: {name: tuple(shape) for name, shape in declared[kind].items()} for kind in kinds
        }

    @property
    def simulator_record(self) -> dict[str, Any] | None:
        """Record of the simulator, for posteriors trained from the bank; None if not compared."""
        declared = self.attributes["declared"]
        return dict(declared) if self._compared and "identity" in declared else None

    @property
    def proposal(self) -> dict[str, Any] | None:
        """The proposal that replaced the prior, as in truncated rounds; None for the prior."""
        return self.attributes.get("proposal")

    @property
    def chunks(self) -> int:
        """Number of chunks; the last may lie partly beyond the end."""
        return -(-self.n // self.rows_per_chunk)

    @property
    def missing(self) -> list[int]:
        """Numbers of the chunks that are not finished now."""
        return np.flatnonzero(self._store.checksums()[: self.chunks] == 0).tolist()

    @property
    def failed(self) -> int:
        """Number of failed simulations that were drawn again; some may lie beyond the last row."""
        return self._store.failed()

    @property
    def _kept(self) -> int:
        return (self.chunks - len(self.missing)) * self.rows_per_chunk

    @property
    def nbytes(self) -> int:
        """Bytes of all simulations in memory."""
        return self.n * self._store.row_bytes

    @property
    def identity(self) -> str:
        """SHA-256 of all that determines the simulations, finished or not."""
        decides = [
            self.attributes[key]
            for key in ("simulator", "fingerprint", "prior", "seed", "rows_per_chunk")
        ]
        return hashlib.sha256(json.dumps([*decides, self.n]).encode()).hexdigest()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that determines the simulations, and of the checksums of all chunks."""
        return hashlib.sha256(
            self.identity.encode() + self._store.checksums()[: self.chunks].tobytes()
        ).hexdigest()

    @property
    def dataset(self) -> xarray.Dataset:
        """All variables and coordinates with axis names, labels and units; read when used."""
        import xarray
        from zarr.storage import LocalStore

        # As text, a path with "#" in it would be that of another place.
        place = (
            self.location if "://" in self.location else LocalStore(self.location, read_only=True)
        )
        with self._store.reraise_as(
            "a Zarr group that xarray opens", "open it with the xarray that wrote it"
        ):
            return xarray.open_zarr(place, chunks=None)

    def read(self, rows: slice | np.ndarray | None = None) -> Arrays:
        """Return some rows of the simulations, by default all, as :meth:`Simulator.sample` does.

        Parameters
        ----------
        rows : slice, or array (m,) of int
            A slice with step one, or row numbers in any order. An empty selection gives empty
            arrays.

        Raises
        ------
        BankError
            If one of the rows is not finished, or its chunk is damaged.
        """
        places = list(_places(slice(None) if rows is None else rows, self.n, self.rows_per_chunk))
        self.check_finished([number for number, _, _ in places])
        count = sum(at.stop - at.start if isinstance(at, slice) else len(at) for _, at, _ in places)
        check_memory(
            f"Bank {self._store.location!r}",
            count * self._store.row_bytes,
            got=f"{count:,} simulations",
            do="read some rows: bank.read(slice(0, 1_000)); training reads a bank in parts",
        )
        arrays = self._store.allocate(count)
        for number, at, within in places:
            for name, value in self.read_chunk(number).items():
                arrays[name][at] = value[within]
        return arrays

    def read_chunk(self, number: int) -> Arrays:
        """Return the rows of a chunk up to the bank's end; raise a BankError if it is damaged."""
        rows = min(self.n - number * self.rows_per_chunk, self.rows_per_chunk)
        return take(self._store.read(number), slice(rows))

    def failed_in(self, number: int) -> int:
        """Return how many simulations of a finished chunk failed and were drawn again."""
        return self._store.failed(slice(number, number + 1))

    def finished(self, number: int) -> bool:
        """Tell whether a chunk is finished now."""
        return self._store.finished(number)

    def verify(self) -> list[int]:
        """Read every finished chunk; mark the damaged ones as unfinished, and return their numbers.

        :func:`simulate_bank` makes them again.

        Raises
        ------
        BankError
            If a chunk can't be read for another reason, such as a place that can't be reached. It
            stays as it is.
        """
        damaged = []
        missing = set(self.missing)
        for number in range(self.chunks):
            if number not in missing and self._store.is_damaged(number):
                self._store.forget(number)
                damaged.append(number)
        return damaged

    def check_finished(self, chunks: list[int] | None = None) -> None:
        """Raise a BankError unless these chunks are finished; by default all chunks."""
        missing = self.missing
        if wanted := sorted(set(missing) if chunks is None else set(missing) & set(chunks)):
            raise BankError(
                f"Bank {self.location!r}, chunk {wanted[0]}",
                expected="finished simulations",
                got=f"{len(missing):,} of {self.chunks:,} chunks unfinished",
                do=(
                    f"finish them: bi.simulate_bank(simulator, {self.n}, {self.location!r}, "
                    f"seed={self.seed})"
                ),
            )

    def check_simulator(self, simulator: Simulator) -> None:
        """Raise a BankError if another simulator made it, a SimulatorError if too many failed."""
        check_simulator(self.location, self.attributes, simulator, self._compared)
        check_proposal(self.location, self.attributes)
        # First the failures: another program may finish chunks in between.
        failures = self.failed
        kept = self._kept
        simulator.check_failures(kept, failures)

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        missing = len(self.missing)
        state = f"{missing:,} chunks unfinished" if missing else "all finished"
        if failed := self.failed:
            state += (
                f"; {failed:,} failed, {100 * failed / (failed + self._kept):.1f} %, and "
                "were drawn again"
            )
        state += "" if self.proposal is None else ", from a proposal in place of the prior"
        lines = [
            f"Bank of {self.n:,} simulations of {self.simulator_name!r}, seed {self.seed}, {state}",
            *shape_lines(self.shapes),
            f"  {'chunks:':<13}{self.chunks:,} of {self.rows_per_chunk:,} rows",
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        title, *lines = repr(self).splitlines()
        pairs = (line.strip().partition(":") for line in lines)
        return facts_html(title, {name: value.strip() for name, _, value in pairs})


def open_bank(location: str | os.PathLike[str], check_simulator: bool = True) -> Bank:
    """Open a simulation bank.

    Parameters
    ----------
    location : path, or address for fsspec such as ``"s3://bucket/bank"``
    check_simulator : bool
        Whether to check, where the simulations are used, that the simulator is the one that made
        them: a few rows are simulated again, one if that takes long. If False, only names and
        shapes must fit.

    Raises
    ------
    BankError
        If there is no bank, or if this version doesn't know its format.

    Examples
    --------
    >>> import tempfile
    >>> import bayesinn as bi
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = bi.simulate_bank(bi.get_simulator("linear"), 100, folder.name, seed=1, progress=False)
    >>> len(open_bank(folder.name))
    100
    >>> folder.cleanup()
    """
    check_flag("Argument 'check_simulator'", check_simulator)
    place = check_location("Argument 'location'", location)
    group = open_group(place, "r")
    if group is None:
        raise BankError(
            f"Bank {place!r}",
            expected="a simulation bank",
            got="no Zarr group",
            do=(
                "write one: bi.simulate_bank(simulator, n, folder, seed=1), or bayesinn simulate "
                "NAME --n N --out BANK"
            ),
        )
    return Bank(BankStore(place, group), check_simulator)


def is_awaited(location: str) -> bool:
    """Tell whether there is nothing at a place yet, or a bank that still lacks some arrays."""
    group = open_group(check_location("Argument 'location'", location), "r")
    if group is None:
        return True
    # Of something else, nothing is to come.
    return group.attrs.get("format") == FORMAT and LAST_ARRAY not in group


@functools.singledispatch
def read_simulations(data: Any, simulator: Simulator, subject: str) -> Arrays:
    """Return simulations given as arrays or as a finished bank, checked: arrays (n, ...)."""
    return check_simulations(simulator, data, subject)


@read_simulations.register
def _(data: Bank, simulator: Simulator, subject: str) -> Arrays:
    data.check_simulator(simulator)
    return check_simulations(simulator, data.read(), subject)


def _places(rows: Any, n: int, size: int) -> Iterator[Place]:
    """Yield for each chunk: its number, its rows' places in the result and in the chunk."""
    if isinstance(rows, slice):
        start, stop, step = rows.indices(n)
        if step != 1:
            raise InputError(
                "Rows of a bank",
                expected="a slice with steps of one",
                got=repr(rows),
                do="pass an array",
            )
        for number in range(start // size, -(-max(stop, start) // size)):
            first = max(start, number * size)
            end = min(stop, (number + 1) * size)
            if first < end:
                yield (
                    number,
                    slice(first - start, end - start),
                    slice(first - number * size, end - number * size),
                )
        return
    index = np.asarray(rows)
    if index.shape == (0,):
        return
    if index.ndim != 1 or index.dtype.kind not in "iu" or np.any((index < 0) | (index >= n)):
        raise InputError(
            "Rows of a bank",
            expected=f"a slice, or an array (m,) of integers from 0 to {n - 1}",
            got=repr(rows)[:200],
            do="pass for example slice(0, 1_000)",
        )
    order = np.argsort(index // size, kind="stable")
    numbers, firsts = np.unique(index[order] // size, return_index=True)
    for number, at in zip(numbers.tolist(), np.split(order, firsts[1:]), strict=True):
        yield number, at, index[at] - number * size
