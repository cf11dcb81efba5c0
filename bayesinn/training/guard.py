"""The guard: remember the last good weights, and return to them when numbers stop being finite."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from bayesinn.training.step import TrainingModel


class Guard(keras.callbacks.Callback):
    """Stops at the first step whose loss or gradient is not finite.

    The step itself notices, in the graph, and leaves everything as it is from then on. The weights before it may be
    what broke it, so the guard goes back to those of the last call (up to 50 steps) that went well from end to end.

    Attributes
    ----------
    bad_step : int or None
    """

    model: TrainingModel

    def __init__(self) -> None:
        super().__init__()
        self.bad_step: int | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Keep the first weights."""
        self._keep()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Go back if one of the call's steps was bad."""
        step = int(self.model.bad_step.numpy())
        if step < 0:
            self._keep()
            return
        self.bad_step = step
        self.model.flat.assign(self._flat)
        self.model.averaged.assign(self._averaged)
        self.model.stop_training = True

    def _keep(self) -> None:
        # On the device: a copy to the host in every call would stall it.
        self._flat = tf.identity(self.model.flat.value)
        self._averaged = tf.identity(self.model.averaged.value)
