"""How to train: small frozen objects, checked where they are declared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core.compilation import XLA
from bayesinn.core.errors import (
    InputError,
    check_choice,
    check_flag,
    check_integer,
    check_number,
    check_path,
    check_type,
)

_DO = "pass for example keras.optimizers.AdamW(1e-3)"


def check_optimizer(optimizer: Any) -> None:
    """Refuse what is no optimizer, and what the training step does by itself."""
    subject = "Argument 'optimizer'"
    check_type(subject, optimizer, keras.optimizers.Optimizer, "a Keras optimizer object", _DO)
    # Steps are counted, and gradients differentiated, by the training step.
    refused = {
        name: value
        for name in ("loss_scale_factor", "gradient_accumulation_steps")
        if (value := getattr(optimizer, name, None)) is not None
    }
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        refused = {"class": "LossScaleOptimizer"}
    if refused:
        raise InputError(
            subject,
            expected="one that neither scales losses nor accumulates gradients",
            got=", ".join(f"{name} {value}" for name, value in refused.items()),
            do="leave them out; bi.Optimization(accumulate=...) divides batches, and "
            "mixed_precision needs no scaling",
        )
    _refuse_by_shape(optimizer)


def _refuse_by_shape(optimizer: keras.optimizers.Optimizer) -> None:
    """Refuse an optimizer that treats weights by shape or name: it gets all in one vector."""
    by_shape = (keras.optimizers.Adafactor, keras.optimizers.Lamb, keras.optimizers.Muon)
    got = ""
    if isinstance(optimizer, by_shape):
        got = type(optimizer).__name__
    if getattr(optimizer, "_exclude_from_weight_decay", None):
        got = "weights that are excluded from weight decay"
    if getattr(optimizer, "_exclude_from_weight_decay_pattern", None) is not None:
        got = "names that are excluded from weight decay"
    if got:
        raise InputError(
            "Argument 'optimizer'",
            expected="one that treats all weights alike, which are one vector",
            got=got,
            do=_DO,
        )


_MOST_STEPS_A_CALL = 50
_EPOCHS_ONLINE = 50
_EPOCHS_OFFLINE = 30
#: Number of steps from which on XLA saves more time than it takes to compile.
STEPS_WORTH_COMPILING = 1_000
#: Of six coupling blocks, the loop saves 1 to 2 s and costs 7 to 20 % of a step.
STEPS_WORTH_UNROLLING = 10_000


@dataclass(frozen=True)
class Optimization:
    """Settings of training, beside its length and its data.

    Parameters
    ----------
    optimizer : Keras optimizer
        By default Adam: its learning rate rises linearly to ``learning_rate`` over 5 % of the steps
        (at most 500), then falls to zero along a cosine. An optimizer that is given is copied, so
        that it can be used again. It has its own learning rate and weight decay: ``learning_rate``
        and ``weight_decay`` are refused beside it.
    learning_rate : float
        By default what the simulator recommends, else 5e-3.
    clip_norm : float
        Largest global norm of a gradient.
    weight_decay : float
        Weight decay of AdamW, in units of the learning rate: keeps a network that sees few
        simulations from overfitting. By default 0.1 with fewer than 3,000 stored simulations to
        train on, else 0, as for a :class:`bayesinn.Stream`, which grows.
    average : float
        Decay of the moving average of the weights, which is what is kept; 0 for none.
    patience : int
        With a validation set: stop after this many epochs without a better validation loss. By
        default 20 for a posterior that is fitted to arrays without ``steps`` or ``epochs``, else
        none.
    passes : int
        Online: number of passes through simulations that are drawn before the first step, as many
        as these passes need. They are kept in memory, or beside the checkpoint. For simulators that
        take longer than steps. 0 draws new simulations at each step. By default what the simulator
        recommends, else 0; with ``minutes`` and a simulator in workers that is too slow for new
        ones, up to 10. More than a few passes through few simulations overfit.
    minutes : float
        Time limit; training may also end before, with the last step. The learning rate follows the
        time that is left, so that its schedule is completed even if steps become slower.
        Simulations for scalings and for ``passes`` count, but none of them is left out: if they
        take all of the time, training ends with its first steps. A run that is resumed has all of
        the time again, and goes on with the learning rate of its step in the whole schedule.
    xla : "auto", True or False
        Whether to compile training step and simulator with XLA. "auto" compiles runs of 1,000 steps
        or more, where XLA has all operations; the simulator only on a GPU. Shorter runs end before
        compiling has paid. Convolutions of images on the CPU stay in the plain graph, which is as
        fast.
    callbacks : sequence of Keras callbacks
        They get the loss at the end of each epoch. What they know is not in checkpoints: a run that
        one of them has ended goes on where it is resumed. Those that set the learning rate need an
        ``optimizer`` of your own, as the default one follows a schedule.
    accumulate : int
        Number of parts of a batch that are differentiated one after another; only one part's
        activations are in memory. It must divide the batch, or on several devices the batch of
        each.
    strategy : MirroredStrategy or MultiWorkerMirroredStrategy of tf.distribute
        Devices that share each batch equally; the gradient is that of the whole batch. With several
        processes, each runs the same script, and makes the strategy before anything else.
    mixed_precision : bool
        Whether dense layers and convolutions, in summaries and subnets, multiply in bfloat16 while
        training. All else stays in single precision: weights, activations, bijections, losses, the
        sum of gradients, and inference.

    Examples
    --------
    >>> Optimization(learning_rate=1e-3, patience=10).clip_norm
    1.0
    """

    optimizer: keras.optimizers.Optimizer | None = None
    learning_rate: float | None = None
    clip_norm: float = 1.0
    weight_decay: float | None = None
    average: float = 0.999
    patience: int | None = None
    passes: int | None = None
    minutes: float | None = None
    xla: XLA = "auto"
    callbacks: Sequence[keras.callbacks.Callback] = ()
    accumulate: int = 1
    strategy: tf.distribute.Strategy | None = None
    mixed_precision: bool = False

    def __post_init__(self) -> None:
        if self.optimizer is not None:
            check_optimizer(self.optimizer)
        expected = "a list of Keras callbacks"
        example = "pass callbacks=[...]"
        check_type("Argument 'callbacks'", self.callbacks, Sequence, expected, example)
        for callback in self.callbacks:
            check_type(
                "Argument 'callbacks'", callback, keras.callbacks.Callback, expected, example
            )
            sets_rate = isinstance(
                callback,
                keras.callbacks.ReduceLROnPlateau | keras.callbacks.LearningRateScheduler,
            )
            if sets_rate and self.optimizer is None:
                raise InputError(
                    f"Argument 'callbacks', {type(callback).__name__}",
                    expected="an optimizer whose learning rate it may set",
                    got="the default one, which follows a schedule",
                    do="pass for example optimizer=keras.optimizers.Adam(5e-3), too",
                )
        check_choice("Argument 'xla'", self.xla, ("auto", True, False))
        strategies = (
            tf.distribute.MirroredStrategy,
            tf.distribute.MultiWorkerMirroredStrategy,
            type(None),
        )
        expected = "a mirrored strategy of tf.distribute"
        example = "pass for example tf.distribute.MirroredStrategy()"
        check_type("Argument 'strategy'", self.strategy, strategies, expected, example)
        checked = self._check_numbers()
        for name in ("learning_rate", "weight_decay"):
            if self.optimizer is not None and name in checked:
                raise InputError(
                    f"Arguments 'optimizer' and {name!r}",
                    expected=f"one of them: an optimizer has its own {name}",
                    got=f"both, {name}={checked[name]!r}",
                    do=f"pass {name} to the optimizer, or leave the optimizer out",
                )
        vars(self).update(checked)

    def _check_numbers(self) -> dict[str, float]:
        """Return the numbers that were given as plain ones: JSON files can't hold NumPy's."""
        checked: dict[str, float] = {
            "clip_norm": check_number("Argument 'clip_norm'", self.clip_norm, above=0),
            "accumulate": check_integer("Argument 'accumulate'", self.accumulate),
            "average": check_number(
                "Argument 'average'", self.average, least=0, below=1, do="pass for example 0.999"
            ),
            "mixed_precision": check_flag("Argument 'mixed_precision'", self.mixed_precision),
        }
        if self.weight_decay is not None:
            checked["weight_decay"] = check_number(
                "Argument 'weight_decay'", self.weight_decay, least=0
            )
        if self.learning_rate is not None:
            checked["learning_rate"] = check_number(
                "Argument 'learning_rate'",
                self.learning_rate,
                above=0,
                do="pass a positive number, or optimizer=keras.optimizers.Adam(schedule)",
            )
        if self.minutes is not None:
            checked["minutes"] = check_number("Argument 'minutes'", self.minutes, above=0)
        for name, least in (("patience", 1), ("passes", 0)):
            if (value := getattr(self, name)) is not None:
                checked[name] = check_integer(f"Argument {name!r}", value, least)
        return checked

    @property
    def optimizer_configuration(self) -> dict[str, Any] | None:
        """The optimizer in plain values; None for the default one."""
        if self.optimizer is None:
            return None
        plain: dict[str, Any] = keras.saving.serialize_keras_object(self.optimizer)
        # Its name counts the optimizers that a process has made, and decides nothing.
        plain["config"].pop("name", None)
        return plain

    @property
    def parts(self) -> int:
        """Number of parts of a batch that are differentiated separately, on all devices."""
        return self.accumulate * (
            1 if self.strategy is None else self.strategy.num_replicas_in_sync
        )

    def with_defaults(self, learning_rate: float, passes: int) -> Optimization:
        """Return the same with what was left out; an optimizer has its own learning rate."""
        complete = self
        if self.learning_rate is None and self.optimizer is None:
            complete = replace(complete, learning_rate=learning_rate)
        if self.passes is None:
            complete = replace(complete, passes=passes)
        return complete


@dataclass(frozen=True)
class Checkpoint:
    """The folder that keeps the state of a training.

    Parameters
    ----------
    folder : path
    resume : bool
        Whether to continue from the state in the folder, if there is one, as though training had
        never stopped. If False, a folder with a state is refused.
    check_simulator : bool
        Whether to check that the simulator is the one that training began with: a few simulated
        rows, one if that takes long, are kept with the state and simulated again on resuming.

    Examples
    --------
    >>> Checkpoint("runs/sir/checkpoint", resume=True).folder.name
    'checkpoint'
    """

    folder: Path
    resume: bool = False
    check_simulator: bool = True

    def __post_init__(self) -> None:
        check_flag("Checkpoint, argument 'resume'", self.resume)
        check_flag("Checkpoint, argument 'check_simulator'", self.check_simulator)
        object.__setattr__(
            self, "folder", check_path("Argument 'checkpoint'", self.folder, "folder")
        )

    @classmethod
    def from_argument(cls, value: str | Path | Checkpoint | None) -> Checkpoint | None:
        """Return what a user passed as ``checkpoint``: a folder for a new run, or an object."""
        if value is None or isinstance(value, Checkpoint):
            return value
        return cls(value)  # type: ignore[arg-type]


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides the outcome of training, apart from simulator, network and optimiser.

    Reports, checkpoints, validations and calls of epoch callbacks come every ``steps_per_epoch``
    steps. For the rest see :class:`Optimization`; ``passes`` is 0 for arrays, too. A batch has
    ``parts`` on all devices together. The learning rate of a user's optimizer is its own, and None
    here.
    """

    steps: int
    steps_per_epoch: int
    batch_size: int
    seed: int
    learning_rate: float | None = 5e-3
    clip_norm: float = 1.0
    average: float = 0.999
    patience: int | None = None
    xla: XLA = "auto"
    passes: int = 0
    weight_decay: float = 0.0
    parts: int = 1
    mixed_precision: bool = False

    @property
    def simulations(self) -> int:
        """Number of simulations drawn over the whole training."""
        return -(-self.steps // max(self.passes, 1)) * self.batch_size

    @property
    def epochs(self) -> int:
        """Number of epochs; the last may be shorter."""
        return -(-self.steps // self.steps_per_epoch)

    def steps_in(self, epochs: int) -> int:
        """Return the number of steps in the first epochs."""
        return min(epochs * self.steps_per_epoch, self.steps)

    def ended(self, epochs: int, waited: int) -> bool:
        """Tell whether training has ended after some epochs, the last ``waited`` no better."""
        return epochs >= self.epochs or (self.patience is not None and waited >= self.patience)

    @property
    def steps_per_call(self) -> int:
        """Steps in the graph between returns to Python: as even a share of an epoch as possible."""
        calls = -(-self.steps_per_epoch // _MOST_STEPS_A_CALL)
        return -(-self.steps_per_epoch // calls)

    @property
    def padded_epoch(self) -> int:
        """Steps per epoch rounded up to whole calls; the surplus steps are idle."""
        return -(-self.steps_per_epoch // self.steps_per_call) * self.steps_per_call

    def step_numbers(self, first_epoch: int) -> np.ndarray:
        """Return the numbers of all steps from ``first_epoch`` on, with -1 for idle ones."""
        position = np.arange(self.padded_epoch)
        numbers = np.arange(first_epoch, self.epochs)[:, None] * self.steps_per_epoch + position
        busy = (position < self.steps_per_epoch) & (numbers < self.steps)
        return np.where(busy, numbers, -1).astype(np.int32).ravel()


def resolve_settings(
    rows: int | None,
    steps: int | None,
    epochs: int | None,
    batch_size: int,
    seed: int,
    optimization: Optimization,
) -> TrainingSettings:
    """Return settings for the number of rows (None online) and the user's choices.

    The optimization must be complete.
    """
    if tf.distribute.has_strategy():
        raise InputError(
            "Training",
            expected="a strategy as an option",
            got="a call inside of strategy.scope()",
            do="call fit outside of it, with optimization=bi.Optimization(strategy=strategy)",
        )
    given = {"steps": steps, "epochs": epochs, "batch_size": batch_size}
    checked = {
        name: check_integer(f"Argument {name!r}", value)
        for name, value in given.items()
        if value is not None
    }
    batch_size = checked["batch_size"]
    if rows is None:
        total = checked["steps"]
        steps_per_epoch = -(-total // checked.get("epochs", _EPOCHS_ONLINE))
    else:
        refuse_both(steps, epochs)
        batch_size = min(batch_size, rows)
        steps_per_epoch = rows // batch_size
        total = checked.get("steps", steps_per_epoch * checked.get("epochs", _EPOCHS_OFFLINE))
    if batch_size % (parts := optimization.parts):
        raise InputError(
            "Argument 'batch_size'",
            expected=f"a multiple of {parts}, the parts of a batch: devices x accumulate",
            got=str(batch_size),
            do="choose another batch size",
        )
    if optimization.xla == "auto" and total < STEPS_WORTH_COMPILING:
        optimization = replace(optimization, xla=False)
    return TrainingSettings(
        steps=total,
        steps_per_epoch=steps_per_epoch,
        batch_size=batch_size,
        seed=seed,
        learning_rate=optimization.learning_rate,
        clip_norm=optimization.clip_norm,
        average=optimization.average,
        patience=optimization.patience,
        xla=optimization.xla,
        passes=optimization.passes or 0,
        weight_decay=optimization.weight_decay or 0.0,
        parts=parts,
        mixed_precision=optimization.mixed_precision,
    )


def refuse_both(steps: Any, epochs: Any) -> None:
    """Refuse ``steps`` together with ``epochs``."""
    if steps is not None and epochs is not None:
        raise InputError(
            "Arguments 'steps' and 'epochs'",
            expected="one of them: steps, or passes through the data",
            got=f"steps={steps!r} and epochs={epochs!r}",
            do="leave one out",
        )
