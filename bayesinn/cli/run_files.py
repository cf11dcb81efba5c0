"""Tables and reports in a run folder, listed with their fingerprints and their posterior.

No other file is ever replaced.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bayesinn._version import __version__
from bayesinn.core.atomic_write import atomic_write, replace_file
from bayesinn.core.errors import InputError

TRAINING = ("history.csv",)
ANSWER = ("posterior.csv", "posterior.nc")
ROWS = "observations.csv"
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
