"""How to train: one frozen object, which a checkpoint remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bayesinn.core.errors import InputError

_MOST_STEPS_A_CALL = 50
_EPOCHS_ONLINE = 50
_EPOCHS_OFFLINE = 30


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides the outcome of training, apart from simulator, network and optimiser.

    Parameters
    ----------
    steps : int
        Weight updates in all.
    steps_per_epoch : int
        Steps between two reports, checkpoints, validations and calls of epoch callbacks.
    batch_size : int
    seed : int
    learning_rate : float
        Peak of the default schedule: linear warm-up over 5 % of the steps (at most 500), then a cosine to zero.
    clip_norm : float
        Largest global norm of a gradient.
    average : float
        Decay of the exponential moving average of weights that the posterior uses; 0 switches it off.
    patience : int or None
        Stop after so many epochs without a better validation loss, and keep the best weights.
    xla : "auto", True or False
        Whether the simulator is compiled with XLA. "auto" compiles it where all its operations have a kernel.
    passes : int
        Through simulations that are drawn before the first step; 0 for new ones at each step, or for arrays.
    """

    steps: int
    steps_per_epoch: int
    batch_size: int
    seed: int
    learning_rate: float
    clip_norm: float
    average: float
    patience: int | None
    xla: Literal["auto"] | bool
    passes: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "steps_per_epoch", "batch_size"):
            _require(name, getattr(self, name), isinstance(getattr(self, name), int) and getattr(self, name) > 0,
                     "a positive integer")  # fmt: skip
        _require("learning_rate", self.learning_rate, self.learning_rate > 0, "a positive number")
        _require("clip_norm", self.clip_norm, self.clip_norm > 0, "a positive number")
        _require("average", self.average, 0 <= self.average < 1, "a number from 0 to below 1, such as 0.999")
        _require("patience", self.patience, self.patience is None or self.patience > 0, "a positive integer, or None")
        _require("passes", self.passes, isinstance(self.passes, int) and self.passes >= 0, "a positive integer, or 0")
        _require("xla", self.xla, self.xla in ("auto", True, False), "'auto', True or False")

    @property
    def simulations(self) -> int:
        """That are drawn for all steps."""
        return -(-self.steps // max(self.passes, 1)) * self.batch_size

    @property
    def epochs(self) -> int:
        """Number of epochs; the last may be shorter."""
        return -(-self.steps // self.steps_per_epoch)

    def ended(self, epochs: int, waited: int) -> bool:
        """Whether nothing is left to do after so many epochs, the last few without improvement."""
        return epochs >= self.epochs or (self.patience is not None and waited >= self.patience)

    @property
    def steps_per_call(self) -> int:
        """Steps that run in the graph between two returns to Python: as even a share of an epoch as there is."""
        calls = -(-self.steps_per_epoch // _MOST_STEPS_A_CALL)
        return -(-self.steps_per_epoch // calls)

    @property
    def padded_epoch(self) -> int:
        """Steps per epoch rounded up to whole calls; the surplus steps are idle."""
        return -(-self.steps_per_epoch // self.steps_per_call) * self.steps_per_call

    @property
    def warmup_steps(self) -> int:
        """Steps of linear warm-up."""
        return min(500, max(1, self.steps // 20))

    def step_numbers(self, first_epoch: int) -> list[list[int]]:
        """For each epoch from ``first_epoch`` on, its step numbers, with -1 for idle steps."""
        numbers = []
        for epoch in range(first_epoch, self.epochs):
            start = epoch * self.steps_per_epoch
            steps = list(range(start, min(start + self.steps_per_epoch, self.steps)))
            numbers.append(steps + [-1] * (self.padded_epoch - len(steps)))
        return numbers


def training_length(rows: int | None, steps: int | None, epochs: int | None, batch_size: int) -> tuple[int, int, int]:
    """Steps, steps per epoch and batch size, from what the user said and the number of rows (None online)."""
    for name, value in (("steps", steps), ("epochs", epochs), ("batch_size", batch_size)):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if value is not None and not (whole and value > 0):
            raise InputError(f"Argument {name!r}", expected="a positive integer", got=repr(value), do=f"change {name}")
    if rows is None:
        assert steps is not None, "online, somebody has to say when it is enough"
        return int(steps), -(-int(steps) // int(epochs or _EPOCHS_ONLINE)), int(batch_size)
    batch_size = min(int(batch_size), rows)
    steps_per_epoch = rows // batch_size
    return int(steps or steps_per_epoch * (epochs or _EPOCHS_OFFLINE)), steps_per_epoch, batch_size


def _require(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds or (isinstance(value, bool) and name != "xla"):
        raise InputError(f"Training option {name!r}", expected=expected, got=repr(value), do=f"change {name!r}")
