"""Progress of work that has a few long stages: which one runs, and how long the last ones took."""

from __future__ import annotations

import sys
import time


class Stages:
    """Say what is being done: on a terminal in one line that is written over, elsewhere a line for each stage.

    Parameters
    ----------
    subject : str, what is done as a whole
    shown : bool

    Examples
    --------
    >>> stages = Stages("diagnosing", shown=False)
    >>> stages("simulating")
    >>> stages.close()
    """

    def __init__(self, subject: str, shown: bool) -> None:
        self._subject = subject
        self._shown = shown
        self._over = sys.stdout.isatty()
        self._begun = time.monotonic()

    def __call__(self, stage: str) -> None:
        """Name the stage that begins."""
        self._write(stage, end="" if self._over else "\n")

    def close(self) -> None:
        """Say how long all stages took."""
        self._write("done", end="\n")

    def _write(self, text: str, end: str) -> None:
        if self._shown:
            start = "\r\x1b[K" if self._over else ""
            seconds = time.monotonic() - self._begun
            print(f"{start}{self._subject}: {text} ({seconds:.0f} s)", end=end, flush=True)
