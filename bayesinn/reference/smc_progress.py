"""Progress of tempered sequential Monte Carlo that people and log files can read."""

from __future__ import annotations

import sys
import time

import numpy as np
from rich.console import Console
from rich.status import Status

_SECONDS_BETWEEN_LINES = 10.0


class SMCProgress:
    """A line that changes on a terminal; elsewhere a line every ten seconds and at the end."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._status: Status | None = None
        self._started = self._last_line = time.monotonic()
        self._text = ""
        if shown and sys.stdout.isatty():
            self._status = Console(file=sys.stdout).status("tempered SMC: compiling")
            self._status.start()

    def note(self, text: str) -> None:
        """Say something once."""
        if self._shown and text:
            print(f"tempered SMC: {text}", flush=True)

    def show(
        self,
        stage: int,
        temperature: float,
        moves: int,
        correlation: float,
        acceptance: np.ndarray,
        evaluations: int,
        last: bool,
    ) -> None:
        """After a round."""
        speed = evaluations / (time.monotonic() - self._started)
        rates = ", ".join(f"{rate:.0%}" for rate in acceptance)
        self._text = (
            f"tempered SMC: stage {stage}{', the last' if last else ''}, temperature {temperature:.3g}, "
            f"move {moves:,}, correlation {correlation:.2f}, accepted {rates}, {speed:,.0f} likelihoods/s"
        )
        if self._status is not None:
            self._status.update(self._text)
        elif self._shown and time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            print(self._text, flush=True)
            # At the end, only what hasn't been printed yet.
            self._text = ""

    def __enter__(self) -> SMCProgress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._status is not None:
            self._status.stop()
        if self._shown and self._text:
            print(self._text, flush=True)
