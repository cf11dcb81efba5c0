"""Progress of training: loss, simulations per second, time left; and how long a step takes."""

import math
import time
from collections.abc import Callable
from typing import Any

from bayesinn.core.progress import Progress, sparkline
from bayesinn.training.callbacks import TrainingCallback
from bayesinn.training.deadline import Deadline
from bayesinn.training.settings import TrainingSettings

# Share of the time from which on the simulator is what training waits for.
_MUCH = 0.5


class ProgressReport(TrainingCallback):
    """Shows how far training has come, on from the finished epochs of a run that is resumed.

    With a ``deadline``, that tells how many steps there will be, once it knows.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        finished: int,
        shown: bool,
        deadline: Deadline | None = None,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._deadline = deadline
        self._display = Progress(
            "training",
            settings.steps if deadline is None else None,
            "steps",
            shown=shown,
            done=settings.steps_in(finished),
            ends_at=math.inf if deadline is None else deadline.end,
        )
        self._validation = ""
        self._losses: list[float] = []

    @property
    def seconds_per_step(self) -> float:
        """Mean seconds of a step, without the first call, which compiles; NaN before the second."""
        return self._display.seconds_each

    def on_train_begin(self, logs: Any = None) -> None:
        self._display.stage("compiling")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch_step = self._settings.steps_in(epoch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        settings = self._settings
        seconds = self._display.seconds_each
        step = min(self._epoch_step + min(batch + 1, settings.steps_per_epoch), settings.steps)
        # Not a number before the second call.
        speed = f", {settings.batch_size / seconds:,.0f} simulations/s" if seconds > 0 else ""
        share = self._share_of_simulator()
        slow = f", {100 * share:.0f} % of the time for the simulator" if share > _MUCH else ""
        curve = f" {sparkline(self._losses)}".rstrip() if self._display.terminal else ""
        self._expect(step)
        self._display.update(step, f"loss {logs['loss']:.3f}{self._validation}{curve}{speed}{slow}")

    def _expect(self, step: int) -> None:
        """Tell the display for how many steps there is time: two digits, and at the end all."""
        if self._deadline is None:
            return
        if self.model.stop_training:
            self._display.expect(step)
        elif (steps := self._deadline.steps) is not None:
            unit = 10 ** max(len(str(steps)) - 2, 0)
            about = max(round(steps / unit) * unit, step)
            if self._display.total is None:
                self._display.note(f"the time is enough for about {about:,} steps")
            self._display.expect(about)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._losses.append(logs.get("val_loss", logs["loss"]))
        if "val_loss" in logs:
            self._validation = f", validation {logs['val_loss']:.3f}"

    def on_train_end(self, logs: Any = None) -> None:
        """Propose to use simulations more than once where they take most of the time."""
        share = self._share_of_simulator()
        self._display.close()
        if share > _MUCH:
            self._display.note(
                f"{100 * share:.0f} % of the time went into simulating; --passes 4, or "
                "bi.Optimization(passes=4), uses each simulation four times"
            )

    def _share_of_simulator(self) -> float:
        """Return the share of the time in which the network waited for simulations."""
        return float(self.model.source.waited / max(self._display.seconds, 1e-9))

    def close(self) -> None:
        """Give the terminal back, whatever ended training.

        Keras tells callbacks nothing of exceptions.
        """
        self._display.close()


class StepClock(TrainingCallback):
    """Measures the time of a step, without the first epoch, in which functions are compiled.

    ``now`` gives seconds: of the clock on the wall, or of the processor. Training ends as soon as
    it has taken ``most_seconds``, and the second epoch has ended.
    """

    def __init__(
        self, now: Callable[[], float] = time.monotonic, most_seconds: float = math.inf
    ) -> None:
        super().__init__()
        self._now = now
        self._most = most_seconds
        self._ends: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._ends.append(self._now())
        if len(self._ends) > 1 and self._ends[-1] - self._ends[0] > self._most:
            self.model.stop_training = True

    @property
    def seconds_per_epoch(self) -> float:
        """Mean seconds of an epoch; NaN before there are two."""
        return (
            (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)
            if len(self._ends) > 1
            else math.nan
        )

    @property
    def seconds_per_step(self) -> float:
        """Mean seconds of a step, with its share of what was done before the first one."""
        return (
            self.seconds_per_epoch / self.model.settings.steps_per_epoch
            + self.model.source.seconds_per_step
        )
