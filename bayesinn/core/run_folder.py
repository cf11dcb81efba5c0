"""Run folders at a summary, read from their files: no network is built, nothing heavy imported."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayesinn._version import __version__
from bayesinn.core.errors import BayesinnError, InputError
from bayesinn.core.files import atomic_write, read_manifest, replace_file

# Tables and reports in a run folder, listed with their fingerprints and their posterior.
#
# No other file is ever replaced.

TRAINING = ("history.csv",)
ANSWER = ("posterior.csv", "posterior.nc")
ROWS = "observations.csv"
REGIONS = "regions.csv"
REPORT = ("report.html",)
DIAGNOSIS = ("verdict.csv", "errors.csv", "diagnosis.csv", "grade.txt", "methods.txt")
_LIST = "run.json"


@dataclass(frozen=True)
class RunFiles:
    """Files in a folder that runs write, one process at a time."""

    folder: Path

    def check(self, *names: str) -> None:
        """Raise if one of these files is there, and isn't what a run has written."""
        known = self._fingerprints()
        foreign = list[str]()
        for name in names:
            file = self.folder / name
            if os.path.lexists(file) and not (
                file.is_file() and _fingerprint(file) in known.get(name, ())
            ):
                foreign.append(name)
        if foreign:
            raise self._refusal(", ".join(foreign))

    @contextlib.contextmanager
    def write(self, name: str) -> Iterator[Path]:
        """Give a path to write to; it becomes the file when the ``with`` block ends well."""
        self.check(name)
        with atomic_write(self.folder / name) as file:
            yield file
            # A run may be killed before the new file is there, or after: both are its own.
            there = self.folder / name
            own = [_fingerprint(there)] if there.is_file() else []
            files = {**self._fingerprints(), name: [*own, _fingerprint(file)]}
            posteriors = self.posteriors()
            # That of the new file is noted by `assign`.
            posteriors.pop(name, None)
            self._write_list(files, posteriors)

    def assign(self, names: Iterable[str], posterior: str) -> None:
        """Note the saved posterior that files are about, once all of them are written."""
        posteriors = self.posteriors() | dict.fromkeys(names, posterior)
        self._write_list(self._fingerprints(), posteriors)

    def posteriors(self) -> dict[str, str]:
        """Return the saved posterior that each file is about, where that was noted."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            content = json.loads((self.folder / _LIST).read_text("utf-8"))
            return dict(content["posteriors"])
        return {}

    def _write_list(self, files: Mapping[str, list[str]], posteriors: Mapping[str, str]) -> None:
        content = {"bayesinn": __version__, "files": files, "posteriors": posteriors}
        replace_file(self.folder / _LIST, json.dumps(content, indent=2).encode())

    def _fingerprints(self) -> dict[str, list[str]]:
        """Return the fingerprints of each file that runs have written."""
        file = self.folder / _LIST
        if not os.path.lexists(file):
            return {}
        with contextlib.suppress(
            OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError
        ):
            content = json.loads(file.read_text("utf-8"))
            return {name: list(fingerprints) for name, fingerprints in content["files"].items()}
        raise self._refusal(_LIST)

    def _refusal(self, names: str) -> InputError:
        subject = f"Run folder {str(self.folder)!r}"
        return InputError(
            subject,
            expected=f"no such file, or what a run has written, see {_LIST}",
            got=f"{names} of something else",
            do="choose another folder with --output, or move what is yours away",
        )


def run_of(folder: Path) -> Path:
    """Return the run folder whose posterior a path names; any other path as it is."""
    folder = Path(os.path.expanduser(folder))
    is_part = folder.name == "posterior" and (folder.parent / _LIST).is_file()
    return folder.parent if is_part else folder


def _fingerprint(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


_DEPTH = 3


@dataclass(frozen=True)
class RunSummary:
    """Training, verdict and answer of a run folder, or of a saved posterior."""

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


def summarise_run(folder: Path) -> RunSummary:
    """Return what a run folder, or a saved posterior, tells; an error if it is none."""
    saved = _saved_in(folder)
    manifest = read_manifest(saved)
    training = manifest.get("training", {})
    settings = training.get("settings", {})
    history = manifest.get("history", {})
    written = datetime.datetime.fromtimestamp((saved / "manifest.json").stat().st_mtime)
    grade = folder / "grade.txt"
    return RunSummary(
        folder,
        saved,
        str(manifest.get("simulator", {}).get("name", "")),
        int(training.get("steps_done", settings.get("steps", 0)))
        + int(training.get("steps_before", 0)),
        int(settings.get("batch_size", 0)),
        int(training.get("seed", settings.get("seed", 0))),
        _last(history.get("val_loss", [])) if "val_loss" in history else _last(history.get("loss")),
        grade.read_text("utf-8").strip() if is_about_posterior(grade) else "",
        is_about_posterior(folder / "posterior.nc"),
        f"{written:%Y-%m-%d %H:%M}",
    )


def is_about_posterior(file: Path) -> bool:
    """Tell whether a file is there, and about the folder's posterior, if the folder has one."""
    folder = file.parent
    if not file.is_file():
        return False
    if not (_saved_in(folder) / "manifest.json").is_file():
        return True
    return RunFiles(folder).posteriors().get(file.name) == saved_fingerprint(folder)


def saved_fingerprint(folder: Path) -> str:
    """Return what tells a folder's saved posterior from those that were saved there before."""
    manifest = read_manifest(_saved_in(folder))
    # Members are in a subfolder that each save names anew.
    return str(manifest.get("fingerprint") or manifest.get("place"))


def _saved_in(folder: Path) -> Path:
    """Return the folder of a run's posterior, or of one that was saved by itself."""
    return folder if (folder / "manifest.json").is_file() else folder / "posterior"


def find_runs(folder: Path) -> list[RunSummary]:
    """Return all runs below a folder, by path; an error if there is none."""
    found = []
    for place in _places(folder, _DEPTH):
        try:
            found.append(summarise_run(place))
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


def runs_text(runs: list[RunSummary], folder: Path) -> str:
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
