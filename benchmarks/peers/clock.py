"""The clock of libraries that train with Keras."""

from __future__ import annotations

from typing import Any

import keras
from task import Fit


class Clock(keras.callbacks.Callback):
    """Notes when epochs end, and stops a fit that lasts long."""

    def __init__(self, fit: Fit, limit: float) -> None:
        super().__init__()
        self.fit = fit
        self.limit = limit

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.fit.epoch_ended(self.limit):
            self.model.stop_training = True
