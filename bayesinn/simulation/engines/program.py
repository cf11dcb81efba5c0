"""A program as forward model. Worker processes import this module, so it imports nothing heavy."""

import csv
import hashlib
import json
import os
import shlex
import shutil
import signal
import string
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.core.number_text import is_number, read_number
from bayesinn.core.validation import distinct
from bayesinn.simulation.engines.processes import place, run_program

#: Placeholders that are no parameters.
PLACES = ("seed", "input", "output")
#: Programs that run another one.
_INTERPRETERS = {
    *("python", "pypy", "rscript", "julia", "octave", "perl"),
    *("ruby", "node", "java", "bash", "sh", "env"),
}
_LAST_LINES = 5
_MOST_CHARACTERS = 500
#: Cells of a CSV without a number, beside NaN; R writes the latter.
_MISSING = ("", "NA")


class Program:
    """A function of one draw that starts a program, see :func:`bayesinn.command_simulator`.

    Attributes
    ----------
    arguments : list of str
        Those of the program after its absolute path, with absolute paths of files.
    placeholders : set of names in them
    """

    def __init__(self, command: Sequence[str | os.PathLike[str]], output: str) -> None:
        program = _found(command)
        self.output = output
        # Paths of files are as they are, whatever braces are in them.
        files = [_is_file(part) for part in command]
        self._templates = {number for number, is_file in enumerate(files) if number and not is_file}
        texts = [program, *(os.fspath(part) for part in command[1:])]
        self.arguments = [
            text if number in self._templates else os.path.abspath(text)
            for number, text in enumerate(texts)
        ]
        self.__name__ = Path(program).stem
        self.placeholders = {
            name for number in self._templates for name in _placeholders(texts[number])
        }

    def identity(self) -> dict[str, str]:
        """Return what tells the program from another: the command without folders, hashes of files.

        Interpreters have neither version nor content: another one may run the same script.
        """
        parts = []
        files = {}
        for number, part in enumerate(self.arguments):
            name = os.path.basename(part) if os.path.isfile(part) else part
            interpreter = name.rstrip("0123456789.").lower()
            if number == 0 and interpreter in _INTERPRETERS:
                name = interpreter
            elif os.path.isfile(part):
                with open(part, "rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
                files[f"file {name!r}"] = f"one with SHA-256 {content}"
            parts.append(name)
        return {"command": shlex.join(parts), "output": self.output, **files}

    def __call__(self, parameters: Mapping[str, Any], *others: Any) -> dict[str, np.ndarray]:
        *context, generator = others
        values = _plain(parameters)
        known = _plain(context[0] if context else {})
        seed = int(generator.integers(2**31))
        given = json.dumps({"parameters": values, "context": known, "seed": seed})
        with tempfile.TemporaryDirectory(
            prefix="bayesinn-", dir=place(), ignore_cleanup_errors=True
        ) as folder:
            files = {name: os.path.join(folder, name) for name in ("input", "output")}
            if "input" in self.placeholders:
                Path(files["input"]).write_text(given, encoding="utf-8")
            filled = {**values, **known, "seed": seed, **files}
            arguments = [
                argument.format_map(filled) if number in self._templates else argument
                for number, argument in enumerate(self.arguments)
            ]
            file = files["output"] if "output" in self.placeholders else None
            done = run_program(arguments, given, folder, file)
            try:
                return self._observables(done, files["output"])
            except ValueError as error:
                run = shlex.join(arguments)[:_MOST_CHARACTERS]
                raise ChildProcessError(
                    f"{error}; the program was run as {run}, with seed {seed}"
                ) from None

    def _observables(
        self, done: subprocess.CompletedProcess[str], file: str
    ) -> dict[str, np.ndarray]:
        """Return what a program that has ended has written; ValueError says what is wrong."""
        if done.returncode:
            raise ValueError(_end(done.returncode) + _last_lines(done.stderr))
        place = "standard output"
        text = done.stdout
        do = "; if the program prints other text, let it write its result to the file {output}"
        if "output" in self.placeholders:
            place = "the file {output}"
            do = ""
            if not os.path.isfile(file):
                raise ValueError(
                    "the program has written no file {output}" + _last_lines(done.stderr)
                )
            text = Path(file).read_text(encoding="utf-8", errors="replace")
        try:
            found = _from_json(text) if self.output == "json" else _from_csv(text)
            return {name: _numbers(value) for name, value in found.items()}
        except (ValueError, TypeError, RecursionError, csv.Error) as error:
            first = next((line.strip() for line in text.splitlines() if line.strip()), "")
            begins = f"begins with {first[:100]!r}" if first else "is empty"
            kind = self.output.upper()
            raise ValueError(
                f"{place} {begins}, which is no {kind} of numbers ({error}){do}"
            ) from error


def _found(command: Sequence[str | os.PathLike[str]]) -> str:
    """Return where the program of a command is."""
    subject = "Command of a simulator"
    expected = "a list of texts or paths, first the program"
    if isinstance(command, str):
        raise InputError(
            subject, expected=expected, got=repr(command), do=f"pass {shlex.split(command)}"
        )
    if (
        not isinstance(command, Sequence)
        or not command
        or not all(isinstance(c, str | os.PathLike) for c in command)
    ):
        raise InputError(
            subject,
            expected=expected,
            got=repr(command),
            do='pass for example ["./model", "--dt", "0.1"], with numbers as texts',
        )
    program = os.fspath(command[0])
    if (found := shutil.which(program)) is None:
        got = "no such program"
        do = "check the path, which is relative to the current folder"
        if os.path.isfile(program):
            got = (
                "a file that may not be run"
                if os.sep in program
                else "a file, but no program on the PATH"
            )
            do = (
                f"make it executable: chmod +x {program}; or name its interpreter: ['python', "
                f"{program!r}]"
            )
            do = do if os.sep in program else f"write {os.path.join('.', program)!r}"
        raise InputError(
            f"Program {program!r}", expected="a program that can be run", got=got, do=do
        )
    return found


def _is_file(part: str | os.PathLike[str]) -> bool:
    """Tell whether an argument is the path of a file.

    Braces in a name that is given as text are placeholders.
    """
    return os.path.isfile(part) and (not isinstance(part, str) or "{" not in os.path.basename(part))


def _placeholders(argument: str) -> list[str]:
    """Return the names of an argument's placeholders, without indices and formats."""
    try:
        fields = [
            field for _, field, _, _ in string.Formatter().parse(argument) if field is not None
        ]
    except ValueError as error:
        raise InputError(
            "Command of a simulator",
            expected="pairs of braces",
            got=repr(argument),
            do="write {rate} for a parameter, and other braces twice: {{ and }}",
        ) from error
    return [field.partition("[")[0] for field in fields]


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(value).tolist() for name, value in values.items()}


def _end(status: int) -> str:
    try:
        return (
            f"exit status {status}" if status > 0 else f"killed by {signal.Signals(-status).name}"
        )
    except ValueError:
        return f"killed by signal {-status}"


def _last_lines(text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines()[-_LAST_LINES:])
    return (
        f", and the standard error ends with {lines[-_MOST_CHARACTERS:]!r}"
        if lines
        else ", and no standard error"
    )


def _from_json(text: str) -> dict[str, Any]:
    found = json.loads(text, object_pairs_hook=distinct)
    if not isinstance(found, dict) or not found:
        raise ValueError('no object such as {"x": [1.0, 2.0]}')
    return found


def _from_csv(text: str) -> dict[str, Any]:
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines())]
    rows = [row for row in rows if row not in ([], [""])]
    names = rows[0] if rows else []
    if len(rows) < 2 or "" in names or len(set(names)) < len(names) or any(map(is_number, names)):
        raise ValueError("a header of different names is needed, and a row of numbers")
    for number, row in enumerate(rows[1:], 1):
        if len(row) != len(names):
            more = "more" if len(row) > len(names) else "fewer"
            raise ValueError(f"row {number} below the header has {more} cells than the header")
    found: dict[str, Any] = {}
    for column, name in enumerate(names):
        cells = [row[column] for row in rows[1:]]
        # Another observable may have more steps: its rows end with empty cells here.
        while len(cells) > 1 and not cells[-1]:
            cells.pop()
        values = [np.nan if cell in _MISSING else read_number(cell) for cell in cells]
        found[name] = values if len(values) > 1 else values[0]
    return found


def _numbers(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind in "fiub":
        return array
    # None, which JSON has in place of NaN, makes objects of numbers. NumPy reads texts, too.
    for element in array.ravel().tolist():
        if not isinstance(element, int | float | None):
            raise TypeError(f"{element!r} is no number")
    return array.astype(np.float64)
