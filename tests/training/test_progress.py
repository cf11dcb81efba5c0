"""The clock of steps, which says how many fit into some minutes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from bayesinn.training.progress import StepClock


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
