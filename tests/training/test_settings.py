"""Settings of training in numbers: how steps are counted, cut into epochs and calls, and when they are over."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from bayesinn.core.errors import InputError
from bayesinn.training.settings import Checkpoint, Optimization, TrainingSettings, resolve_settings

FILLED = Optimization().with_defaults(5e-3, passes=0)


def test_steps_are_numbered_through_epochs_with_idle_ones_at_their_ends() -> None:
    settings = TrainingSettings(steps=130, steps_per_epoch=55, batch_size=8, seed=1)
    # Two calls of 28 steps an epoch, the last of which is idle; the third epoch has 20 steps.
    assert (settings.epochs, settings.steps_per_call, settings.padded_epoch) == (3, 28, 56)
    assert [settings.steps_in(epochs) for epochs in range(5)] == [0, 55, 110, 130, 130]
    numbers = settings.step_numbers(0)
    assert numbers.tolist() == [*range(55), -1, *range(55, 110), -1, *range(110, 130), *[-1] * 36]
    np.testing.assert_array_equal(settings.step_numbers(2), numbers[2 * 56 :])


def test_training_ends_after_its_epochs_or_when_patience_does() -> None:
    settings = TrainingSettings(steps=100, steps_per_epoch=10, batch_size=8, seed=1, patience=3)
    assert [settings.ended(epochs, 0) for epochs in (9, 10, 11)] == [False, True, True]
    assert [settings.ended(5, waited) for waited in (2, 3)] == [False, True]
    assert not TrainingSettings(100, 10, 8, 1).ended(5, 100)


def test_passes_through_few_simulations() -> None:
    assert TrainingSettings(101, 10, 8, 1, passes=0).simulations == 101 * 8
    # 101 batches from passes of 51.
    assert TrainingSettings(101, 10, 8, 1, passes=2).simulations == 51 * 8


def test_passes_that_are_given_stay() -> None:
    assert Optimization(passes=3).with_defaults(1e-3, passes=7).passes == 3
    assert Optimization().with_defaults(1e-3, passes=7).passes == 7


def test_lengths_of_online_and_offline_training() -> None:
    online = resolve_settings(None, 101, None, 32, 1, FILLED)
    assert (online.steps, online.steps_per_epoch, online.batch_size) == (101, 3, 32)
    offline = resolve_settings(100, None, 4, 32, 1, FILLED)
    assert (offline.steps, offline.steps_per_epoch, offline.batch_size) == (12, 3, 32)
    few = resolve_settings(20, None, 4, 32, 1, FILLED)
    assert (few.steps, few.steps_per_epoch, few.batch_size) == (4, 1, 20)


def test_short_runs_are_not_compiled() -> None:
    assert [resolve_settings(None, steps, None, 32, 1, FILLED).xla for steps in (999, 1_000)] == [
        False,
        "auto",
    ]
    asked = Optimization(xla=True).with_defaults(5e-3, passes=0)
    assert resolve_settings(None, 10, None, 32, 1, asked).xla is True


def test_a_checkpoint_is_a_folder_or_says_more() -> None:
    assert Checkpoint.from_argument(None) is None
    assert Checkpoint.from_argument("here") == Checkpoint(Path("here"), resume=False)
    again = Checkpoint("here", resume=True)
    assert Checkpoint.from_argument(again) is again


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay"])
def test_an_optimizer_has_its_own(name: str) -> None:
    with pytest.raises(InputError, match=f"'optimizer' and '{name}'"):
        Optimization(optimizer=keras.optimizers.SGD(1e-3), **{name: 0.1})
    plain = Optimization(optimizer=keras.optimizers.SGD(1e-3))
    assert plain.optimizer_configuration["class_name"] == "SGD"
    assert Optimization().optimizer_configuration is None


def test_an_optimizer_is_known_by_what_it_does() -> None:
    """Keras numbers the optimizers of a process: a run is resumed with a new one."""
    first, same, other = (
        Optimization(optimizer=keras.optimizers.AdamW(rate)).optimizer_configuration
        for rate in (1e-3, 1e-3, 1e-2)
    )
    assert first == same != other


def test_a_schedule_belongs_to_an_optimizer() -> None:
    with pytest.raises(InputError, match=r"(?s)'learning_rate'.*optimizer=keras.optimizers.Adam"):
        Optimization(learning_rate=keras.optimizers.schedules.CosineDecay(1e-3, 10))


@pytest.mark.parametrize(
    "callback",
    [
        keras.callbacks.ReduceLROnPlateau(),
        keras.callbacks.LearningRateScheduler(lambda epoch: 1e-3),
    ],
)
def test_callbacks_that_set_the_learning_rate_need_an_optimizer(callback) -> None:
    with pytest.raises(InputError, match=f"(?s){type(callback).__name__}.*follows a schedule"):
        Optimization(callbacks=[callback])
    Optimization(callbacks=[callback], optimizer=keras.optimizers.Adam(5e-3))
