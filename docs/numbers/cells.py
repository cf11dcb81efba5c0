"""Cells of tables, and how they are printed: the language in which a page names its numbers.

``row | column | format``, of the file that is named above it.

*Row*: the value of the first column, or ``column=value``, ``column!=value``, ``column<number``,
``column>number``; several are joined by ``&``, and ``*`` is every row. *Column*: its name; ``min``,
``max``, ``mean``, ``median`` or ``sum`` ``of`` it over all such rows; or ``count``, the number of
rows. A number within a text is found by a template, ``found ~ at most {} sd``, in which ``...`` is
anything. The file of what a tutorial printed (``docs/executed/*/outputs.json``) has the columns
``cell`` and ``text``.

*Format*: that of Python (``.3f``, ``,d``, ``+.2f``, ``.1%``), or ``2s`` for two significant digits
without an exponent; ``.1f x100`` multiplies before. Words come from tables, too: ``grade`` writes
the worst one of a column of grades, and ``behind / level with / ahead of 0.002`` what a positive
number says, one of at most 0.002 either way, and a negative one.
"""

from __future__ import annotations

import csv
import json
import math
import operator
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

NUMBER = r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d+)?"
_AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "max": max,
    "mean": statistics.fmean,
    "median": statistics.median,
    "sum": math.fsum,
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {"<": operator.lt, ">": operator.gt}
_CONDITION = re.compile(r"(?P<column>.+?)\s*(?P<sign>!=|[=<>])\s*(?P<value>.*)")
#: How a table and a page write the grades of a verdict, the worst one first.
GRADES = {
    "outside": "outside tolerance",
    "undecided": "undecided",
    "within": "within tolerance",
}
#: What a difference may say.
COMPARED = ("behind", "level with", "ahead of")
_WORDS = re.compile(rf"{' / '.join(COMPARED)} (?P<level>[\d.]+)")
_FORMAT = re.compile(r"(?P<digits>\d)s|(?P<spec>\S*)")


class CellError(Exception):
    """A cell that isn't there, or isn't one."""


@dataclass(frozen=True)
class Table:
    """Rows of a file, as texts."""

    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]

    def select(self, condition: str) -> list[dict[str, str]]:
        """Return the rows that a condition names; at least one."""
        parts = [] if condition == "*" else condition.split("&")
        found = [row for row in self.rows if all(self._fits(row, part.strip()) for part in parts)]
        if not found:
            raise CellError(f"no row {condition!r}")
        return found

    def _fits(self, row: dict[str, str], condition: str) -> bool:
        match = _CONDITION.fullmatch(condition)
        if not match or match["column"] not in self.columns:
            return row[self.columns[0]] == condition
        text = row[match["column"]]
        if match["sign"] in ("=", "!="):
            return (text == match["value"]) == (match["sign"] == "=")
        return text != "" and _COMPARISONS[match["sign"]](number(text), float(match["value"]))

    def value(self, condition: str, column: str) -> float:
        """Return the number in a cell, or that of many cells."""
        rows = self.select(condition)
        if column == "count":
            return len(rows)
        name, _, template = (part.strip() for part in column.partition("~"))
        aggregate, _, rest = name.partition(" of ")
        if name not in self.columns and aggregate in _AGGREGATES:
            name = rest
        else:
            aggregate = ""
        if name not in self.columns:
            raise CellError(f"no column {name!r}")
        texts = [row[name] for row in rows]
        if aggregate:
            return _AGGREGATES[aggregate]([number(text, template) for text in texts if text])
        if len(texts) > 1:
            raise CellError(f"{len(texts)} rows {condition!r}")
        return number(texts[0], template)

    def grade(self, condition: str, column: str) -> str:
        """Return the worst grade of a column, in words; checks without one don't count."""
        if column not in self.columns:
            raise CellError(f"no column {column!r}")
        found = {row[column] for row in self.select(condition)}
        if not found & GRADES.keys():
            raise CellError(f"no grade in {column!r}")
        return next(words for grade, words in GRADES.items() if grade in found)


def read(file: Path) -> Table:
    """Return the table of a CSV file, or what the cells of a tutorial printed."""
    if not file.is_file():
        raise CellError(f"no file {file.name}")
    return _read(file, file.stat().st_mtime_ns)


@cache
def _read(file: Path, _changed: int) -> Table:
    if file.suffix == ".json":
        cells = json.loads(file.read_text())["cells"]
        printed = tuple(
            {"cell": str(place), "text": cell["text"]} for place, cell in enumerate(cells)
        )
        return Table(("cell", "text"), printed)
    with file.open(newline="") as lines:
        reader = csv.DictReader(lines)
        rows = tuple(reader)
    return Table(tuple(reader.fieldnames or ()), rows)


def number(text: str, template: str = "") -> float:
    """Return the number that a text is, or the one that stands in it where the template has ``{}``."""
    if template:
        pattern = re.escape(template).replace(re.escape("..."), r"[^\n]*?")
        pattern = re.sub(r"(?:\\ )+", r"\\s+", pattern).replace(re.escape("{}"), f"({NUMBER})")
        found = re.findall(pattern, text)
        if len(found) != 1:
            raise CellError(f"{template!r} fits {len(found)} places of the text")
        text = found[0]
    try:
        return float(text.replace(",", ""))
    except ValueError:
        raise CellError(f"{text[:40]!r} is no number") from None


def show(value: float, form: str) -> str:
    """Return a number as the format says, or the word that its sign stands for."""
    if words := _WORDS.fullmatch(form):
        level = float(words["level"])
        return COMPARED[0 if value > level else 2 if value < -level else 1]
    form, _, factor = form.partition(" x")
    value *= float(factor or 1)
    match = _FORMAT.fullmatch(form)
    if match is None or not (match["digits"] or match["spec"]):
        raise CellError(f"no format {form!r}")
    if match["digits"]:
        return _significant(value, int(match["digits"]))
    try:
        return format(round(value) if form.endswith("d") else value, form).replace("%", " %")
    except ValueError:
        raise CellError(f"no format {form!r}") from None


def _significant(value: float, digits: int) -> str:
    """Return a number with so many digits that count, and no exponent."""
    rounded = float(f"{value:.{digits - 1}e}")
    leading = math.floor(math.log10(abs(rounded))) if rounded else 0
    return f"{rounded:,.{max(digits - 1 - leading, 0)}f}"
