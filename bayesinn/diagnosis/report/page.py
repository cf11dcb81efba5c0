"""The page of a report: sections, tables and figures in one HTML file."""

import base64
import platform
import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import InitVar, dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from bayesinn.core.errors import InputError, check_path
from bayesinn.core.files import atomic_write
from bayesinn.core.labels import Labels
from bayesinn.core.number_text import is_number
from bayesinn.diagnosis.report.mathtext import write_label
from bayesinn.diagnostics.deviation import digits
from bayesinn.plots.panels import Canvas, check_own, png

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, eq=False)
class Figure:
    """A picture with a caption, which says what is shown and how to tell good from bad."""

    #: drawn at once, so that later changes of the figure don't show; or a PNG file
    picture: InitVar[Canvas | bytes]
    caption: str
    alternative: str = ""  #: text for readers who can't see the picture; the caption if left empty
    png: bytes = field(init=False)  #: the bytes of the PNG file

    def __post_init__(self, picture: Canvas | bytes) -> None:
        drawn = picture if isinstance(picture, bytes) else png(picture)
        if not drawn.startswith(_SIGNATURE):
            raise InputError(
                "picture of a report",
                expected="a matplotlib figure or the bytes of a PNG file",
                got=f"{len(drawn)} bytes that start with {drawn[:8]!r}",
                do="pass the figure itself",
            )
        object.__setattr__(self, "png", drawn)

    @property
    def data(self) -> str:
        """The PNG in base64, as HTML embeds it."""
        return base64.b64encode(self.png).decode("ascii")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels: bytes 16 to 23 of a PNG."""
        width, height = struct.unpack(">II", self.png[16:24])
        return width, height


def save_all(figures: Iterable[tuple[str, Figure]], folder: str | Path) -> list[Path]:
    """Write figures by name as PNG into a folder, which is made if need be, and return their paths.

    Pictures of an earlier call are replaced. If a file of somebody else has the name of a picture,
    an InputError says so before any picture is written.
    """
    folder = check_path("Argument 'folder'", folder, "figures")
    paths = {Path(folder, f"{name}.png"): figure.png for name, figure in figures}
    for path in paths:
        check_own(path)
    folder.mkdir(parents=True, exist_ok=True)
    for path, picture in paths.items():
        with atomic_write(path) as file:
            file.write_bytes(picture)
    return list(paths)


@dataclass(frozen=True, eq=False)
class Section:
    """A part of a report, in this order: title, text, table, figures."""

    title: str
    text: str  #: plain text; an empty line starts a new paragraph
    #: Its index is the first column. Cells of just a grade, such as ``within``, stand out.
    table: pd.DataFrame | None = None
    figures: Sequence[Figure] = ()
    #: if given, names in the table's index are written with label and unit
    labels: Labels | None = None
    #: whether only the title is shown until the reader opens it; paper shows the title alone
    folded: bool = False


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


@cache
def templates() -> jinja2.Environment:
    """Return the templates of reports; texts are escaped in HTML alone."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bayesinn.diagnosis", "report"),
        autoescape=jinja2.select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "commas": "{:,.0f}".format,
        "digits": digits,
        "listed": write_list,
        "repr": repr,
    }
    return environment


def say(text: str, *facts: Any) -> str:
    """Write a text of ``words.jinja``, which has them as macros, about some facts."""
    macro = getattr(templates().get_template("words.jinja").module, text)
    return str(macro(*facts)).strip("\n")


def write_list(names: Iterable[str]) -> str:
    """Write names as a list in words.

    >>> write_list(["SBC", "TARP", "coverage"])
    'SBC, TARP and coverage'
    """
    *first, last = names
    return " and ".join(filter(None, [", ".join(first), last]))


_HEADLINES = {"within": "Within tolerance", "outside": "Outside tolerance"}
_PACKAGES = ("bayesinn", "tensorflow", "tensorflow-probability", "keras", "numpy", "scipy", "arviz")


def render(
    path: str | Path,
    title: str,
    sections: Sequence[Section],
    *,
    grade: str = "",
    text: str = "",
    lists: Mapping[str, Sequence[str]] | None = None,
    picture: Figure | None = None,
    about: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> Path:
    """Write a report and return its path.

    A report says what it is about; then come verdict, contents, sections, settings and versions.

    The verdict is a ``grade``, such as "within" or "failed", a ``text`` of one or two sentences,
    a ``picture``, and ``lists`` of what is "trusted", "doubtful", and of "actions", left out if
    empty. Without grade and text there is none. The folder is made if need be. A setting that is
    itself a mapping is written as ``outer.inner``, mappings in a list as ``outer[0].inner``.
    """
    path = check_path("Argument 'path' of a report", path, "report.html")
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(
            f"report file {path.name!r}",
            expected="a name that ends in .html",
            got=repr(path.suffix),
            do="name it for example 'report.html'",
        )
    settings = ({} if seed is None else {"seed": seed}) | dict(settings or {})
    rows = [row for name, value in settings.items() for row in _rows(str(name), value)]
    parts = [
        (part, None if part.table is None else table(part.table, part.labels)) for part in sections
    ]
    groups = {"Settings": rows, "Versions": _versions()}
    content = {
        "title": title,
        "about": about or {},
        "grade": grade,
        "text": text,
        "lists": lists or {},
        "picture": picture,
        "sections": parts,
        "groups": groups,
    }
    page = (
        templates()
        .get_template("template.html")
        .render(content, grades=GRADES, headlines=_HEADLINES)
    )
    with atomic_write(path) as file:
        # A text of the user's may have characters that no file can hold.
        file.write_bytes(page.encode("utf-8", "replace"))
    return path


def _rows(name: str, value: object) -> list[tuple[str, str]]:
    """Return names and values of a setting, one row for each value that is no mapping."""
    if isinstance(value, Mapping) and value:
        return [row for inner, entry in value.items() for row in _rows(f"{name}.{inner}", entry)]
    if isinstance(value, list | tuple) and any(isinstance(entry, Mapping) for entry in value):
        return [
            row for index, entry in enumerate(value) for row in _rows(f"{name}[{index}]", entry)
        ]
    # Settings are exact: show all digits.
    return [(name, str(value) if isinstance(value, float | np.floating) else write(value))]


def _versions() -> list[tuple[str, str]]:
    rows = [("Python", platform.python_version())]
    for name in _PACKAGES:
        # A source tree may not be installed.
        with suppress(metadata.PackageNotFoundError):
            rows.append((name, metadata.version(name)))
    return rows
