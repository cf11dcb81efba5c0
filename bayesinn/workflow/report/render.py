"""Put sections together into one HTML file."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.workflow.report.section import Section
from bayesinn.workflow.report.table import table, text

#: Packages whose versions a report states.
PACKAGES = ("bayesinn", "tensorflow", "tensorflow-probability", "keras", "numpy", "scipy", "arviz")


@dataclass(frozen=True)
class Verdict:
    """The verdict at the top of a report.

    Parameters
    ----------
    passed : bool, or None for a report without a test
    text : str, one or two sentences
    trusted, doubtful, actions : sequence of str
        What can be relied on, what can't, and what to do: each a list, left out if empty.
    """

    passed: bool | None
    text: str
    trusted: Sequence[str] = ()
    doubtful: Sequence[str] = ()
    actions: Sequence[str] = ()

    @property
    def word(self) -> str:
        """The verdict in a word; empty without a test."""
        return {True: "Passed", False: "Failed", None: ""}[self.passed]

    @property
    def lists(self) -> list[tuple[str, str, Sequence[str]]]:
        """Kind, title and entries of each list that has any."""
        titles = {"trusted": "What to trust", "doubtful": "What not to trust", "actions": "What to do"}
        return [(kind, title, getattr(self, kind)) for kind, title in titles.items() if getattr(self, kind)]


def render(
    path: str | Path,
    title: str,
    sections: Sequence[Section],
    *,
    verdict: Verdict | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> Path:
    """Write a report: verdict, contents, sections, then seed, settings and versions; return its path.

    The folder is made if need be. A setting that is itself a mapping is written as ``outer.inner``, mappings in a list
    as ``outer[0].inner``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = render(f"{folder}/report.html", "Outbreak", [Section("Data", "14 days.")], seed=1)
    ...     "<h2>Data</h2>" in path.read_text(encoding="utf-8")
    True
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(
            f"report file {path.name!r}",
            expected="a name that ends in .html",
            got=repr(path.suffix),
            do="name it for example 'report.html'",
        )
    loader = jinja2.PackageLoader("bayesinn.workflow", "report")
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    groups = {
        "Seed": [] if seed is None else [("seed", str(seed))],
        "Settings": [row for name, value in (settings or {}).items() for row in _rows(str(name), value)],
        "Versions": _versions(),
    }
    page = environment.get_template("template.html").render(
        title=title,
        verdict=verdict,
        sections=[
            {"section": section, "table": None if section.table is None else table(section.table, section.labels)}
            for section in sections
        ],
        groups=[(name, rows) for name, rows in groups.items() if rows],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _rows(name: str, value: object) -> list[tuple[str, str]]:
    """Return names and values of a setting, one row for each value that is no mapping."""
    if isinstance(value, Mapping) and value:
        return [row for inner, entry in value.items() for row in _rows(f"{name}.{inner}", entry)]
    if isinstance(value, list | tuple) and any(isinstance(entry, Mapping) for entry in value):
        return [row for index, entry in enumerate(value) for row in _rows(f"{name}[{index}]", entry)]
    # Settings are exact: show all digits.
    return [(name, str(value) if isinstance(value, float | np.floating) else text(value))]


def _versions() -> list[tuple[str, str]]:
    rows = [("Python", platform.python_version())]
    for name in PACKAGES:
        # A source tree may not be installed.
        with suppress(metadata.PackageNotFoundError):
            rows.append((name, metadata.version(name)))
    return rows
