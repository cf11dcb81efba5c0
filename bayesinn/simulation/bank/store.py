"""The layout of a simulation bank: a Zarr group with one array a variable, in chunks of rows.

A chunk is finished if its checksum is there, which is written after everything else. The files of a
chunk always hold all its rows, also those beyond the end of the bank: appending changes the shapes
of arrays, and no chunk.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bayesinn.core.errors import BankError, check_path, check_type
from bayesinn.core.files import check_entry, reraise_as
from bayesinn.simulation.simulations import Arrays, Simulations
from bayesinn.simulation.simulator import Simulator


def check_array(name: str, array: Any, rows: int, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless an array has chunks of ``rows`` rows of a shape, of numbers."""
    if array.chunks[:1] != (rows,) or array.shape[1:] != shape or array.dtype.kind not in "fiub":
        found = (
            f"array {name} has rows {array.shape[1:]} of {array.dtype}, {array.chunks[:1]} in "
            "a chunk"
        )
        raise ValueError(f"{found}; zarr.json declares rows {shape}, {rows} in a chunk")


def require_array(
    group: Any,
    name: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: np.dtype,
    axes: Sequence[str],
    attributes: Mapping[str, Any],
    compressors: Sequence[Any] | None = None,
) -> Any:
    """Return an array with this number of rows or more; another program may create it too."""
    from zarr.errors import ContainsArrayError

    if name not in group:
        # What is unfinished reads as NaN where there is one.
        fill = np.nan if dtype.kind == "f" else 0
        named = {
            "dimension_names": axes,
            "attributes": dict(attributes),
            "compressors": compressors,
        }
        with contextlib.suppress(ContainsArrayError):
            group.create_array(
                name, shape=shape, chunks=chunks, dtype=dtype, fill_value=fill, **named
            )
    array = group[name]
    if array.shape[0] < shape[0]:
        array.resize(shape)
    return array


def with_room(array: Any, least: int, rows: int, write_empty: bool) -> Any:
    """Return an array with room for ``least`` rows, up to its last chunk's end.

    With ``write_empty``, empty chunks are written like others. The store may say less for a while:
    programs that create an array at the same time undo each other.
    """
    import zarr

    inner = array.async_array
    shape = (-(-max(array.shape[0], least) // rows) * rows, *array.shape[1:])
    config = dataclasses.replace(inner.config, write_empty_chunks=write_empty)
    longer = zarr.AsyncArray(
        metadata=inner.metadata.update_shape(shape), store_path=inner.store_path, config=config
    )
    return zarr.Array(longer)


def choose_compressors() -> tuple[Any, ...]:
    """Return the codecs of variables: a compressor, then a checksum of its bytes."""
    from zarr.codecs import BloscCodec, Crc32cCodec

    # Measured in benchmarks/bank.py. Blosc reads beyond the end of damaged data: these never reach
    # it.
    return BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), Crc32cCodec()


FORMAT = "bayesinn simulation bank"
VERSION = 1
#: Axes of variables and of what is known about chunks; no variable has such a name.
ROWS = "simulation"
CHUNKS = "chunk"
#: The array that a new bank gets last.
LAST_ARRAY = f"{CHUNKS}/failed"
#: Names of the entries with the variables of each role.
ROLES = {"parameters": "parameter", "context": "context", "observables": "observable"}
_ANEW = "delete the bank, and simulate again"
# At bytes that aren't those that were written: Zarr compares a checksum before it decompresses.
_OF_DAMAGE = ValueError
# Tells a checksum of zero from none.
_FINISHED = 1 << 32
#: Attributes that reading a bank depends on.
_SCHEMA = {
    "simulator": str,
    "fingerprint": str,
    "prior": str,
    "seed": int,
    "rows_per_chunk": int,
    # What is kept of the simulator beside its shapes is checked where it is compared.
    "declared": {kind: {str: [int]} for kind in ROLES},
}


class Variable(NamedTuple):
    """An array of a bank: type and shape of a row, names of its axes, and what is said about it."""

    dtype: np.dtype
    shape: tuple[int, ...]
    dimensions: list[str]
    attributes: dict[str, str]


class BankStore:
    """Arrays, chunks and attributes of a bank that exists.

    ``rows`` is the number of rows in a chunk, ``names`` those of the variables.
    """

    def __init__(self, location: str, group: Any) -> None:
        self.location = location
        self._group = group
        self.attributes: dict[str, Any] = dict(group.attrs)
        _check_attributes(location, self.attributes)
        self.rows: int = self.attributes["rows_per_chunk"]
        declared = self.attributes["declared"]
        self._shapes = {
            name: tuple(shape) for kind in ROLES for name, shape in declared[kind].items()
        }
        self.names = list(self._shapes)
        self._arrays: dict[str, Any] = {}

    def read_layout(self, least: int = 0) -> int:
        """Look up all arrays; return the number of simulations that they have room for.

        It is at least ``least``, also while another writer resizes the arrays.
        """
        with self.reraise_as("arrays of all variables", "complete it with bi.simulate_bank"):
            arrays = {name: self._group[name] for name in self.names}
            for name, array in arrays.items():
                check_array(name, array, self.rows, self._shapes[name])
            self._arrays = {
                name: with_room(array, least, self.rows, True) for name, array in arrays.items()
            }
            room = min(array.shape[0] for array in arrays.values())
            # A writer that was killed may have lengthened the variables alone: without a checksum,
            # chunks are unfinished.
            chunks = -(-max(room, least) // self.rows)
            known = (self._group[f"{CHUNKS}/{name}"] for name in ("checksum", "failed"))
            self._checksums, self._failed = (with_room(array, chunks, 1, False) for array in known)
            return room

    def prepare(
        self, n: int, variables: Mapping[str, Variable], coordinates: Mapping[str, Any]
    ) -> None:
        """Make room for n simulations or more: create missing arrays, lengthen short ones."""
        from zarr.errors import ContainsGroupError

        with self.writing():
            for name, values in coordinates.items():
                places = require_array(
                    self._group,
                    name,
                    values.shape,
                    values.shape,
                    values.dtype,
                    values.dims,
                    values.attrs,
                )
                places[...] = values.values
            for name, (dtype, shape, dimensions, attributes) in variables.items():
                whole = (n, *shape)
                part = (self.rows, *shape)
                axes = (ROWS, *dimensions)
                require_array(
                    self._group, name, whole, part, dtype, axes, attributes, choose_compressors()
                )
            with contextlib.suppress(ContainsGroupError):
                self._group.require_group(CHUNKS)
            inner = self._group[CHUNKS]
            for name, kind in (("checksum", "u8"), ("failed", "i4")):
                require_array(
                    inner, name, (-(-n // self.rows),), (1,), np.dtype(kind), (CHUNKS,), {}
                )
            self.describe()
        self.read_layout(n)

    def describe(self) -> None:
        """Write all arrays' shapes into one file, for xarray; the last to write corrects it."""
        import zarr

        with warnings.catch_warnings():
            # Zarr 3 has no consolidated metadata yet; unfinished files are those of another
            # program.
            warnings.filterwarnings(
                "ignore", message="Consolidated metadata is currently not part|Object at .*partial"
            )
            described: Any = zarr.consolidate_metadata(place_of(self.location))
        if any(described[name].shape != self._group[name].shape for name in self.names):
            self.describe()

    @property
    def row_bytes(self) -> int:
        """Bytes of one simulation, not compressed."""
        return sum(
            array.dtype.itemsize * int(np.prod(array.shape[1:])) for array in self._arrays.values()
        )

    def stored_bytes(self) -> int:
        """Return the bytes that all chunks take, compressed."""
        return sum(array.nbytes_stored() for array in self._arrays.values())

    def allocate(self, rows: int) -> Arrays:
        """Return arrays for so many simulations, whose content is undefined."""
        return {
            name: np.empty((rows, *array.shape[1:]), array.dtype)
            for name, array in self._arrays.items()
        }

    def checksums(self) -> np.ndarray:
        """Return the checksum of each chunk, 0 where it is not finished."""
        with self.reading("checksums of its chunks", _ANEW):
            return np.asarray(self._checksums[:])

    def finished(self, number: int) -> bool:
        """Tell whether a chunk is finished, whoever made it."""
        with self.reading("checksums of its chunks", _ANEW):
            return bool(self._checksums[number])

    def failed(self, chunks: slice = slice(None)) -> int:
        """Return how many simulations of finished chunks failed and were drawn again."""
        with self.reading("counts of failed simulations", _ANEW):
            # Not of equal lengths where another program lengthens the bank.
            chunks_failed = zip(self._checksums[chunks], self._failed[chunks], strict=False)
            return int(sum(count for finished, count in chunks_failed if finished))

    def write(self, number: int, simulations: Simulations) -> None:
        """Write a chunk in the bank's types: its rows, the number of failures, the checksum."""
        values = simulations.flat()
        arrays = {
            name: np.ascontiguousarray(values[name], array.dtype)
            for name, array in self._arrays.items()
        }
        with self.writing():
            for name, array in self._arrays.items():
                array[number * self.rows : (number + 1) * self.rows] = arrays[name]
            self._failed[number] = simulations.failed
            self._checksums[number] = checksum(arrays)

    def forget(self, number: int) -> None:
        """Mark a chunk as unfinished."""
        with self.writing():
            open_group(self.location, "r+")[f"{CHUNKS}/checksum"][number] = 0

    def read(self, number: int) -> Arrays:
        """Return all rows of a chunk; a BankError says if they are not those that were written."""
        do = "bank.verify() marks such chunks, bi.simulate_bank(...) then makes them again"
        with self.reading(f"chunk {number} as it was written", do):
            part = slice(number * self.rows, (number + 1) * self.rows)
            arrays = {name: np.asarray(array[part]) for name, array in self._arrays.items()}
            if checksum(arrays) != int(self._checksums[number]):
                raise ValueError("another checksum")
        return arrays

    def is_damaged(self, number: int) -> bool:
        """Tell whether a finished chunk isn't as it was written; raise if it can't be read."""
        try:
            self.read(number)
        except BankError as error:
            if not isinstance(error.__cause__, _OF_DAMAGE):
                raise
            return True
        return False

    @contextlib.contextmanager
    def reading(self, expected: str, do: str) -> Iterator[None]:
        """Turn errors into a BankError; ``do`` is for damage, and not for a place out of reach."""
        again = "look whether the place can be reached, and try again"
        subject = f"Bank {self.location!r}"
        with (
            self.reraise_as(expected, again),
            reraise_as(subject, expected, do, _OF_DAMAGE, BankError),
        ):
            yield

    def reraise_as(self, expected: str, do: str) -> AbstractContextManager[None]:
        """Turn errors of the store into a BankError."""
        return reraise_as(f"Bank {self.location!r}", expected, do, Exception, BankError)

    def writing(self) -> AbstractContextManager[None]:
        """Explain errors of writing, such as those of a full disk."""
        do = "make room, or choose another place; finished chunks are kept"
        return self.reraise_as("room and permission to write there", do)


def check_location(subject: str, value: Any) -> str:
    """Return the path or address of a bank as text; "file:///..." is a path."""
    check_type(
        subject,
        value,
        (str, os.PathLike),
        "a path, or an address such as 's3://bucket/bank'",
        "pass one",
    )
    if isinstance(value, str) and value.startswith("file:///"):
        value = value.removeprefix("file://")
    return (
        value
        if isinstance(value, str) and "://" in value
        else str(check_path(subject, value, "bank"))
    )


def place_of(location: str) -> str | Path:
    """Return the location in the form that Zarr opens: an address as text, or a path.

    In a path that is text, Zarr would take "#", "?" and ";" for parts of an address.
    """
    return location if "://" in location else Path(location)


def open_group(location: str, mode: Any, attributes: Mapping[str, Any] | None = None) -> Any:
    """Open a Zarr group, or create it with attributes if ``mode`` is "a"; None if there is none."""
    import zarr
    from zarr.errors import ContainsGroupError

    do = "choose another place, or look whether it can be reached"
    with reraise_as(
        f"Bank {location!r}", "a place to read and write a Zarr group", do, Exception, BankError
    ):
        try:
            options: dict[str, Any] = (
                {} if attributes is None else {"attributes": dict(attributes), "zarr_format": 3}
            )
            return zarr.open_group(place_of(location), mode=mode, use_consolidated=False, **options)
        except ContainsGroupError:
            # Another program has created it at the same time.
            return zarr.open_group(place_of(location), mode="r+", use_consolidated=False)
        except FileNotFoundError:
            if mode == "r":
                return None
            raise


def foreign_files(location: str) -> list[str]:
    """Return names of files at a local place without a bank, but for a killed writer's."""
    # A folder that can't be read is explained where the bank is opened.
    with contextlib.suppress(PermissionError):
        if "://" not in location and (path := Path(location)).exists():
            files = path.iterdir() if path.is_dir() else [path]
            return sorted(file.name for file in files if file.suffix != ".partial")
    return []


def refuse_foreign_files(location: str, found: Sequence[str] | None = None) -> None:
    """Raise if there are files, or those ``found`` before, at a place where no bank is."""
    if foreign := foreign_files(location) if found is None else found:
        raise BankError(
            f"Bank {location!r}",
            expected="a new or empty place for a bank",
            got=f"{', '.join(foreign[:3])} of something else",
            do="choose another place",
        )


def checksum(arrays: Arrays) -> int:
    """Return the CRC-32 of names, types and bytes of arrays; never zero."""
    sum_ = 0
    for name, value in sorted(arrays.items()):
        sum_ = zlib.crc32(f"{name} {value.dtype.str} {value.shape}".encode(), sum_)
        sum_ = zlib.crc32(np.ascontiguousarray(value), sum_)
    return sum_ | _FINISHED


def _check_attributes(location: str, attributes: Mapping[str, Any]) -> None:
    """Raise unless a Zarr group has the attributes of a bank of this version."""
    subject = f"Bank {location!r}"
    if attributes.get("format") != FORMAT:
        raise BankError(
            subject,
            expected="a simulation bank",
            got="a Zarr group of something else",
            do="choose another place",
        )
    if attributes.get("format_version") != VERSION:
        versions = attributes.get("versions")
        writer = versions.get("bayesinn") if isinstance(versions, Mapping) else None
        raise BankError(
            subject,
            expected=f"format version {VERSION}",
            got=f"version {attributes.get('format_version')!r}",
            do=(
                "open it with the bayesinn that wrote it, "
                f"{writer or 'of a version that is not known'}"
            ),
        )
    subject = f"{subject}, its zarr.json"
    do = "copy the bank again, or simulate it again in another place"
    check_entry(subject, "", attributes, _SCHEMA, do, BankError)
    declared = attributes["declared"]
    numbers = [("seed", attributes["seed"], 0), ("rows_per_chunk", attributes["rows_per_chunk"], 1)]
    for kind in ROLES:
        for name, shape in declared[kind].items():
            numbers += [(f"declared.{kind}.{name}", length, 0) for length in shape]
    for entry, value, least in numbers:
        if value < least:
            raise BankError(
                f"{subject}, entry {entry!r}",
                expected=f"an integer of {least} or more",
                got=repr(value),
                do=do,
            )


def bank_variables(simulator: Simulator) -> dict[str, Variable]:
    """Return the arrays of a bank, by name, in the order of parameters, context and observables."""
    types: dict[str, np.dtype] = {}
    for prior in simulator.priors:
        types |= {name: np.dtype(dtype) for name, dtype in prior.dtypes.items()}
    types |= simulator.observable_types
    labels = simulator.labels
    dimensions = simulator.dimensions
    return {
        name: Variable(
            types[name],
            shape,
            dimensions[name],
            {"long_name": labels.label(name), "units": labels.units.get(name, ""), "role": role},
        )
        for kind, role in ROLES.items()
        for name, shape in simulator.shapes[kind].items()
    }


def bank_coordinates(simulator: Simulator) -> dict[str, Any]:
    """Return coordinates as files hold them: dates become numbers with a unit."""
    import xarray

    labels = simulator.labels
    coordinates = dict[str, Any]()
    for coordinate in labels.coordinates.values():
        name = coordinate.name
        text = {"long_name": labels.label(coordinate.name)}
        if not coordinate.dates:
            text["units"] = labels.units.get(name, "")
        variable = xarray.Variable((name,), coordinate.values, text, {"_FillValue": None})
        coordinates[name] = xarray.conventions.encode_cf_variable(variable)
    return coordinates
