"""Write a DataFrame as rows of text for the report."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from bayesinn.core.labels import Labels
from bayesinn.diagnosis.report.mathtext import written

#: Words that are a grade if they fill a cell, in any case; symbols that tell them apart without
#: colour; style.
GRADES = {
    "within": ("✓", "passed"),
    "undecided": ("?", "doubtful"),
    "outside": ("✗", "failed"),
    "flagged": ("?", "doubtful"),
    "passed": ("✓", "passed"),
    "failed": ("✗", "failed"),
}
_LONG = 30
# Width of a printed page (182 mm, or 516 points) in letters of one point: a letter of a wide, bold
# font takes 0.68.
_PAGE = 516 / 0.68
_SMALLEST = 5.5
_LARGEST = 8.5


class Cell(NamedTuple):
    """One cell: its text, the label that figures write where it differs, and the unit."""

    text: str
    label: Markup = Markup()
    unit: Markup = Markup()

    @property
    def length(self) -> int:
        """Number of letters of the longest word, on one line; a grade adds a symbol and frame."""
        return 4 * (self.text.lower() in GRADES) + max(map(len, self.text.split()), default=0)


class Table(NamedTuple):
    """A table as text."""

    header: list[str]
    rows: list[list[Cell]]
    #: of the columns: ``"number"`` (flush right), ``"long"`` (text that needs room), or empty
    kinds: list[str]
    heads: int  #: how many columns name the row

    @property
    def labelled(self) -> list[bool]:
        """Whether each column has labels: all its names are then aligned, labelled or not."""
        return [
            any(row[position].label for row in self.rows) for position in range(len(self.header))
        ]

    @property
    def room(self) -> float:
        """Font size in points at which the longest words of all columns fit on a printed page."""
        columns = zip([Cell(name) for name in self.header], *self.rows, strict=True)
        return _PAGE / sum(max(cell.length for cell in column) + 1.3 for column in columns)

    @property
    def points(self) -> float:
        """Size of printed letters."""
        return max(_SMALLEST, min(_LARGEST, round(self.room, 1)))

    @property
    def tight(self) -> bool:
        """Whether words must break on a printed page."""
        return self.room < _SMALLEST


def table(frame: pd.DataFrame, labels: Labels | None = None) -> Table:
    """Format a DataFrame, its index first; with labels, names in it get label and unit.

    The index becomes the first columns.
    """
    levels = [frame.index.get_level_values(level) for level in range(frame.index.nlevels)]
    heads = [[_head(value, labels) for value in level] for level in levels]
    columns = [
        [Cell(text(value)) for value in frame.iloc[:, position]]
        for position in range(frame.shape[1])
    ]
    kinds = [_kind(dtype, column) for dtype, column in zip(frame.dtypes, columns, strict=True)]
    header = [
        *("" if name is None else str(name) for name in frame.index.names),
        *map(str, frame.columns),
    ]
    rows = [list(row) for row in zip(*heads, *columns, strict=True)]
    return Table(header, rows, [""] * len(heads) + kinds, len(heads))


def _kind(dtype: object, column: list[Cell]) -> str:
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype):
        return "number"
    return "long" if any(len(cell.text) > _LONG for cell in column) else ""


def _head(value: object, labels: Labels | None) -> Cell:
    name = text(value)
    if labels is None:
        return Cell(name)
    label = written(labels.label(name), name)
    unit = labels.unit(name)
    # A label that is just the name is left out.
    return Cell(name, Markup() if label == escape(name) else label, written(unit, unit))


def text(value: object) -> str:
    """Write one cell: three decimals, yes or no, a dash if missing.

    Very small or large numbers have three digits.

    >>> [text(value) for value in (1234567, 0.00001234, -0.5, 12345.6, None, float("nan"))]
    ['1,234,567', '1.23e-05', '\u22120.500', '12,346', '\u2013', '\u2013']
    """
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return "\N{EN DASH}"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if not isinstance(value, int | float | np.number):
        return str(value)
    size = abs(float(value))
    whole = isinstance(value, int | np.integer) or 1e3 <= size < 1e9
    digits = f"{value:,.0f}" if whole else f"{value:.3f}" if 1e-3 <= size < 10 else f"{value:.3g}"
    return digits.replace("-", "\N{MINUS SIGN}", 1) if digits.startswith("-") else digits
