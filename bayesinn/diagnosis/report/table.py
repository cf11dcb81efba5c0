"""Write a DataFrame as rows of text for the report."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from bayesinn.core.labels import Labels
from bayesinn.core.number_text import is_number
from bayesinn.diagnosis.report.mathtext import write_label

#: Words that are a grade if they fill a cell, in any case; symbols that tell them apart without
#: colour; style.
GRADES = {
    "within": ("✓", "passed"),
    "undecided": ("?", "doubtful"),
    "no upper bound": ("?", "doubtful"),
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


def table(frame: pd.DataFrame, labels: Labels | None = None) -> dict[str, Any]:
    """Format a DataFrame for the template; with labels, names in its index get label and unit.

    ``header`` and ``rows`` of cells begin with the index, which makes the first ``heads`` columns.
    ``kinds`` of columns are "number" (flush right), "long" (text that needs room), or empty;
    ``labelled`` are those with labels: all names are then aligned, labelled or not. Letters of
    ``points`` let the longest words fit on a printed page; words break if it is ``tight``.
    """
    levels = [frame.index.get_level_values(level) for level in range(frame.index.nlevels)]
    heads = [[_head(value, labels) for value in level] for level in levels]
    columns = [[Cell(write(value)) for value in frame.iloc[:, at]] for at in range(frame.shape[1])]
    kinds = [_kind(dtype, column) for dtype, column in zip(frame.dtypes, columns, strict=True)]
    names = ["" if name is None else str(name) for name in frame.index.names]
    header = [*names, *map(str, frame.columns)]
    every = [*heads, *columns]
    longest = (
        max(cell.length for cell in (Cell(name), *column))
        for name, column in zip(header, every, strict=True)
    )
    room = _PAGE / sum(letters + 1.3 for letters in longest)
    return {
        "header": header,
        "rows": list(zip(*every, strict=True)),
        "kinds": [""] * len(heads) + kinds,
        "heads": len(heads),
        "labelled": [any(cell.label for cell in column) for column in every],
        "points": max(_SMALLEST, min(_LARGEST, round(room, 1))),
        "tight": room < _SMALLEST,
    }


def _kind(dtype: object, column: list[Cell]) -> str:
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype):
        return "number"
    if all(is_number(cell.text) for cell in column):
        return "number"
    return "long" if any(len(cell.text) > _LONG for cell in column) else ""


def _head(value: object, labels: Labels | None) -> Cell:
    name = write(value)
    if labels is None:
        return Cell(name)
    label = write_label(labels.label(name), name)
    unit = labels.unit(name)
    # A label that is just the name is left out.
    return Cell(name, Markup() if label == escape(name) else label, write_label(unit, unit))


def write(value: object) -> str:
    """Write one cell: three decimals, yes or no, a dash if missing.

    Very small or large numbers have three digits.

    >>> [write(value) for value in (1234567, 0.00001234, -0.5, 12345.6, None, float("nan"))]
    ['1,234,567', '1.23e-05', '\u22120.500', '12,346', '\u2013', '\u2013']
    """
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return "\N{EN DASH}"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if not isinstance(value, int | float | np.number):
        return str(value)
    size = abs(float(value))
    digits = f"{value:.3f}" if 1e-3 <= size < 10 else f"{value:.3g}"
    if isinstance(value, int | np.integer) or 1e3 <= size < 1e9:
        digits = f"{value:,.0f}"
    return digits.replace("-", "\N{MINUS SIGN}", 1) if digits.startswith("-") else digits
