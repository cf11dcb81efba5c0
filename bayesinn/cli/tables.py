"""Tables and arrays in files that people have: CSV, JSON, NPZ, NPY."""

import codecs
import contextlib
import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bayesinn.cli.options import named_files
from bayesinn.core.arrays import numbers
from bayesinn.core.errors import InputError, check_memory, distinct
from bayesinn.core.files import reraise_as
from bayesinn.core.number_text import is_number, read_number
from bayesinn.simulation.checks import check_simulations
from bayesinn.simulation.derived import from_arrays
from bayesinn.simulation.prior_text import read_distribution
from bayesinn.simulation.simulations import count_rows, take
from bayesinn.simulation.simulator import Arrays, Simulator

_MISSING = ("", "na", "n/a", "nan", "null", "none", ".")
#: Columns of a table in a long format.
_LONG = ("variable", "value")
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SAVE = "save it as CSV with commas between fields, points in decimal numbers, in UTF-8"


class Table(NamedTuple):
    """The fields of a CSV file as text: ``rows`` with as many fields as ``names``.

    ``lines`` are the line numbers of the rows in the file; ``own_lines`` are those of columns whose
    fields stand in lines of their own.
    """

    path: Path
    names: list[str]
    rows: list[list[str]]
    lines: list[int]
    own_lines: Mapping[str, list[int]] = {}

    def lines_of(self, name: str) -> list[int]:
        """Return the line numbers (rows,) of the fields of a column."""
        return self.own_lines.get(name, self.lines)

    def numbers(self, name: str) -> np.ndarray:
        """Return a column as numbers (rows,), NaN where nothing is."""
        place = self.names.index(name)
        return np.array(
            [
                self._number(row[place], line, name)
                for row, line in zip(self.rows, self.lines_of(name), strict=True)
            ]
        )

    def fault(
        self, line: int, column: str | int | None, *, expected: str, got: str, do: str
    ) -> InputError:
        """Return the error for a place in the file."""
        where = "" if column is None else f", column {column!r}"
        return InputError(
            f"{str(self.path)!r}, line {line}{where}", expected=expected, got=got, do=do
        )

    def _number(self, field: str, line: int, name: str) -> float:
        text = field.strip()
        if text.lower() in _MISSING:
            return np.nan
        with contextlib.suppress(ValueError):
            return read_number(text)
        do = "write a number, or leave the field empty where a value is missing"
        if text[0] in "<>\N{LESS-THAN OR EQUAL TO}\N{GREATER-THAN OR EQUAL TO}":
            do = (
                "write what the simulator returns for values beyond a limit, such as the limit "
                "itself"
            )
        elif "," in text:
            do = "write decimal numbers with a point, and thousands without separator"
        raise self.fault(line, name, expected="a number", got=repr(text), do=do)


def widen(table: Table, by: str | None, coordinates: Mapping[str, str]) -> Table:
    """Return a table in a long format, with columns ``variable`` and ``value``, in the wide one.

    The steps of each variable are in the order of rows, for each value of the column ``by``.
    Variables with the same coordinate, such as a day, must have the same ones in the same order:
    ``coordinates`` has their names by variable. Any other table is returned as it is.
    """
    if not set(_LONG) <= set(table.names):
        return table
    variable, value = (table.names.index(name) for name in _LONG)
    others = [place for place, name in enumerate(table.names) if name not in _LONG]
    places = {name: place for place, name in enumerate(table.names)}
    found: dict[str, dict[str, list[int]]] = {}
    for number, row in enumerate(table.rows):
        key = row[places[by]].strip() if by in places else ""
        found.setdefault(key, {}).setdefault(row[variable].strip(), []).append(number)
    names = list(dict.fromkeys(row[variable].strip() for row in table.rows))
    coordinate_of = {name: coordinates.get(name.partition("[")[0], "") for name in names}
    own_lines: dict[str, list[int]] = {name: [] for name in names}
    head = [*(table.names[place] for place in others), *names]
    wide = Table(table.path, head, [], [], own_lines)
    for columns in found.values():
        longest = max(columns.values(), key=len)
        for step, number in enumerate(longest):
            rows = {name: each[step] for name, each in columns.items() if step < len(each)}
            owners = _rows_of_coordinates(table, rows, coordinate_of)
            cells = [table.rows[rows[name]][value] if name in rows else "" for name in names]
            # A column that is no coordinate is that of the longest variable.
            rest = [table.rows[owners.get(table.names[place], number)][place] for place in others]
            wide.rows.append([*rest, *cells])
            wide.lines.append(table.lines[number])
            for name, lines in own_lines.items():
                lines.append(table.lines[rows.get(name, number)])
    return wide


def _rows_of_coordinates(
    table: Table, rows: Mapping[str, int], coordinate_of: Mapping[str, str]
) -> dict[str, int]:
    """Return a row for each coordinate at a step of several variables, which must agree on it."""
    owners: dict[str, str] = {}
    for name, number in rows.items():
        coordinate = coordinate_of[name]
        if coordinate not in table.names:
            continue
        first = owners.setdefault(coordinate, name)
        place = table.names.index(coordinate)
        expected = table.rows[rows[first]][place].strip()
        got = table.rows[number][place].strip()
        if not _is_same(expected, got):
            raise table.fault(
                table.lines[number],
                coordinate,
                expected=f"{expected!r}, as for {first!r}",
                got=f"{got!r} for {name!r}",
                do="give each variable a row for each step, in the same order, and leave the "
                "value empty where it is missing",
            )
    return {coordinate: rows[name] for coordinate, name in owners.items()}


def _is_same(one: str, other: str) -> bool:
    """Tell whether two fields are the same text or number."""
    if is_number(one) and is_number(other):
        return read_number(one) == read_number(other)
    return one == other


def read_table(path: Path) -> Table:
    """Read a CSV file with a header; refuse bad field numbers, blank lines, other separators.

    A first column without a name is left out: pandas writes row numbers there.
    """
    table = Table(path, [], [], [])
    with reraise_as(
        f"Data file {str(path)!r}",
        "a file that can be read",
        "check who may read it",
        OSError,
        InputError,
    ):
        data = path.read_bytes()
    reader = csv.reader(io.StringIO(_decode(table, data), newline=""), strict=True)
    try:
        for row in reader:
            table.rows.append(row)
            table.lines.append(reader.line_num)
    except csv.Error as error:
        raise table.fault(
            reader.line_num, None, expected="well-formed CSV", got=str(error), do=_SAVE
        ) from error
    while table.rows and _is_blank(table.rows[-1]):
        table.rows.pop()
        table.lines.pop()
    if len(table.rows) < 2:
        raise table.fault(
            len(table.rows) or 1,
            None,
            expected="a header with names, and numbers below it",
            got="the end of the file",
            do="give each column the name that the simulator uses",
        )
    if _is_blank(table.rows[0]):
        raise table.fault(
            table.lines[0],
            None,
            expected="a header with names",
            got="a blank line",
            do="delete the line",
        )
    names = [name.strip() for name in table.rows.pop(0)]
    _check_header(table, names, table.lines.pop(0))
    table.names.extend(names)
    for row, line in zip(table.rows, table.lines, strict=True):
        _check_row(table, row, line)
    if not names[0]:
        for row in (table.names, *table.rows):
            del row[0]
    return table


def _decode(table: Table, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        got = f"byte {data[error.start]:#04x} at place {column} of the line"
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            line = 1
            got = "UTF-16"
        raise table.fault(line, None, expected="text in UTF-8", got=got, do=_SAVE) from error
    if (place := text.find("\0")) >= 0:
        raise table.fault(
            text.count("\n", 0, place) + 1,
            None,
            expected="text in UTF-8",
            got="a zero byte",
            do=_SAVE,
        )
    return text


def _check_header(table: Table, names: list[str], line: int) -> None:
    for separator, word in _SEPARATORS.items():
        if len(names) == 1 and separator in names[0]:
            raise table.fault(
                line, 1, expected="commas between fields", got=f"{word}: {names[0]!r}", do=_SAVE
            )
    expected = "a header with different names"
    do = "give each column the name that the simulator uses"
    for place, name in enumerate(names, 1):
        if (not name and place > 1) or is_number(name) or name in names[: place - 1]:
            raise table.fault(line, place, expected=expected, got=repr(name), do=do)


def _check_row(table: Table, row: list[str], line: int) -> None:
    size = len(table.names)
    expected = "1 field" if size == 1 else f"{size} fields"
    if _is_blank(row):
        raise table.fault(
            line,
            None,
            expected=expected,
            got="a blank line",
            do="delete the line, or write one field for each column: empty ones are missing values",
        )
    if len(row) == size:
        return
    got = f"{len(row)}: {','.join(row)!r}"
    if len(row) < size:
        raise table.fault(
            line,
            table.names[len(row)],
            expected=expected,
            got=got,
            do="write one field for each column, empty where a value is missing",
        )
    raise table.fault(
        line,
        size + 1,
        expected=expected,
        got=got,
        do=(
            "write decimal numbers with a point (1.5, not 1,5), and one field for each name in the "
            "header"
        ),
    )


def _is_blank(row: list[str]) -> bool:
    return not row or (len(row) == 1 and row[0].isspace())


def read_npz(path: Path) -> dict[str, Any]:
    """Return the arrays of a file by name; a ValueError if there are none."""
    file = np.load(path, allow_pickle=False)
    if isinstance(file, np.ndarray):
        raise ValueError(
            "a single array without a name, as np.save writes it; np.savez(path, NAME=array) "
            "names it"
        )
    with file:
        size = sum(entry.file_size for entry in file.zip.infolist())
        got = f"{len(file.files)} arrays"
        check_memory(f"File {str(path)!r}", size, got=got, do="write fewer rows into it")
        arrays = dict(file)
    for name, value in arrays.items():
        if not isinstance(value, np.ndarray):
            raise ValueError(f"entry {name!r} is no array")
    return arrays


def read_json(path: Path) -> dict[str, Any]:
    """Return the entries of a JSON object; a ValueError for any other JSON."""
    data = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=distinct)
    if not isinstance(data, dict):
        raise ValueError(
            f'a {type(data).__name__} without names; an object names it: {{"NAME": [1, 2, 3]}}'
        )
    return data


#: Name in a run folder of rows that its posterior was not trained on.
HELD_OUT = "held_out.npz"
_SHARE = 0.2
_MOST_HELD_OUT = 10_000
# Of a correct posterior, fewer data sets leave most verdicts undecided.
_DECIDE = 2_500


def read_arrays(place: str, parameters: Sequence[str]) -> dict[str, Any]:
    """Return the arrays of a file by name.

    A pair of .npy files holds parameters and an observable. The columns of the first file are the
    ``parameters``, in this order; the observable is named like the second file.
    """
    files = named_files(place)
    subject = f"File of simulations {place!r}"
    for file in files:
        if not file.is_file():
            raise InputError(
                subject, expected="a file", got=f"no file {str(file)!r}", do="check the path"
            )
    try:
        if len(files) == 1 and files[0].suffix.lower() == ".npz":
            return dict(read_npz(files[0]))
        if len(files) != 2:
            raise ValueError(f"{len(files)} of .npy")
        first, data = (np.load(file, allow_pickle=False) for file in files)
    except Exception as error:
        raise InputError(
            subject,
            expected=".npz with a name for each array, or PARAMETERS.npy,DATA.npy",
            got=f"{type(error).__name__}: {error}",
            do="write it with np.savez(path, NAME=array, ...)",
        ) from error
    columns = first[:, None] if first.ndim == 1 else first
    if columns.ndim != 2 or columns.shape[1] != len(parameters):
        raise InputError(
            subject,
            expected=f"a column for each of the parameters {list(parameters)}",
            got=f"shape {first.shape}",
            do="order --prior as the columns are; write vectors into an .npz file",
        )
    return {**dict(zip(parameters, columns.T, strict=True)), files[1].stem: data}


def read_priors(texts: Sequence[str]) -> dict[str, Any]:
    """Return distributions by parameter, from texts such as ``rate=LogNormal(-0.9, 0.5)``."""
    priors: dict[str, Any] = {}
    for text in texts:
        name, equals, distribution = text.partition("=")
        name = name.strip()
        if not equals or not re.fullmatch(r"[^\s(]+", name) or name in priors:
            raise InputError(
                f"Option --prior {text!r}",
                expected="NAME=DISTRIBUTION(NUMBERS)",
                got=repr(text),
                do="write for example --prior 'rate=LogNormal(-0.9, 0.5)', once for each parameter",
            )
        priors[name] = read_distribution(f"Prior of {name!r}", distribution)
    return priors


def arrays_model(name: str | None, place: str, texts: Sequence[str]) -> tuple[Simulator, Arrays]:
    """Return the model of arrays in a file, with these priors, and the arrays."""
    priors = read_priors(texts)
    arrays = read_arrays(place, list(priors))
    rows = {key: numbers(f"Array {key!r} in {place!r}", value) for key, value in arrays.items()}
    if absent := [key for key in priors if key not in rows]:
        raise InputError(
            f"File of simulations {place!r}",
            expected=f"an array for each parameter with a prior, {list(priors)}",
            got=f"{list(rows)}, without {absent}",
            do="name the parameters as in --prior; the other arrays are the data",
        )
    return from_arrays(priors, rows, name=name or named_files(place)[-1].stem), rows


def hold_out(arrays: Mapping[str, np.ndarray]) -> tuple[Arrays, Arrays]:
    """Return rows to train on, and others to diagnose on: a fifth, 10,000 at most.

    What a row holds decides where it goes, not its place or the seed of the training. So a
    posterior that is trained longer, or on more rows, has not seen the rows to diagnose on.
    """
    rows = count_rows(arrays)
    places = np.array([_place(arrays, row) for row in range(rows)])
    # One at least is on either side.
    ordered = np.sort(places)
    limit = np.clip(min(_SHARE, _MOST_HELD_OUT / rows), ordered[0], ordered[-1])
    apart = (places <= limit) & (places < ordered[-1])
    return take(arrays, np.flatnonzero(~apart)), take(arrays, np.flatnonzero(apart))


def few_held_out(held_out: Arrays, rows: int) -> str:
    """Say that rows which are held out of so many may be too few for a verdict; nothing if not."""
    count = count_rows(held_out)
    if count >= _DECIDE:
        return ""
    return (
        f"note: {count:,} of {rows:,} rows are held out for the diagnosis. A verdict takes about "
        f"{_DECIDE:,}, fewer may leave it undecided: give {math.ceil(_DECIDE / _SHARE):,} rows in "
        f"all, or {_DECIDE:,} more for 'bayesinn diagnose RUN --held-out FILE.npz'"
    )


def _place(arrays: Mapping[str, np.ndarray], row: int) -> float:
    """Return a number in [0, 1) that follows from what a row holds."""
    content = hashlib.blake2b(digest_size=8)
    for name in sorted(arrays):
        content.update(np.asarray(arrays[name][row], np.float64).tobytes())
    return int.from_bytes(content.digest()) / 2.0**64


def held_out_rows(run: Path, given: Path | None, simulator: Simulator) -> Arrays | None:
    """Return the rows to diagnose on: of a file, or those in a run folder; None to simulate."""
    own = run / HELD_OUT
    if given is None and (simulator.simulates or not own.is_file()):
        return None
    place = str(own if given is None else given)
    return check_simulations(
        simulator, read_arrays(place, simulator.prior.names), f"File of simulations {place!r}"
    )
