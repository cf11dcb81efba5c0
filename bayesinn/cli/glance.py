"""Run folders at a glance, read from their files: no network is built, nothing heavy imported."""

from __future__ import annotations

import contextlib
import csv
import datetime
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayesinn.cli.run_files import RunFiles
from bayesinn.core.errors import BayesinnError, InputError
from bayesinn.core.manifest import read_manifest

_DEPTH = 3
_GRADES = ("outside", "undecided", "within")


@dataclass(frozen=True)
class RunGlance:
    """What the files of a run, or of a saved posterior, tell at once."""

    folder: Path
    posterior: Path  #: folder of the saved posterior
    simulator: str
    steps: int
    batch_size: int
    seed: int
    loss: float  #: the last, on held-out rows where there are any; NaN if unknown
    verdict: str  #: grade of the last diagnosis; empty if there was none
    answered: bool
    date: str

    def row(self) -> dict[str, Any]:
        """Return what tables show."""
        return {
            "simulator": self.simulator,
            "steps": self.steps,
            "batch": self.batch_size,
            "seed": self.seed,
            "loss": self.loss,
            "verdict": self.verdict or "not diagnosed",
            "answer": "yes" if self.answered else "no",
            "trained": self.date,
        }


def look_at(folder: Path) -> RunGlance:
    """Return what a run folder, or a saved posterior, tells; an error if it is none."""
    saved = _saved_in(folder)
    manifest = read_manifest(saved)
    training = manifest.get("training", {})
    settings = training.get("settings", {})
    history = manifest.get("history", {})
    written = datetime.datetime.fromtimestamp((saved / "manifest.json").stat().st_mtime)
    verdict = folder / "verdict.csv"
    return RunGlance(
        folder,
        saved,
        str(manifest.get("simulator", {}).get("name", "")),
        int(training.get("steps_done", settings.get("steps", 0)))
        + int(training.get("steps_before", 0)),
        int(settings.get("batch_size", 0)),
        int(training.get("seed", settings.get("seed", 0))),
        _last(history.get("val_loss", [])) if "val_loss" in history else _last(history.get("loss")),
        _grade(verdict) if is_about_posterior(verdict) else "",
        is_about_posterior(folder / "posterior.nc"),
        f"{written:%Y-%m-%d %H:%M}",
    )


def is_about_posterior(file: Path) -> bool:
    """Tell whether a file is there, and about the folder's posterior, not one before it."""
    saved = _saved_in(file.parent)
    if not file.is_file():
        return False
    noted = RunFiles(file.parent).posteriors().get(file.name)
    if noted is not None and (saved / "manifest.json").is_file():
        return noted == saved_fingerprint(file.parent)
    # Older runs have noted nothing, and times tell, until the folder is copied.
    weights = saved / "weights.h5"
    return not _is_older(file, weights if weights.is_file() else saved / "manifest.json")


def saved_fingerprint(folder: Path) -> str:
    """Return what tells a folder's saved posterior from those that were saved there before."""
    manifest = read_manifest(_saved_in(folder))
    # Members are in a subfolder that each save names anew.
    return str(manifest.get("fingerprint") or manifest.get("place"))


def _saved_in(folder: Path) -> Path:
    """Return the folder of a run's posterior, or of one that was saved by itself."""
    return folder if (folder / "manifest.json").is_file() else folder / "posterior"


def _is_older(file: Path, other: Path) -> bool:
    return other.is_file() and file.stat().st_mtime < other.stat().st_mtime


def find_runs(folder: Path) -> list[RunGlance]:
    """Return all runs below a folder, by path; an error if there is none."""
    found = []
    for place in _places(folder, _DEPTH):
        try:
            found.append(look_at(place))
        except (BayesinnError, OSError, ValueError, TypeError, AttributeError):
            continue  # another program's, or damaged
    if not found:
        raise InputError(
            f"Folder {str(folder)!r}",
            expected="run folders",
            got="none" if folder.is_dir() else "no such folder",
            do="name the folder that runs are in, such as runs; bayesinn train makes one",
        )
    return found


def runs_text(runs: list[RunGlance], folder: Path) -> str:
    """Write runs as a table for the terminal."""
    rows = []
    for run in runs:
        path = os.path.relpath(run.folder, folder)
        row = {"run": path if path != "." else str(run.folder), **run.row()}
        loss = "" if math.isnan(run.loss) else f"{run.loss:.3f}"
        rows.append({name: str(value) for name, value in row.items()} | {"loss": loss})
    heads = list(rows[0])
    lines = [{head: head for head in heads}, *rows]
    widths = {head: max(len(line[head]) for line in lines) for head in heads}
    numbers = ("steps", "batch", "seed", "loss")
    written = []
    for line in lines:
        cells = []
        for head, width in widths.items():
            text = line[head]
            cells.append(text.rjust(width) if head in numbers else text.ljust(width))
        written.append("  ".join(cells).rstrip())
    return "\n".join(written)


def _places(folder: Path, depth: int) -> Iterator[Path]:
    """Yield folders that hold a posterior; not what lies inside of a run, or can't be read."""
    children: list[Path] = []
    with contextlib.suppress(OSError):
        if any((folder / part / "manifest.json").is_file() for part in ("posterior", ".")):
            yield folder
            return
        if depth and folder.is_dir():
            children = sorted(path for path in folder.iterdir() if path.is_dir())
    for child in children:
        yield from _places(child, depth - 1)


def _last(values: list[float | None] | None) -> float:
    known = [value for value in values or () if value is not None and math.isfinite(value)]
    return known[-1] if known else math.nan


def _grade(file: Path) -> str:
    """Return the grade of a verdict; older runs have those of its checks alone."""
    word = file.with_name("grade.txt")
    # The posterior is noted once all files of a diagnosis are written.
    whole = {word.name, file.name} <= RunFiles(file.parent).posteriors().keys()
    if word.is_file() and (whole or not _is_older(word, file)):
        return word.read_text(encoding="utf-8").strip()
    with open(file, encoding="utf-8", newline="") as content:
        grades = {row.get("grade", "") for row in csv.DictReader(content)}
    return next((grade for grade in _GRADES if grade in grades), "")
