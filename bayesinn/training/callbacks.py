"""Callbacks at the end of calls and epochs: history with early stopping, and the guard.

The guard stops training at losses or gradients that are not finite, or too many failures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.training.step import TrainingModel

if TYPE_CHECKING:
    import pandas as pd


class TrainingCallback(keras.callbacks.Callback):
    """A callback of a :class:`TrainingModel`."""

    model: TrainingModel


class History(TrainingCallback):
    """Collects a row each epoch, keeps the best averaged weights, and stops when patience ends."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float | None]] = []
        #: Those with the best validation loss, then the network's non-trainable ones, such as
        #: moving statistics.
        self.best: list[tf.Tensor] | None = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add a row, unless the epoch broke."""
        if self.model.broken:
            return
        row = {
            "step": min(self.model.settings.steps_in(epoch + 1), self.model.steps_done),
            "loss": logs["loss"],
            "val_loss": logs.get("val_loss"),
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            "failed_simulations": self.count_failed(self.model),
        }
        self.rows.append(row)
        waited = epochs_waited(self.rows)
        if "val_loss" in logs and waited == 0:
            self.best = [tf.identity(variable.value) for variable in _kept(self.model)]
        if self.model.settings.ended(epoch + 1, waited):
            self.model.stop_training = True

    def count_failed(self, model: TrainingModel) -> int:
        """Return how many simulations have failed, of the model's source or before it was opened.

        A run that had ended is given no source of its own, but has its rows.
        """
        now = int(model.failed.numpy()) + model.source.failed_by(model.steps_done)
        return max([now, *(int(row["failed_simulations"] or 0) for row in self.rows[-1:])])

    def restore_best(self, model: TrainingModel) -> None:
        """Put the best weights back."""
        for variable, value in zip(_kept(model), self.best or [], strict=True):
            variable.assign(value)

    def describe_best(self) -> str:
        """Say of which step the weights are that are kept; nothing if of the last one."""
        waited = epochs_waited(self.rows)
        if not 0 < waited < len(self.rows):
            return ""
        best, last = (self.rows[place] for place in (-1 - waited, -1))
        return (
            f"kept the weights of step {best['step']:,}, whose validation loss was the best: "
            f"{best['val_loss']:.3f}, and {last['val_loss']:.3f} at the end"
        )

    def frame(self) -> pd.DataFrame:
        """Return the rows as a table, with the columns that have values."""
        import pandas as pd

        return pd.DataFrame(self.rows).dropna(axis="columns", how="all")


def epochs_waited(rows: Sequence[Mapping[str, float | None]]) -> int:
    """Return how many epochs ago the validation loss was best; 0 without validation."""
    losses = [loss for row in rows if (loss := row.get("val_loss")) is not None]
    # Place 0 stands for the start: no loss beats it if all are NaN. Place k is epoch k.
    best_epoch = int(np.nanargmin([np.inf, *losses]))
    return len(losses) - best_epoch


class Guard(TrainingCallback):
    """Stops after the last step, at a bad loss or gradient, or at too many failures.

    ``bad_step`` is the step whose loss or gradient was not finite.

    The step itself notices, in the graph, and leaves everything as it is from then on. The weights
    before it may be what broke it, so the guard goes back to those of the last call (up to 50
    steps) that went well from end to end.
    """

    bad_step: int | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Keep the first weights.

        They stay on the device: a copy to the host in every call would stall it.
        """
        self._good = [tf.identity(variable.value) for variable in self._variables]

    @property
    def _variables(self) -> list[keras.Variable]:
        return [self.model.flat, *_kept(self.model)]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Go back if one of the call's steps was bad, else keep the weights."""
        if not self.model.broken:
            self.on_train_begin()
            self.model.source.check_failures(self.model.steps_done, int(self.model.failed.numpy()))
            # The rest of a pass through stored simulations would be idle steps.
            if self.model.steps_done >= self.model.settings.steps:
                self.model.stop_training = True
            return
        self.bad_step = int(self.model.bad_step.numpy())
        for variable, value in zip(self._variables, self._good, strict=True):
            variable.assign(value)
        self.model.stop_training = True


def _kept(model: TrainingModel) -> list[keras.Variable]:
    return [model.averaged, *model.network_state]
