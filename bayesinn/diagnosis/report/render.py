"""Put sections together into one HTML file."""

import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from bayesinn.core.atomic_write import atomic_write
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_path
from bayesinn.diagnosis.report.section import Figure, Section
from bayesinn.diagnosis.report.table import GRADES, table, write

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
    loader = jinja2.PackageLoader("bayesinn.diagnosis", "report")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True
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
    page = environment.get_template("template.html").render(
        content, grades=GRADES, headlines=_HEADLINES
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
