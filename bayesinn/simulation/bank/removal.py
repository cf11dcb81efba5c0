"""Remove a bank from a local disk: its own files, and none that somebody else has put there."""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from bayesinn.simulation.bank.store import CHUNKS, BankStore, open_group

Kind = Literal["file", "folder", "other"]
#: Ending of what Zarr has not finished, in place of the ending of a file.
_PARTIAL = r"\.[0-9a-f]{32}\.partial"


def remove_bank(folder: Path) -> list[str]:
    """Remove a bank and return no names, or leave it and return those of other files."""
    patterns = _patterns(folder)
    files = list[Path]()
    folders = [folder]
    others = list[str]()
    for path, kind in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if kind == "other" or not patterns[kind].fullmatch(name):
            others.append(name)
        elif name != "zarr.json":
            (folders if kind == "folder" else files).append(path)
    if others:
        return sorted(others)
    # The description at last: without it nobody would know whose the rest is.
    for path in [*files, folder / "zarr.json"]:
        path.unlink(missing_ok=True)
    for path in reversed(folders):
        # Somebody may have put a file there just now.
        with contextlib.suppress(OSError):
            path.rmdir()
    return []


def _patterns(folder: Path) -> dict[Kind, re.Pattern[str]]:
    """Return what the paths of files and folders in a bank look like."""
    names = BankStore(str(folder), open_group(str(folder), "r")).names
    # A removal that was interrupted may have left no array, but the description of all.
    description = json.loads((folder / "zarr.json").read_text("utf-8")).get("consolidated_metadata")
    known = (description or {}).get("metadata", {})
    # Coordinates have the names of axes.
    axes = {
        axis for name in names for axis in known.get(name, {}).get("dimension_names") or () if axis
    }
    arrays = "|".join(map(re.escape, [*names, *axes, f"{CHUNKS}/checksum", f"{CHUNKS}/failed"]))
    file = rf"(({arrays}|{CHUNKS})/)?zarr(\.json|{_PARTIAL})|({arrays})/c(/\d+)*({_PARTIAL})?"
    return {"file": re.compile(file), "folder": re.compile(rf"{CHUNKS}|({arrays})(/c(/\d+)*)?")}


def _walk(folder: Path) -> Iterator[tuple[Path, Kind]]:
    """Yield all that is in a folder, and what it is; no link is followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield Path(entry.path), "folder"
                yield from _walk(Path(entry.path))
            else:
                yield Path(entry.path), "file" if entry.is_file(follow_symlinks=False) else "other"
