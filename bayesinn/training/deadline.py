"""Training that ends in time: the learning rate's schedule is fitted to what is left of it."""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from bayesinn.training.callbacks import TrainingCallback

#: Share of the time in which the speed is measured, and the fewest calls.
_WINDOW = 0.1
_FEWEST_CALLS = 3


@keras.saving.register_keras_serializable("bayesinn")
class Shortened(keras.optimizers.schedules.CosineDecay):
    """Warm-up and cosine, whose rest passes faster or slower from some step on."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # From this step on, the place in the schedule, and how far a step goes there.
        self._rest = tf.Variable([0.0, 0.0, 1.0], trainable=False, name="rest")

    def __call__(self, step: Any) -> Any:
        start, place, pace = tf.unstack(self._rest)
        return super().__call__(place + (tf.cast(step, tf.float32) - start) * pace)

    def end_at(self, end: float, step: int) -> None:
        """Let the schedule end at another step, from this one on."""
        start, place, pace = self._rest.numpy()
        now = float(place + (step - start) * pace)
        whole = float(self.decay_steps + self.warmup_steps)
        self._rest.assign([float(step), now, (whole - now) / max(end - step, 1.0)])


class Deadline(TrainingCallback):
    """Ends training at a time of the clock ``now``; the schedule ends with it, if it can.

    The speed of the last calls tells how many ``steps`` there will be: None before the second call,
    as the first one compiles.
    """

    def __init__(
        self,
        end: float,
        schedule: Shortened | None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.end = end
        self.steps: int | None = None
        self._schedule = schedule
        self._now = now
        self._started = now()
        self._calls: deque[tuple[float, int]] = deque()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = self._now()
        step = self.model.steps_done
        self._calls.append((now, step))
        window = _WINDOW * (self.end - self._started)
        while len(self._calls) > _FEWEST_CALLS and self._calls[1][0] < now - window:
            self._calls.popleft()
        before, first = self._calls[0]
        each = (now - before) / (step - first) if step > first else math.nan
        # The next call would end later than now is early.
        call = each * self.model.settings.steps_per_call
        if now >= self.end or now + 0.5 * call > self.end:
            self.model.stop_training = True
        elif each > 0.0:
            last = min(step + (self.end - now) / each, self.model.settings.steps)
            self.steps = round(last)
            if self._schedule is not None:
                self._schedule.end_at(last, step)
