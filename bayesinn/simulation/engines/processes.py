"""Programs that a simulation starts.

Worker processes import this module, so it imports nothing heavy.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence

#: Process groups of programs that run, by the id of their first process.
_running: set[int] = set()


def run_program(
    arguments: Sequence[str], text: str, folder: str
) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder, ``text`` as standard input; return its status and what it wrote.

    An exception that arrives meanwhile, such as a time limit, ends the program and all that it has
    started. What a program leaves that fails is ended, too.
    """
    pipe = subprocess.PIPE
    # A signal between the start and the ``try`` would leave the program to itself.
    left = signal.setitimer(signal.ITIMER_REAL, 0)
    process = subprocess.Popen(
        arguments, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe,
        encoding="utf-8", errors="replace", start_new_session=True,
    )  # fmt: skip
    _running.add(process.pid)
    with process:
        try:
            signal.setitimer(signal.ITIMER_REAL, *left)
            written = process.communicate(text)
        finally:
            _running.discard(process.pid)
            # Until it has been waited for, no other process has its number.
            # After that, none has it as long as one that the program started lives.
            if process.returncode != 0:
                _end(process.pid)
    return subprocess.CompletedProcess(arguments, process.returncode, *written)


def end_programs() -> None:
    """End all programs that run, before this process ends."""
    for group in tuple(_running):
        _end(group)


def _end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
