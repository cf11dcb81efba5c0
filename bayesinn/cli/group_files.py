"""Data of all members of a group, from files: CSV, JSON or NPZ."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bayesinn.cli.csv_table import read_table
from bayesinn.cli.data_files import FileData, parse_context, read_data
from bayesinn.core.errors import InputError
from bayesinn.simulation.checks import numbers
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import axes, data_shapes


def read_members(
    path: Path, simulator: Simulator, axis: str, context: list[str], by: str | None = None
) -> FileData:
    """Return arrays (members, ...) by name, with the names of members where the file has them.

    ``.csv``: all rows of a member have the same value in the column ``by``, or ``axis``. ``.npz``
    and ``.json``: either arrays (members, ...), optionally with an array of that name that holds
    the members' names; or arrays with the rows of all members, with an array of that name that
    holds the member of each row.

    ``context`` has values that hold for all members, as ``"dose=100"``.
    """
    column = by or axis
    known = parse_context(context)
    if path.suffix.lower() == ".csv":
        return _from_table(path, simulator, axis, column, known)
    data = read_data(path, simulator)
    if column in data:
        _name_members(path, simulator, axis, column, data)
    elif by is not None:
        raise InputError(
            f"Data file {str(path)!r}",
            expected=f"an array {by!r} that tells who each row is of",
            got=f"{[*data]}",
            do="check the name, or leave out --by for arrays with a row for each",
        )
    first = next(iter(simulator.observable_shapes))
    for name, value in known.items():
        if name in data:
            raise InputError(
                f"Context {name!r}",
                expected="each context variable once",
                got=f"a value, and one in {path.name}",
                do="leave out one",
            )
        # What lacks observables is refused later.
        if first in data:
            data[name] = np.stack([value] * len(data[first]))
    return data


def _from_table(
    path: Path, simulator: Simulator, axis: str, column: str, context: Mapping[str, Any]
) -> FileData:
    table = read_table(path)
    if column not in table.names:
        raise table.fault(
            1,
            None,
            expected=f"a column {column!r}, which tells who of each {axis} a row is of",
            got=f"columns {table.names}",
            do=f"add it, or name the one that does: --by COLUMN; a single {axis} needs one, too",
        )
    data = read_data(path, simulator, context=context, by=column)
    if data.names is None:
        # A single one, without an axis.
        place = table.names.index(column)
        data.names = (next(row[place].strip() for row in table.rows if row[place].strip()),)
        for name, value in data.items():
            data[name] = [np.asarray(value).tolist()]
    return data


def _name_members(path: Path, simulator: Simulator, axis: str, column: str, data: FileData) -> None:
    """Take who is who out of the data; bring together the rows of each."""
    who = np.asarray(data.pop(column)).astype(str)
    for name, value in data.items():
        size = len(value) if axes(value) else 0
        if who.ndim != 1 or size != len(who):
            raise InputError(
                f"Data file {str(path)!r}, {name!r}",
                expected=f"a row for each entry of {column!r}, which is of shape {who.shape}",
                got=f"{size} rows" if axes(value) else f"{value}",
                do=f"give {column!r} an entry for each {axis}, or for each row of each {axis}",
            )
    data.names = tuple(dict.fromkeys(who.tolist()))
    if len(data.names) == len(who):
        return
    shapes = data_shapes(simulator)
    for name, value in data.items():
        rows = numbers(f"Data file {str(path)!r}, {name!r}", value, missing=True)
        parts = [rows[who == member] for member in data.names]
        if rows.ndim == len(shapes.get(name, ())):
            same = len({len(part) for part in parts}) == 1
            data[name] = np.stack(parts) if same else [part.tolist() for part in parts]
            continue
        for member, part in zip(data.names, parts, strict=True):
            if np.any(part != part[0]):
                raise InputError(
                    f"Data file {str(path)!r}, {name!r} of {axis} {member!r}",
                    expected="one value",
                    got=f"{np.unique(part).tolist()[:3]}",
                    do="repeat it in all rows",
                )
        data[name] = np.stack([part[0] for part in parts])
