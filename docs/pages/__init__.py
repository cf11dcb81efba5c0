"""Pages made from the rest of the repository whenever the documentation is built, to copy nothing.

Each module makes some: tutorials with what they printed and drew, a gallery of results, the
reference of each package, the command line, what each diagnostic tells. :func:`write` puts them
beside the pages that are written by hand; git ignores them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from docs import numbers
from docs.pages import commands, diagnostics, gallery, measurements, reference, tutorials

#: Folders that hold nothing but such pages.
FOLDERS = ("tutorials", "gallery", "reference", "generated")


def write(folder: Path, warn: Callable[[str], None]) -> None:
    """Write all pages into the folder of the documentation; what is unchanged keeps its time."""
    for page in numbers.pages():
        for problem in numbers.problems(page):
            warn(problem)
    pages: dict[str, str] = {}
    for module in (tutorials, gallery, reference, commands, diagnostics, measurements):
        pages |= module.pages(warn)
    for name in FOLDERS:
        for path in (folder / name).glob("*"):
            if f"{name}/{path.name}" not in pages:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)
