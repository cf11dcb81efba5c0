"""Whole tables, made between two comments of a page.

From the columns of a CSV file, one line for each column of the page, its heading and what is in
it; a field in braces is a column of the file, with a format::

    <!--= table: results.csv
    network = {network}
    gap, nats = {gap | .3f} ± {standard error | .3f}
    rows: density=moons & seed=1
    conv → Conv + LSTM
    -->

    <!-- end -->

Without such lines it has every column. ``rows:`` chooses some, an arrow renames what the first
column says, and ``numbers: .3g`` is the format of all numbers with decimals that have none of
their own. Or by a function of a Python file, which takes no arguments and returns Markdown:
``<!--= table: tables.py training -->``. Files are beside the page, or named from the root of the
repository.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from docs.numbers.cells import CellError, number, read, show

_FIELD = re.compile(r"\{(?P<column>[^{}|]+?)\s*(?:\|\s*(?P<form>[^{}]+?)\s*)?\}")
_DECIMAL = re.compile(r"[-+]?\d+\.\d*(?:e[-+]?\d+)?|[-+]?\d+e[-+]?\d+")


def table(spec: str, folder: Path, root: Path) -> str:
    """Return the Markdown of a table, from what its comment says."""
    first, *lines = (line.strip() for line in spec.strip().splitlines())
    if ".py " in first:
        path, _, name = first.partition(" ")
        return by_function(find(path, folder, root), name.strip())
    return by_columns(find(first, folder, root), lines)


def find(path: str, folder: Path, root: Path) -> Path:
    """Return a file beside the page, or else from the root of the repository."""
    beside = folder / path
    return beside if beside.is_file() else root / path


def by_function(file: Path, name: str) -> str:
    """Return what a function of a Python file makes."""
    if not file.is_file():
        raise CellError(f"no file {file.name}")
    functions = vars(_module(file))
    if name not in functions:
        raise CellError(f"no function {name!r} in {file.name}")
    return functions[name]().strip()


@cache
def _module(file: Path) -> ModuleType:
    """Import a file under a name that is not taken."""
    name = "_tables_of_" + re.sub(r"\W", "_", str(file.parent))
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise CellError(f"{file.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def by_columns(file: Path, lines: list[str]) -> str:
    """Return columns of a CSV file under headings of the page."""
    source = read(file)
    columns = {}
    names = {}
    condition = "*"
    form = ""
    for line in lines:
        before, arrow, after = line.partition(" → ")
        if arrow:
            names[before.strip()] = after.strip()
        elif line.startswith("rows:"):
            condition = line.removeprefix("rows:").strip()
        elif line.startswith("numbers:"):
            form = line.removeprefix("numbers:").strip()
        elif "=" in line:
            heading, _, content = line.partition("=")
            columns[heading.strip()] = content.strip()
        else:
            raise CellError(f"neither heading = content nor name → other name: {line!r}")
    columns = columns or {name: f"{{{name}}}" for name in source.columns}
    rows = []
    for row in source.select(condition):
        first, *rest = [_cell(content, row, form) for content in columns.values()]
        rows.append([names.get(first, first), *rest])
    return markdown(list(columns), rows)


def _cell(content: str, row: dict[str, str], form: str) -> str:
    """Return what is in a cell, numbers with decimals in a format; nothing if one of its fields is empty."""
    empty = False

    def field(match: re.Match[str]) -> str:
        nonlocal empty
        if match["column"] not in row:
            raise CellError(f"no column {match['column']!r}")
        text = row[match["column"]]
        empty = empty or not text
        own = match["form"] or (form if _DECIMAL.fullmatch(text) else "")
        return show(number(text), own) if own and text else text

    filled = _FIELD.sub(field, content)
    return "" if empty else filled


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown; a heading or a name may be of several columns, with bars between them."""
    count = sum(1 + heading.count("|") for heading in head)
    lines = [f"| {' | '.join(head)} |", "|---" * count + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    # Cells that are empty.
    return re.sub(r"\|  (?=\|)", "| ", "\n".join(lines))
