"""The one progress display: a bar on a terminal, elsewhere lines that a log file can hold."""

import math
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import KW_ONLY, dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress as Bar, TextColumn

SECONDS_BETWEEN_LINES = 10.0
_BARS = "▁▂▃▄▅▆▇█"
_MOST_BARS = 16


@dataclass(eq=False)
class Progress(AbstractContextManager["Progress"]):
    """Report how far some work has come.

    On a terminal it is one line that is written over; elsewhere a line at most every ten seconds,
    one for each stage, and one at the end. The time left is estimated without the first update,
    which includes compilation.

    Without a ``total``, only stages and texts are shown. ``done`` units were done before, as in a
    run that is resumed. Nothing is shown if the whole takes less than ``delay`` seconds, by the
    first estimate. The work ends at ``ends_at`` of the monotonic clock, if not before: the total is
    then an estimate, which :meth:`expect` may change.
    """

    task: str
    total: int | None = None
    unit: str = ""
    _: KW_ONLY
    shown: bool = True
    done: int = 0
    delay: float = 0.0
    ends_at: float = math.inf

    def __post_init__(self) -> None:
        self._started = self._last_line = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._text = ""
        self._printed = True
        self._bar: Bar | None = None
        #: Whether there is a terminal, which can show more than letters.
        self.terminal = sys.stdout.isatty()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    @property
    def seconds_each(self) -> float:
        """Seconds that one unit takes, without the first update; NaN before the second."""
        if self._first is None or self.done == self._first[1]:
            return math.nan
        return (self._now - self._first[0]) / (self.done - self._first[1])

    def update(self, done: int | None = None, text: str = "") -> None:
        """Say how many units are done, and anything worth knowing."""
        self._now = time.monotonic()
        self._text = text
        self.done = self.done if done is None else done
        self._first = self._first or (self._now, self.done)
        short = self.delay > 0 and self._bar is None and not self._left() > self.delay
        self._printed = short or not self.shown
        if not self._printed:
            self._show(at_once=False)

    def expect(self, total: int) -> None:
        """Say how many units there will be, as far as that can be told by now."""
        self.total = total

    def stage(self, text: str) -> None:
        """Say which stage begins; shown at once."""
        self._text = f"{text} ({self.seconds:.0f} s)"
        self._now = time.monotonic()
        if self.shown:
            self._show(at_once=True)

    def note(self, text: str) -> None:
        """Say something once, on a line that stays."""
        if self.shown and text:
            print(f"{self.task}: {text}", flush=True)

    def close(self) -> None:
        """Give the terminal back, and print the last line where it was not printed yet."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if not self._printed:
            self._print()

    def _left(self) -> float:
        """Return the estimated seconds that are left; NaN where nothing is known."""
        until_end = self.ends_at - time.monotonic()
        if self.total is None:
            return until_end
        return min(self.seconds_each * (self.total - self.done), until_end)

    def _show(self, at_once: bool) -> None:
        if self.terminal:
            self._draw()
        elif at_once or self._now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._print()

    def _counted(self) -> str:
        if self.total is None:
            return ""
        about = "about " * (math.isfinite(self.ends_at) and self.done < self.total)
        return f"{self.done:,} of {about}{self.total:,} {self.unit}".rstrip()

    def _line(self) -> str:
        counted = self._counted()
        parts = (counted, self._text, self._remaining())
        return f"{self.task}: {', '.join(part for part in parts if part)}"

    def _remaining(self) -> str:
        left = self._left()
        return f"{duration(left)} left" if 0 < left < math.inf else ""

    def _print(self) -> None:
        self._last_line = self._now
        self._printed = True
        print(self._line(), flush=True)

    def _draw(self) -> None:
        if self._bar is None:
            columns = [
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[counted]}"),
                TextColumn("{task.fields[text]}"),
                TextColumn("{task.fields[left]}"),
            ]
            self._bar = Bar(*columns, console=Console(file=sys.stdout), transient=True)
            self._task = self._bar.add_task(
                self.task, total=self.total, text="", counted="", left=""
            )
            self._bar.start()
        self._bar.update(
            self._task,
            total=self.total,
            completed=self.done,
            text=self._text,
            counted=self._counted(),
            left=self._remaining(),
        )


def duration(seconds: float) -> str:
    """Write a number of seconds for people, as in "1 min 15 s"."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 120:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def sparkline(values: Sequence[float]) -> str:
    """Draw the last numbers as bars of letters' size, the smallest lowest.

    >>> sparkline([3.0, 2.0, 1.5, 1.0])
    '█▄▂▁'
    """
    shown = [value for value in values if math.isfinite(value)][-_MOST_BARS:]
    if len(shown) < 2:
        return ""
    low = min(shown)
    high = max(shown)
    step = (high - low) / (len(_BARS) - 1) or 1.0
    return "".join(_BARS[int((value - low) / step)] for value in shown)
