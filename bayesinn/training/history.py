"""The history of a run: one row per epoch."""

from __future__ import annotations

from typing import Any

import keras
import pandas as pd

from bayesinn.training.step import TrainingModel

_COLUMNS = ("step", "loss", "val_loss", "learning_rate", "failed_simulations")


class HistoryRecorder(keras.callbacks.Callback):
    """Collects step, mean loss, validation loss, learning rate and failed simulations of each epoch."""

    model: TrainingModel

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add a row, unless the epoch broke."""
        if int(self.model.bad_step.numpy()) >= 0:
            return
        logs = logs or {}
        settings = self.model.settings
        row = {
            "step": min((epoch + 1) * settings.steps_per_epoch, settings.steps),
            "loss": float(logs["loss"]),
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            "failed_simulations": int(self.model.failed.numpy()),
        }
        if "val_loss" in logs:
            row["val_loss"] = float(logs["val_loss"])
        self.rows.append(row)

    def frame(self) -> pd.DataFrame:
        """Return the rows as a table, with the columns that have values."""
        return pd.DataFrame(self.rows, columns=list(_COLUMNS)).dropna(axis="columns", how="all")
