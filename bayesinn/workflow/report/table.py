"""Write a DataFrame as rows of text for the report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from bayesinn.core.labels import Labels
from bayesinn.workflow.report.mathtext import written

#: Words that are a verdict wherever they fill a cell, in any case, and the symbol before each of them.
VERDICTS = {"passed": "✓", "doubtful": "?", "failed": "✗"}
_LONG = 30
#: Width of a printed page, in letters of one point: 182 mm; in a wide font, bold at times, a letter takes 0.68.
_PAGE = 516 / 0.68
_SMALLEST, _LARGEST = 5.5, 8.5
_NOTHING = Markup()


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and what stands before and behind it.

    Parameters
    ----------
    text : str
    label : Markup, how figures write a parameter, where that differs from its name
    unit : Markup
    """

    text: str
    label: Markup = _NOTHING
    unit: Markup = _NOTHING

    @property
    def verdict(self) -> str:
        """``"passed"``, ``"doubtful"`` or ``"failed"`` if the cell says nothing else; otherwise empty."""
        word = self.text.lower()
        return word if word in VERDICTS else ""

    @property
    def length(self) -> int:
        """Letters that stay on one line."""
        symbol = 4 if self.verdict else 0
        return symbol + max(map(len, self.text.split()), default=0)

    @property
    def symbol(self) -> str:
        """What tells verdicts apart where colours can't."""
        return VERDICTS.get(self.verdict, "")


@dataclass(frozen=True)
class Table:
    """A table as text.

    Parameters
    ----------
    header : list of str
    rows : list of list of Cell
    kinds : list of str, a column each
        ``"number"`` (set flush right), ``"long"`` (text that needs room), or empty.
    heads : int
        How many columns name the row.
    """

    header: list[str]
    rows: list[list[Cell]]
    kinds: list[str]
    heads: int

    @property
    def labelled(self) -> list[bool]:
        """Which columns have labels, so that names stand below each other where one of them has none."""
        return [any(row[position].label for row in self.rows) for position in range(len(self.header))]

    @property
    def points(self) -> float:
        """Size of letters, in points, at which words stay whole on a printed page."""
        return max(_SMALLEST, min(_LARGEST, round(_PAGE / self._letters, 1)))

    @property
    def tight(self) -> bool:
        """Whether words must break on a printed page."""
        return _PAGE / self._letters < _SMALLEST

    @property
    def _letters(self) -> float:
        """Widths of all columns together, in letters: each as wide as its longest word, and a gap."""
        longest = [max(map(len, name.split()), default=0) for name in self.header]
        for row in self.rows:
            longest = [max(length, cell.length) for length, cell in zip(longest, row, strict=True)]
        return sum(longest) + 1.3 * len(longest)


def table(frame: pd.DataFrame, labels: Labels | None = None) -> Table:
    r"""Format a DataFrame.

    Parameters
    ----------
    frame : DataFrame
        The index becomes the first column.
    labels : Labels, optional
        How to write the names in the index: label, name, unit.

    Returns
    -------
    Table

    Examples
    --------
    >>> frame = pd.DataFrame({"p": [0.12345], "inside": [True]}, index=pd.Index(["rate"], name="parameter"))
    >>> [cell.text for cell in table(frame).rows[0]]
    ['rate', '0.123', 'yes']
    >>> table(frame, Labels({"rate": "infection rate"}, {"rate": "1/day"})).rows[0][0]
    Cell(text='rate', label=Markup('infection rate'), unit=Markup('1/day'))
    """
    heads = [
        [_head(value, labels) for value in frame.index.get_level_values(level)] for level in range(frame.index.nlevels)
    ]
    columns = [[Cell(text(value)) for value in frame.iloc[:, position]] for position in range(frame.shape[1])]
    kinds = [
        "number"
        if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
        else "long"
        if any(len(cell.text) > _LONG for cell in column)
        else ""
        for dtype, column in zip(frame.dtypes, columns, strict=True)
    ]
    return Table(
        header=[*("" if name is None else str(name) for name in frame.index.names), *map(str, frame.columns)],
        rows=[list(row) for row in zip(*heads, *columns, strict=True)],
        kinds=[""] * len(heads) + kinds,
        heads=len(heads),
    )


def _head(value: object, labels: Labels | None) -> Cell:
    name = text(value)
    if labels is None:
        return Cell(name)
    label, unit = written(labels.label(name), name), labels.unit(name)
    # Nothing is said twice: not a name without label, nor one whose label can't be drawn.
    return Cell(name, _NOTHING if label == escape(name) else label, written(unit, unit))


def text(value: object) -> str:
    """One cell: three decimals (three digits where that says nothing), yes or no, a dash for what is missing.

    Examples
    --------
    >>> [text(value) for value in (1234567, 0.00001234, -0.5, 12345.6, None, float("nan"))]
    ['1,234,567', '1.23e-05', '\u22120.500', '12,346', '\u2013', '\u2013']
    """
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return "\N{EN DASH}"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        digits = f"{value:,}"
    elif isinstance(value, float | np.floating):
        size = abs(float(value))
        digits = f"{value:.3f}" if 1e-3 <= size < 10 else f"{value:,.0f}" if 1e3 <= size < 1e9 else f"{value:.3g}"
    else:
        return str(value)
    return digits.replace("-", "\N{MINUS SIGN}", 1) if digits.startswith("-") else digits
