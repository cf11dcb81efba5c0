"""Programs that a simulation starts.

Worker processes import this module, so it imports nothing heavy.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import IO

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
        given, *written = (
            stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace"))
            for _ in range(3)
        )
        given.write(text)
        given.seek(0)
        status = _run(arguments, folder, [given, *written], file)
        for stream in written:
            stream.seek(0)
        return subprocess.CompletedProcess(arguments, status, *(s.read() for s in written))


def _run(
    arguments: Sequence[str], folder: str, streams: Sequence[IO[str]], file: str | None
) -> int:
    """Run a program with these standard streams, and return its status."""
    # A signal between the start and the ``try`` would leave the program to itself.
    left = signal.setitimer(signal.ITIMER_REAL, 0)
    process = subprocess.Popen(
        arguments, cwd=folder, stdin=streams[0], stdout=streams[1], stderr=streams[2],
        start_new_session=True,
    )  # fmt: skip
    _running.add(process.pid)
    with process:
        try:
            signal.setitimer(signal.ITIMER_REAL, *left)
            process.wait()
            while not process.returncode and not _answered(streams[1], file):
                # Whether a process of its group lives.
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


def end_group(group: int) -> None:
    """End all processes of a group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
