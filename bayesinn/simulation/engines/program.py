"""A program as forward model. Worker processes import this module, so it imports nothing heavy."""

import contextlib
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
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from bayesinn.core.errors import InputError, distinct
from bayesinn.core.number_text import is_number, read_number

# Programs that a simulation starts.
#
# Worker processes import this module, so it imports nothing heavy.

_SECONDS_BETWEEN_LOOKS = 0.02
#: Process groups of programs that run, by the id of their first process.
_running: set[int] = set()
#: Folder for the folders of programs; whoever started this process removes it.
_places: list[str] = []


def set_place(folder: str) -> None:
    """Let programs run in new folders inside of this one."""
    _places[:] = [folder]


def place() -> str | None:
    """Return the folder for the folders of programs; None is the system's for temporary files."""
    return _places[0] if _places else None


def run_program(
    arguments: Sequence[str], text: str, folder: str, file: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder, ``text`` as standard input; return its status and what it wrote.

    A program that has ended without an answer, in the ``file`` or on its standard output, is waited
    for as long as processes that it has started live: they may write it. Once there is an answer,
    they may hold the standard output open.

    An exception that arrives meanwhile, such as a time limit, ends the program and all that it has
    started. What a program leaves that fails is ended, too.
    """
    with contextlib.ExitStack() as stack:
        stdin, *outputs = (
            stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace"))
            for _ in range(3)
        )
        stdin.write(text)
        stdin.seek(0)
        status = _run(arguments, folder, [stdin, *outputs], file)
        for stream in outputs:
            stream.seek(0)
        return subprocess.CompletedProcess(arguments, status, *(s.read() for s in outputs))


def _run(
    arguments: Sequence[str], folder: str, streams: Sequence[IO[str]], file: str | None
) -> int:
    """Run a program with these standard streams, and return its status."""
    # A signal between the start and the ``try`` would leave the program to itself.
    left = set_alarm(0)
    process = subprocess.Popen(
        arguments, cwd=folder, stdin=streams[0], stdout=streams[1], stderr=streams[2],
        start_new_session=True,
    )  # fmt: skip
    _running.add(process.pid)
    with process:
        try:
            set_alarm(*left)
            process.wait()
            while not process.returncode and not _answered(streams[1], file):
                # Whether a process of its group lives.
                if not _GROUPS:
                    break
                os.killpg(process.pid, 0)
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        except ProcessLookupError:
            pass
        finally:
            _running.discard(process.pid)
            # Until it has been waited for, no other process has its number.
            # After that, none has it as long as one that the program started lives.
            if process.returncode != 0:
                end_group(process.pid)
    return process.returncode


def _answered(stream: IO[str], file: str | None) -> bool:
    """Tell whether something is written to the file, or else to the stream."""
    with contextlib.suppress(FileNotFoundError):
        return os.stat(stream.fileno() if file is None else file).st_size > 0
    return False


def end_programs() -> None:
    """End all programs that run, and remove their folders, before this process ends."""
    for group in tuple(_running):
        end_group(group)
    for folder in _places:
        shutil.rmtree(folder, ignore_errors=True)


#: Windows has neither groups of processes nor alarms.
_GROUPS = hasattr(os, "killpg")
ALARMS = hasattr(signal, "setitimer")


def end_group(group: int) -> None:
    """End all processes of a group; where there are no groups, the one with that number."""
    if _GROUPS:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        return
    with contextlib.suppress(OSError):
        os.kill(group, signal.SIGTERM)


def set_alarm(*seconds: float) -> tuple[float, float]:
    """Let the alarm ring after some seconds, if there are alarms; return what was left before."""
    return signal.setitimer(signal.ITIMER_REAL, *seconds) if ALARMS else (0.0, 0.0)


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
        context_values = _plain(context[0] if context else {})
        seed = int(generator.integers(2**31))
        text = json.dumps({"parameters": values, "context": context_values, "seed": seed})
        with tempfile.TemporaryDirectory(
            prefix="bayesinn-", dir=place(), ignore_cleanup_errors=True
        ) as folder:
            files = {name: os.path.join(folder, name) for name in ("input", "output")}
            if "input" in self.placeholders:
                Path(files["input"]).write_text(text, encoding="utf-8")
            filled = {**values, **context_values, "seed": seed, **files}
            arguments = [
                argument.format_map(filled) if number in self._templates else argument
                for number, argument in enumerate(self.arguments)
            ]
            file = files["output"] if "output" in self.placeholders else None
            done = run_program(arguments, text, folder, file)
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
            observables = _from_json(text) if self.output == "json" else _from_csv(text)
            return {name: _numbers(value) for name, value in observables.items()}
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
    if (path := shutil.which(program)) is None:
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
    return path


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
    observables = json.loads(text, object_pairs_hook=distinct)
    if not isinstance(observables, dict) or not observables:
        raise ValueError('no object such as {"x": [1.0, 2.0]}')
    return observables


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
    observables: dict[str, Any] = {}
    for column, name in enumerate(names):
        cells = [row[column] for row in rows[1:]]
        # Another observable may have more steps: its rows end with empty cells here.
        while len(cells) > 1 and not cells[-1]:
            cells.pop()
        values = [np.nan if cell in _MISSING else read_number(cell) for cell in cells]
        observables[name] = values if len(values) > 1 else values[0]
    return observables


def _numbers(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind in "fiub":
        return array
    # None, which JSON has in place of NaN, makes objects of numbers. NumPy reads texts, too.
    for element in array.ravel().tolist():
        if not isinstance(element, int | float | None):
            raise TypeError(f"{element!r} is no number")
    return array.astype(np.float64)
