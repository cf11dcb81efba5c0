"""Observations from files: CSV, JSON or NPZ."""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np

from bayesinn.cli.tables import Table, read_json, read_npz, read_table, widen
from bayesinn.core.arrays import MISSING_VALUES, numbers
from bayesinn.core.errors import InputError, check_path
from bayesinn.core.files import reraise_as
from bayesinn.core.labels import Coordinate
from bayesinn.core.number_text import read_number
from bayesinn.simulation.checks import may_miss
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import axes, check_observations, data_shapes


def trim(values: np.ndarray) -> np.ndarray:
    """Return rows without the empty ones at the end."""
    known = np.flatnonzero(~np.isnan(values.reshape(len(values), -1)).all(axis=1))
    return values[: known[-1] + 1] if len(known) else values[:1]


def count_steps(
    simulator: Simulator, name: str, values: Mapping[str, np.ndarray], rows: list[int]
) -> int:
    """Return how many steps a series of varying length has, whose last values may be missing.

    Its counter, and the other series that this counts, tell that no empty field is behind the end.
    ``values`` (rows, columns) are those of the table.
    """
    counter = simulator.lengths[name]
    steps = 0
    for other, own_counter in simulator.lengths.items():
        if own_counter == counter and other in values:
            own = values[other][rows]
            in_columns = own.shape[1] > 1 and len(simulator.observable_shapes[other]) == 1
            steps = max(steps, len(trim(own.T if in_columns else own)))
    if counter in values:
        steps = max(steps, int(np.nan_to_num(values[counter][rows]).max()))
    return steps


def check_steps(
    table: Table, column: str, coordinate: Coordinate, groups: Mapping[str, list[int]]
) -> None:
    """Refuse data of other times, dates or wavelengths in a column than the simulator's."""
    place = table.names.index(column)
    off = 0.0 if coordinate.dates else _rounding(np.asarray(coordinate.values, np.float64))
    for rows in groups.values():
        texts = [table.rows[row][place].strip() for row in rows]
        for step, text in enumerate(texts[: len(coordinate.values)]):
            if text and not _is_at(coordinate, text, step, off):
                raise table.fault(
                    table.lines[rows[step]],
                    column,
                    expected=f"{coordinate.step(step)}, as declared",
                    got=repr(text),
                    do=_how_to_agree(column, coordinate, texts, off),
                )


def _is_at(coordinate: Coordinate, text: str, step: int, off: float) -> bool:
    """Tell whether a text is a step of the coordinate, but for how much numbers may be off."""
    value = coordinate.values[step]
    try:
        if coordinate.dates:
            return bool(np.datetime64(text) == value)
        return bool(abs(float(text) - value) <= off)
    except ValueError:
        return False


def _how_to_agree(column: str, coordinate: Coordinate, texts: list[str], off: float) -> str:
    """Say to sort the rows of an observation where that would do."""
    steps = range(min(len(texts), len(coordinate.values)))
    if len(steps) < len(texts) or not all(
        any(_is_at(coordinate, text, step, off) for text in texts) for step in steps
    ):
        return (
            "declare the coordinates of the data, or rename the column, which is then ignored, if "
            "it means something else"
        )
    falling = len(coordinate.values) > 1 and coordinate.values[0] > coordinate.values[1]
    return f"sort the rows by {column!r}{', the largest first' if falling else ''}"


def _rounding(values: np.ndarray) -> float:
    """Return by how much coordinates (steps,) in a file may be off, as few digits are written.

    It is far less than a step, however large or small the values are.
    """
    steps = np.abs(np.diff(values))
    if steps.size and steps.min() > 0.0:
        return 0.01 * float(steps.min())
    return 1e-5 * float(np.abs(values).max())


#: Columns that tell observations apart, if the simulator has none of these names.
_IDS = ("id", "observation")
_ONE_BY_ONE = "write a row for each step of an observation, and repeat what it has once"


class FileData(dict[str, Any]):
    """Arrays by name, with ``names`` of observations where a column tells them apart, else None.

    ``by`` is the name of that column.
    """

    names: tuple[str, ...] | None = None
    by: str = "observation"


@singledispatch
def names_of(data: Any) -> tuple[tuple[str, ...] | None, str]:
    """Return names of several observations, None without any, and what an observation is called."""
    return None, FileData.by


@names_of.register
def _(data: FileData) -> tuple[tuple[str, ...] | None, str]:
    return data.names, data.by


def read_data(
    path: str | Path,
    simulator: Simulator | None = None,
    *,
    context: Mapping[str, Any] | None = None,
    by: str | None = None,
    note: Callable[[str], None] = print,
) -> FileData:
    """Read an observation, or several, as a dict of name to array.

    ``.csv``: a column for each name, a row for each step; channels in columns ``x[0]``, ``x[1]``,
    or ``x0``, ``x1``. A number is repeated in each row, or stands in the first. A column ``id`` or
    ``observation``, or that named by ``by``, tells several observations apart. A vector may stand
    in one row, in columns ``x0`` to ``x4``; each row is then an observation. The order of columns
    is free; those that the simulator doesn't know are ignored, with a note. ``.json``: an object of
    name to number or (nested) list. ``.npz``: arrays under their names.

    ``context`` has the values of context variables that are not in the file.
    """
    path = check_path("Data file", path, "data.csv")
    context = context or {}
    _check_request(path, simulator, context, by)
    kind = path.suffix[1:].upper()
    # Damaged files make JSON, zip and NumPy raise exceptions of many kinds.
    with reraise_as(
        f"Data file {str(path)!r}",
        f"well-formed {kind} with a name for each array",
        "correct the file",
        error=InputError,
    ):
        if kind == "CSV":
            table = read_table(path)
            data = (
                _plain(table)
                if simulator is None
                else _read_variables(table, simulator, context, by, note)
            )
        elif kind == "JSON":
            data = FileData(read_json(path))
        else:
            data = FileData(read_npz(path))
    for name, value in context.items():
        if name in data:
            raise InputError(
                f"Context {name!r}",
                expected="each context variable once",
                got=f"a value, and one in {path.name}",
                do="leave out one of them",
            )
        data[name] = value if simulator is None else _for_all(data, simulator, value)
    if simulator is not None and (names := data.names) is not None:
        # Their names are known here alone.
        check_observations(simulator, data, lambda row: f"{data.by} {names[row]!r}")
    return data


def _check_request(
    path: Path, simulator: Simulator | None, context: Mapping[str, Any], by: str | None
) -> None:
    """Raise for a file that can't be read, and for names that it or the simulator can't have."""
    if not path.is_file():
        raise InputError(
            "Data file", expected="a file", got=f"no file {str(path)!r}", do="check the path"
        )
    kind = path.suffix.lower()
    if kind not in (".csv", ".json", ".npz"):
        raise InputError(
            f"Data file {str(path)!r}",
            expected=".csv, .json or .npz",
            got=repr(path.suffix),
            do="convert the file",
        )
    if by is not None and kind != ".csv":
        raise InputError(
            f"Column {by!r} that tells observations apart",
            expected=".csv, whose rows a column tells apart",
            got=repr(kind),
            do="leave it out: a first axis counts the observations",
        )
    for name in context:
        known = [] if simulator is None else list(simulator.context_names)
        if simulator is not None and name not in known:
            none = f"nothing: simulator {simulator.name!r} declares no context"
            raise InputError(
                f"Context {name!r}",
                expected=f"a name among {known}" if known else none,
                got=repr(name),
                do="check the spelling" if known else "leave it out",
            )


def parse_context(pairs: Iterable[str]) -> dict[str, Any]:
    """Return context from texts such as ``"dose=100"`` or ``"doses=10,20"``.

    >>> parse_context(["dose=100"])
    {'dose': 100.0}
    """
    context: dict[str, Any] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        name = name.strip()
        if name in context:
            raise InputError(
                f"Context {name!r}",
                expected="each variable once",
                got=f"another, {pair!r}",
                do="give it once; a vector as NAME=NUMBER,NUMBER",
            )
        try:
            values = [read_number(part) for part in text.split(",")]
        except ValueError as error:
            raise InputError(
                f"Context {pair!r}",
                expected="NAME=NUMBER",
                got=repr(pair),
                do="write for example dose=100, or doses=10,20 for a vector",
            ) from error
        context[name] = values[0] if len(values) == 1 else np.array(values)
    return context


def _plain(table: Table) -> FileData:
    """Return columns without the empty cells at their end; one with a single value is a number."""
    columns = {name: trim(table.numbers(name)) for name in table.names}
    return FileData(
        {name: value[0] if len(value) == 1 else value for name, value in columns.items()}
    )


def _read_variables(
    table: Table,
    simulator: Simulator,
    context: Mapping[str, Any],
    by: str | None,
    note: Callable[[str], None],
) -> FileData:
    """Return the simulator's variables from a table; note the columns that are not used."""
    shapes = data_shapes(simulator)
    if "value" not in shapes:
        own = by or next((name for name in _IDS if name in table.names), None)
        known = simulator.labels.coordinates
        table = widen(table, own, {name: _spelled(table, known[name].name) for name in known})
    columns = {name: _columns_of(table, name, shape, shapes) for name, shape in shapes.items()}
    used = {column for found in columns.values() for column in found}
    unused = [name for name in table.names if name not in used]
    ids = [by] if by is not None else [name for name in _IDS if name in unused][:1]
    extra = [name for name in unused if name not in ids]
    absent = [name for name in shapes if not columns[name]]
    for name in [*ids, *absent]:
        if name in table.names or name in context or name in simulator.lengths.values():
            continue
        do = _how_to_add(name, extra, name in ids, name in simulator.observable_shapes)
        raise table.fault(
            1, None, expected=f"a column {name!r}", got=f"columns {table.names}", do=do
        )
    groups = _groups(table, ids)
    if not ids and _is_row_by_row(columns, shapes):
        places = [place for place, row in enumerate(table.rows) if any(map(str.strip, row))]
        groups = {str(number): [place] for number, place in enumerate(places, 1)}
    # Several observables may have a coordinate in common.
    for coordinate in simulator.labels.coordinates.values():
        column = _spelled(table, coordinate.name)
        if column in extra:
            check_steps(table, column, coordinate, groups)
            extra.remove(column)
    if extra:
        note(
            f"note: columns {extra} of {str(table.path)!r} are not of simulator "
            f"{simulator.name!r}, and are ignored"
        )
    data = FileData()
    data.names = tuple(groups) if len(groups) > 1 else None
    data.by = ids[0] if ids else data.by
    several = _ONE_BY_ONE if ids else _several(table, extra)
    # Side by side, (rows, channels).
    values = {
        name: np.stack([table.numbers(column) for column in found], axis=1)
        for name, found in columns.items()
        if found
    }
    for name in values:
        found = columns[name]
        parts = [
            _read_variable(table, simulator, name, found, shapes[name], values, rows, several)
            for rows in groups.values()
        ]
        data[name] = parts[0] if len(groups) == 1 else _join(parts)
    return data


def _spelled(table: Table, name: str) -> str:
    """Return a name as the header spells it, in capitals or not; as it is if it isn't there."""
    if name in table.names:
        return name
    return next((column for column in table.names if column.lower() == name.lower()), name)


def _how_to_add(name: str, extra: list[str], is_id: bool, is_observable: bool) -> str:
    """Say how to give a table the column ``name``; ``extra`` are columns without a use."""
    alike = {column.lower(): column for column in extra}
    close = difflib.get_close_matches(name.lower(), alike, n=1)
    if is_id:
        return f"--by {alike[close[0]]}" if close else "name one of these columns: --by COLUMN"
    numbered = [column for column in extra if re.fullmatch(rf"{re.escape(name)}[_ .]?\d+", column)]
    if len(numbered) > 1:
        return f"write one column {name!r}, with a row for each of {numbered[0]!r}, ..."
    if close:
        return f"rename column {alike[close[0]]!r}"
    if is_observable:
        return "give each column the name that the simulator uses"
    return f"add it, or --context {name}=VALUE"


def _several(table: Table, extra: list[str]) -> str:
    """Say what to do if a column may tell several observations apart; empty if none does."""
    for name in extra:
        place = table.names.index(name)
        groups = [row[place].strip() for row in table.rows if any(field.strip() for field in row)]
        if 1 < len(set(groups)) < len(groups) and "" not in groups:
            return (
                f"column {name!r} tells several observations apart? --by {name} of bayesinn infer "
                "and models answers them all; other commands look at one, in a file of its own"
            )
    return ""


def _is_row_by_row(columns: Mapping[str, list[str]], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Tell whether each row is an observation: vectors stand in rows, and all else is a number."""
    vectors = [name for name, found in columns.items() if found not in ([], [name])]
    others = [name for name, found in columns.items() if found == [name]]
    return (
        bool(vectors)
        and all(len(shapes[name]) == 1 for name in vectors)
        and all(not shapes[name] for name in others)
    )


def _columns_of(
    table: Table, name: str, shape: tuple[int, ...], known: Collection[str]
) -> list[str]:
    """Return the columns of a variable: one of its name, or one for each channel.

    Those of the names of other variables are theirs.
    """
    if name in table.names and len(shape) < 2:
        return [name]
    indexed = [
        column for column in table.names if re.fullmatch(re.escape(name) + r"\[\d+\]", column)
    ]
    channels = [f"{name}[{number}]" for number in range(shape[-1])] if shape else []
    if name in table.names or (indexed and set(indexed) != set(channels)):
        expected = f"columns {channels[0]} to {channels[-1]}" if shape else f"one column {name!r}"
        do = "write one column for each channel, or one column and a row for each step"
        absent = ", ".join(column for column in channels if column not in indexed)
        got = f"{len(indexed)} such columns"
        if absent:
            got += f" without {absent[:100]}"
        raise table.fault(1, [name, *indexed][-1], expected=expected, got=got, do=do)
    if indexed or not shape:
        return channels if indexed else []
    pattern = re.compile(re.escape(name) + r"[_ .-]?(\d{1,9})")
    numbers = {
        int(match[1]): column
        for column in table.names
        if column not in known and (match := pattern.fullmatch(column))
    }
    first = min(numbers, default=0)
    complete = first in (0, 1) and sorted(numbers) == list(range(first, first + shape[-1]))
    return [numbers[number] for number in sorted(numbers)] if complete else []


def _groups(table: Table, ids: list[str]) -> dict[str, list[int]]:
    """Return the rows of each observation, by its name."""
    if not ids:
        return {"": list(range(len(table.rows)))}
    groups: dict[str, list[int]] = {}
    place = table.names.index(ids[0])
    for number, row in enumerate(table.rows):
        if not any(field.strip() for field in row):
            continue  # as spreadsheets write at the end
        if not row[place].strip():
            raise table.fault(
                table.lines[number],
                ids[0],
                expected="a name or number",
                got="an empty field",
                do="write the observation that the row belongs to",
            )
        groups.setdefault(row[place].strip(), []).append(number)
    return groups


def _read_variable(
    table: Table,
    simulator: Simulator,
    name: str,
    found: list[str],
    shape: tuple[int, ...],
    values: Mapping[str, np.ndarray],
    rows: list[int],
    several: str,
) -> Any:
    """Return a variable of one observation, from its rows; ``values`` are those of the table."""
    own = values[name][rows]
    places = rows
    # Columns are channels of each row, or elements of a vector that is there once, or repeated.
    once = not shape or (found != [name] and len(shape) == 1)
    if once:
        first = _known_row(table, found[0], own, rows, several)
        own = own[first][:, None]
        places = [rows[first]] * len(found)
    elif len(own) > shape[0]:
        # Other columns may be longer.
        own = own[: max(len(trim(own)), shape[0])]
    varies = name in simulator.lengths
    if varies:
        lossy = may_miss(simulator, name)
        own = own[: count_steps(simulator, name, values, rows)] if lossy else trim(own)
    steps = shape[0] if shape else 1
    if len(own) > steps or (len(own) < steps and not varies):
        raise table.fault(
            table.lines_of(found[0])[places[len(own) - 1]],
            found[0],
            expected=f"{steps} rows, or fewer" if varies else f"{steps} rows",
            got=f"{len(own)}",
            do=several or "write a row for each step; several observations need a column 'id'",
        )
    lost = np.argwhere(np.isnan(own))
    if len(lost) and not may_miss(simulator, name):
        step, channel = lost[0]
        column = found[step if once else channel]
        field = table.rows[places[step]][table.names.index(column)].strip()
        raise table.fault(
            table.lines_of(column)[places[step]],
            column,
            expected="a number",
            got=(repr(field) if field else "an empty field"),
            do=(MISSING_VALUES if name in simulator.observable_shapes else "write its value"),
        )
    if not shape:
        return own[0, 0]
    return own if len(shape) > 1 else own[:, 0]


def _known_row(table: Table, column: str, values: np.ndarray, rows: list[int], several: str) -> int:
    """Return the first row (channels,) that is not empty; the others must be equal or empty."""
    known = ~np.isnan(values).all(axis=1)
    first = int(np.argmax(known))
    changes = (values != values[first]) & ~np.isnan(values[first])
    adds = np.isnan(values[first]) & ~np.isnan(values)
    differs = known & np.any(changes | adds, axis=1)
    if differs.any():
        other = int(np.argmax(differs))
        raise table.fault(
            table.lines_of(column)[rows[other]],
            column,
            expected="one value for the whole observation",
            got=f"{values[other].tolist()} after {values[first].tolist()}",
            do=several or "repeat it, or give an id column",
        )
    return first


def _join(parts: list[Any]) -> Any:
    """Stack the observations; those of several lengths are a list, which is padded later."""
    same = len({np.shape(part) for part in parts}) == 1
    return np.stack(parts) if same else [part.tolist() for part in parts]


def _for_all(data: Mapping[str, Any], simulator: Simulator, value: Any) -> Any:
    """Return the value of a context variable for each of several observations in the data."""
    name, shape = next(iter(simulator.observable_shapes.items()))
    first = data.get(name)
    several = axes(first) > len(shape)
    return np.stack([value] * len(first)) if first is not None and several else value


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
