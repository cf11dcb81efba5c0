"""CSV files as people have them: each fault is named by line and column, nothing is guessed."""

import codecs
import contextlib
import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.core.manifest import reraise_as
from bayesinn.core.number_text import is_number, read_number

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
