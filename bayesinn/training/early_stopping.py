"""Early stopping on the validation loss, with a state that a checkpoint can carry."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from bayesinn.training.step import TrainingModel


class EarlyStopping(keras.callbacks.Callback):
    """Stop after ``patience`` epochs without a better validation loss, and keep the best averaged weights.

    Attributes
    ----------
    best_loss : float
    best : list of arrays, or None before the first validation
        Averaged weights, then the network's non-trainable ones, such as moving statistics.
    waited : int, epochs since the best
    """

    model: TrainingModel

    def __init__(self, patience: int | None) -> None:
        super().__init__()
        self.patience = patience
        self.best_loss = float("inf")
        self.best: list[tf.Tensor] | None = None
        self.waited = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        loss = (logs or {}).get("val_loss")
        if loss is None:
            return
        if loss < self.best_loss:
            self.best_loss, self.waited = float(loss), 0
            self.best = [tf.identity(variable.value) for variable in _variables(self.model)]
            return
        self.waited += 1
        if self.patience is not None and self.waited >= self.patience:
            self.model.stop_training = True

    def restore_best(self, model: TrainingModel) -> None:
        """Put the best weights back."""
        for variable, value in zip(_variables(model), self.best or [], strict=True):
            variable.assign(value)


def _variables(model: TrainingModel) -> list[keras.Variable]:
    return [model.averaged, *model.network_state]
