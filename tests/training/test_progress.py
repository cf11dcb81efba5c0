"""The clock of steps, which says how many fit into some minutes."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from bayesinn.training.callbacks import Deadline
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.train import ProgressReport, StepClock


def test_seconds_of_a_step_leave_out_the_first_epoch() -> None:
    times = iter([100.0, 103.0, 109.0])
    clock = StepClock(lambda: next(times))
    # The first epoch ends at 100, whenever it began.
    clock.set_model(
        SimpleNamespace(
            settings=SimpleNamespace(steps_per_epoch=9),
            source=SimpleNamespace(seconds_per_step=0.25),
        )
    )
    clock.on_epoch_end(0)
    assert np.isnan(clock.seconds_per_epoch)
    clock.on_epoch_end(1)
    assert clock.seconds_per_epoch == 3.0
    clock.on_epoch_end(2)
    assert clock.seconds_per_epoch == 4.5
    assert clock.seconds_per_step == 0.75


@pytest.mark.parametrize(("waited", "proposed"), [(1e6, True), (0.0, False)])
def test_passes_are_proposed_where_the_simulator_takes_the_time(capsys, waited, proposed) -> None:
    settings = TrainingSettings(steps=10, steps_per_epoch=5, batch_size=4, seed=1)
    report = ProgressReport(settings, 0, shown=True)
    report.set_model(SimpleNamespace(source=SimpleNamespace(waited=waited)))
    report.on_epoch_begin(0)
    report.on_train_batch_end(4, {"loss": 1.0})
    report.on_epoch_end(0, {"loss": 1.0, "val_loss": 2.0})
    report.on_train_batch_end(4, {"loss": 1.0})
    report.on_train_end()
    text = capsys.readouterr().out
    assert ("--passes 4" in text) is proposed
    assert ("of the time for the simulator" in text) is proposed
    assert "5 of 10 steps, loss 1.000, validation 2.000" in text
    report.close()
    assert not capsys.readouterr().out


def test_the_number_of_steps_is_told_once_the_speed_is_known(capsys, monkeypatch) -> None:
    """One number everywhere, of steps that are compiled; at the end as many as were done."""
    settings = TrainingSettings(steps=1_213, steps_per_epoch=25, batch_size=4, seed=1)
    clock = SimpleNamespace(now=60.0)
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    deadline = Deadline(150.0, None, lambda: clock.now)
    report = ProgressReport(settings, 0, shown=True, deadline=deadline)
    source = SimpleNamespace(waited=0.0)
    model = SimpleNamespace(settings=settings, steps_done=0, stop_training=False, source=source)
    for callback in (deadline, report):
        callback.set_model(model)
    report.on_train_begin()
    report.on_epoch_begin(0)
    clock.now += 30.0  # compiling
    while not model.stop_training:
        model.steps_done += 25
        clock.now += 6.0
        report.on_epoch_begin(model.steps_done // 25 - 1)
        for callback in (deadline, report):
            callback.on_train_batch_end(24, {"loss": 1.0})
    report.on_train_end()
    told = capsys.readouterr().out
    assert "1,213" not in told
    assert told.count("the time is enough for about 250 steps") == 1
    assert set(re.findall(r"about ([\d,]+) steps", told)) == {"250"}
    assert told.rstrip().splitlines()[-1].startswith("training: 250 of 250 steps")


def test_a_trial_ends_as_soon_as_it_has_taken_long_enough() -> None:
    times = iter([0.0, 3.0, 6.0])
    clock = StepClock(lambda: next(times), most_seconds=5.0)
    model = SimpleNamespace(stop_training=False)
    clock.set_model(model)
    clock.on_epoch_end(0)
    clock.on_epoch_end(1)
    assert not model.stop_training
    clock.on_epoch_end(2)
    assert model.stop_training
