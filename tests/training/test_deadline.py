"""Training that ends in time, whatever becomes of the simulator's speed."""

from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import bayesinn as bi
from bayesinn.estimators import estimator
from bayesinn.training.callbacks import Deadline, Shortened
from tests.helpers.fitting import equal, fit


def run(seconds, planned: int, slower_after: float, factor: float) -> tuple[float, list[float]]:
    """Return when training ended, and its learning rates, on a clock that only steps move."""
    clock = SimpleNamespace(now=0.0)
    schedule = Shortened(1e-5, planned - 50, warmup_target=1e-3, warmup_steps=50)
    deadline = Deadline(180.0, schedule, lambda: clock.now)
    settings = SimpleNamespace(steps=planned, steps_per_call=5)
    model = SimpleNamespace(steps_done=0, settings=settings, stop_training=False)
    deadline.set_model(model)
    rates = []
    step = 0
    while not model.stop_training and step < planned:
        rates.append(float(schedule(step + 4)))
        step += 5
        model.steps_done = step
        clock.now += 5 * seconds * (factor if clock.now > slower_after else 1.0)
        deadline.on_train_batch_end(0)
    return clock.now, rates


@pytest.mark.parametrize(("after", "factor"), [(1e9, 1.0), (60.0, 3.0), (150.0, 3.0), (30.0, 0.85)])
def test_it_ends_in_time_with_a_schedule_that_has_ended(after: float, factor: float) -> None:
    # The trial promised 900 steps; 1.3 times as many are planned.
    ended, rates = run(0.2, 1_170, after, factor)
    assert 0.85 * 180.0 < ended < 1.05 * 180.0
    assert rates[-1] < 0.02 * max(rates)
    assert max(rates) == pytest.approx(1e-3, rel=0.01)
    assert np.all(np.diff(rates[20:]) <= 1e-9)


def test_without_a_change_it_is_the_usual_schedule() -> None:
    import keras

    options = {"warmup_target": 1e-3, "warmup_steps": 20}
    usual = keras.optimizers.schedules.CosineDecay(1e-5, 180, **options)
    ours = Shortened(1e-5, 180, **options)
    for step in (0, 7, 20, 133, 200):
        assert float(ours(step)) == float(usual(step))


def test_a_fit_with_minutes_ends_before_its_steps() -> None:
    posterior = bi.AmortizedPosterior(
        bi.get_simulator("linear"), flow=bi.flows.coupling(blocks=1, hidden=(8,))
    )
    options = bi.Optimization(minutes=1e-6)
    posterior.fit(steps=1_000, batch_size=16, optimization=options, progress=False)
    # One call: the time was over before the first.
    assert posterior.steps_done == 20
    assert len(posterior.history) == 1


def test_simulations_before_the_first_step_count(monkeypatch) -> None:
    clock = SimpleNamespace(now=1_000.0)
    draw = estimator.draw_pilot
    ends = []

    def slowly(*arguments):
        clock.now += 40.0
        return draw(*arguments)

    def note(*_, ends_at: float, **__):
        ends.append(ends_at)
        raise InterruptedError

    monkeypatch.setattr(estimator, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(estimator, "draw_pilot", slowly)
    monkeypatch.setattr(estimator, "train", note)
    flow = bi.flows.coupling(blocks=1, hidden=(8,))
    posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=flow)
    with pytest.raises(InterruptedError):
        posterior.fit(steps=10, optimization=bi.Optimization(minutes=3.0), progress=False)
    assert clock.now == 1_040.0
    assert ends == [1_180.0]


class StopAt(keras.callbacks.Callback):
    """Ends training after so many calls."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.left = calls

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.left -= 1
        if self.left <= 0:
            self.model.stop_training = True


@pytest.mark.parametrize("passes", [0, 4])
def test_an_epoch_that_is_cut_is_done_anew(tmp_path: Path, passes: int) -> None:
    """A run that is resumed does all of its steps, and has its simulations still."""
    options = {"steps": 400, "xla": False, "passes": passes}
    folder = tmp_path / "state"
    cut = fit(**options, checkpoint=folder, callbacks=[StopAt(3)])
    assert 0 < cut.steps_done < 400
    assert cut.history["step"].iloc[-1] == cut.steps_done
    assert bool(list(folder.glob("**/*simulations*"))) == (passes > 0)
    whole = fit(**options)
    resumed = fit(**options, checkpoint=folder, resume=True)
    assert resumed.steps_done == 400
    assert list(resumed.history["step"]) == list(whole.history["step"])
    assert equal(resumed, whole)


def test_a_run_that_leaves_nothing_to_resume_says_so(tmp_path: Path) -> None:
    posterior = bi.AmortizedPosterior(
        bi.get_simulator("linear"), flow=bi.flows.coupling(blocks=1, hidden=(8,))
    )
    with pytest.warns(UserWarning, match=r"nothing to resume.*inside its first epoch"):
        posterior.fit(
            steps=1_000_000,
            epochs=1,
            batch_size=8,
            optimization=bi.Optimization(minutes=1e-6, xla=False),
            checkpoint=tmp_path,
            progress=False,
        )
