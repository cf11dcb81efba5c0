"""Progress of training: loss, simulations per second, time left; and how long a step takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import keras

from bayesinn.core.progress import Progress
from bayesinn.training.step import TrainingModel


class ProgressReport(keras.callbacks.Callback):
    """Shows how far training has come.

    Parameters
    ----------
    first_step : int
        Step at which a resumed run begins.
    steps : int
    shown : bool
    """

    model: TrainingModel

    def __init__(self, first_step: int, steps: int, shown: bool) -> None:
        super().__init__()
        self._display = Progress("training", steps, "steps", shown=shown, done=first_step)
        self._validation = ""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Say that the step is being compiled."""
        self._display.stage("compiling")

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remember where the epoch starts."""
        self._epoch_step = epoch * self.model.settings.steps_per_epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Show step, loss and speed."""
        settings = self.model.settings
        step = min(self._epoch_step + min(batch + 1, settings.steps_per_epoch), settings.steps)
        loss = f"loss {float((logs or {}).get('loss', math.nan)):.3f}{self._validation}"
        seconds = self._display.seconds_each
        speed = (
            f", {settings.batch_size / seconds:,.0f} simulations/s" if math.isfinite(seconds) and seconds > 0 else ""
        )
        self._display.update(step, loss + speed)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remember the validation loss."""
        if logs and "val_loss" in logs:
            self._validation = f", validation {logs['val_loss']:.3f}"

    def close(self) -> None:
        """Give the terminal back, whatever ended the training; Keras tells callbacks nothing of exceptions."""
        self._display.close()


class StepClock(keras.callbacks.Callback):
    """Measures how long a step takes, without those of the first epoch, in which functions are compiled.

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
        self._ends.append(self._now())

    @property
    def seconds_per_epoch(self) -> float:
        """Mean seconds of an epoch; NaN before there are two."""
        return (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1) if len(self._ends) > 1 else math.nan

    @property
    def seconds_per_step(self) -> float:
        """Mean seconds of a step, with its share of what was done before the first one."""
        return self.seconds_per_epoch / self.model.settings.steps_per_epoch + self.model.source.seconds_per_step
