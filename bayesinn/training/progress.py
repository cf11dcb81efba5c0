"""Progress that people and log files can read: loss, simulations per second, time left."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bayesinn.training.step import TrainingModel

_SECONDS_BETWEEN_LINES = 10.0


class ProgressReport(keras.callbacks.Callback):
    """A bar on a terminal; elsewhere a line at the start, every ten seconds, and at the end.

    Parameters
    ----------
    first_step : int
        Where a resumed run begins.
    """

    model: TrainingModel

    def __init__(self, first_step: int = 0) -> None:
        super().__init__()
        self._step = first_step
        self._shown = -1
        self._bar: Progress | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start the clock, and the bar on a terminal."""
        # Compilation belongs to the first call; a rate that includes it would mislead about the time left.
        self._started: float | None = None
        self._counted_from = self._step
        self._last_line = time.monotonic()
        self._epoch_step = self._step
        self._validation = ""
        total = self.model.settings.steps
        if sys.stdout.isatty():
            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                TextColumn("{task.fields[text]}"),
                TimeRemainingColumn(),
                console=Console(file=sys.stdout),
            )
            self._task = self._bar.add_task("training", total=total, completed=self._step, text="compiling")
            self._bar.start()
        else:
            print(f"training: step {self._step:,} of {total:,}, compiling", flush=True)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Know where the epoch starts."""
        self._epoch_step = epoch * self.model.settings.steps_per_epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Report."""
        settings = self.model.settings
        in_epoch = min(batch + 1, settings.steps_per_epoch)
        self._step = min(self._epoch_step + in_epoch, settings.steps)
        now = time.monotonic()
        if self._started is None:
            self._started, self._counted_from = now, self._step
            return
        if self._bar is None and now - self._last_line < _SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        self._show(logs or {}, now)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remember the validation loss."""
        if logs and "val_loss" in logs:
            self._validation = f", validation {logs['val_loss']:.3f}"

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """The last line."""
        if self._shown != self._step:
            self._show(logs or {}, time.monotonic())

    def stop(self) -> None:
        """Give the terminal back, whatever ended the training; Keras tells callbacks nothing of exceptions."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, logs: dict[str, Any], now: float) -> None:
        self._shown = self._step
        settings = self.model.settings
        steps, seconds = self._step - self._counted_from, now - (self._started or now)
        rate = steps / seconds if seconds > 0 else 0.0
        loss = f"loss {float(logs['loss']):.3f}{self._validation}" if "loss" in logs else ""
        speed = f"{rate * settings.batch_size:,.0f} simulations/s"
        text = f"step {self._step:,} of {settings.steps:,}, {loss}, {speed}"
        if self._bar is not None:
            self._bar.update(self._task, completed=self._step, text=text)
        else:
            left = (settings.steps - self._step) / rate if rate > 0 else 0.0
            print(f"training: {text}, {_duration(left)} left", flush=True)


class StepClock(keras.callbacks.Callback):
    """How long a step takes, without those of the first epoch, in which functions are compiled.

    Parameters
    ----------
    now : callable
        Gives seconds: of the clock on the wall, or of the processor.
    """

    model: TrainingModel

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._ends: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the clock."""
        self._ends.append(self._now())

    @property
    def seconds_per_epoch(self) -> float:
        """In the mean; NaN before there are two."""
        return (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1) if len(self._ends) > 1 else math.nan

    @property
    def seconds_per_step(self) -> float:
        """With its share of what was done before the first one."""
        return self.seconds_per_epoch / self.model.settings.steps_per_epoch + self.model.source.seconds_per_step


class Counted:
    """Batches, with the same kind of report on how many of their rows are done.

    Attributes
    ----------
    seconds : float
        That a batch took, without the first, in which functions are compiled.
    """

    def __init__(self, what: str, batches: Iterable[Any], rows: int, batch_size: int, shown: bool) -> None:
        self._what, self._batches, self._rows, self._batch_size = what, batches, rows, batch_size
        self._shown = shown
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Any]:
        columns = (TextColumn(f"{self._what} {self._rows:,} simulations"), BarColumn(), TimeRemainingColumn())
        bar = Progress(*columns, console=Console(file=sys.stdout), disable=not (self._shown and sys.stdout.isatty()))
        started, last_line = 0.0, time.monotonic()
        with bar:
            task = bar.add_task(self._what, total=self._rows)
            for number, batch in enumerate(self._batches):
                yield batch
                now, done = time.monotonic(), min((number + 1) * self._batch_size, self._rows)
                bar.update(task, completed=done)
                if number == 0:
                    started = now
                    continue
                self.seconds = (now - started) / number
                if not self._shown or sys.stdout.isatty():
                    continue
                if now - last_line >= _SECONDS_BETWEEN_LINES or done == self._rows:
                    last_line = now
                    left = _duration((self._rows - done) / self._batch_size * self.seconds)
                    print(f"{self._what} simulations: {done:,} of {self._rows:,}, {left} left", flush=True)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
