"""Training: it learns, is decided by the seed, changes no arguments, and shows its progress."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.simulators.linear import entropy, linear
from bayesinn.training.step import TrainingModel
from tests.helpers.fitting import equal, fit
from tests.helpers.models import small_flow

tfd = tfp.distributions


@pytest.fixture(scope="module")
def base() -> bi.AmortizedPosterior:
    """What the variations below are compared with."""
    return fit()


def test_it_learns() -> None:
    posterior = fit(
        flow=small_flow(),
        steps=600,
        batch_size=128,
        optimization=bi.Optimization(learning_rate=5e-3),
    )
    loss = posterior.history["loss"]
    assert len(loss) == 50
    # Measured -0.016 to 0.011 from the floor over three seeds, from 2.8 in the first epoch (floor
    # 1.86).
    assert loss.iloc[-5:].mean() == pytest.approx(entropy(), abs=0.04)
    assert loss.iloc[0] > entropy() + 0.5
    draws = posterior.sample({"y": 1.5}, draws=4000, seed=1)
    # Exact: mean 2/3, sd of the sum 0.4714. Measured within 0.034 and 2.5 % over three seeds.
    assert draws["x1"].mean() == pytest.approx(2 / 3, abs=0.08)
    assert np.std(draws["x1"] + draws["x2"]) == pytest.approx(0.4714, rel=0.06)


def test_history(base) -> None:
    history = base.history
    assert list(history.columns) == ["step", "loss", "learning_rate", "failed_simulations"]
    assert history["step"].tolist() == list(range(1, 11))
    assert history["failed_simulations"].tolist() == [0] * 10
    assert history["learning_rate"].iloc[-1] < 1e-5
    assert base.training["settings"]["steps"] == 10
    assert "trained for 10 steps" in repr(base)


def test_same_seed_same_bits(base) -> None:
    assert equal(base, fit())
    assert not equal(base, fit(seed=2))


def test_fitting_again_starts_anew(base) -> None:
    posterior = fit(seed=2)
    posterior.fit(steps=10, batch_size=32, seed=1, progress=False)
    assert equal(base, posterior)


def test_optimizer_and_callbacks_are_left_alone() -> None:
    class Counter(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.epochs = 0
            self.losses = []

        def on_epoch_end(self, epoch, logs=None) -> None:
            self.epochs += 1
            self.losses.append(logs["loss"])

    counter = Counter()
    callbacks = [counter]
    optimizer = keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(1e-3, 10))
    posterior = fit(optimization=bi.Optimization(optimizer=optimizer, callbacks=callbacks))
    assert callbacks == [counter]
    assert counter.epochs == 10
    np.testing.assert_allclose(counter.losses, posterior.history["loss"])
    assert not optimizer.built
    assert equal(posterior, fit(optimization=bi.Optimization(optimizer=optimizer)))


def test_a_callback_may_stop_training() -> None:
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None) -> None:
            self.model.stop_training = epoch == 2

    assert fit(optimization=bi.Optimization(callbacks=[Stop()])).history["step"].tolist() == [
        1,
        2,
        3,
    ]


# Progress


def test_progress_in_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.setattr("bayesinn.core.progress.SECONDS_BETWEEN_LINES", 0.0)
    fit(steps=150, progress=True)
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if line.startswith("training: ")]
    assert "linear: 2 unconstrained parameters" in out
    assert "y: standardised; Identity()" in out
    assert re.fullmatch(r"training: 0 of 150 steps, compiling \(\d+ s\)", lines[0])
    pattern = r"training: [\d,]+ of 150 steps, loss -?\d+\.\d+(, [\d,]+ simulations/s)?(, .* left)?"
    assert len(lines) > 3
    assert all(re.fullmatch(pattern, line) for line in lines[1:]), lines
    assert "150 of 150 steps" in lines[-1]
    assert "simulations/s" in lines[-1]


def test_silent_without_progress(capsys: pytest.CaptureFixture[str]) -> None:
    fit()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_a_step_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = []
    original = TrainingModel._row_losses

    def counted(self, *arguments, **options):
        traced.append(1)
        return original(self, *arguments, **options)

    monkeypatch.setattr(TrainingModel, "_row_losses", counted)
    fit(steps=200, epochs=4)
    # Once for the graph, and once for Keras' look at it.
    assert len(traced) <= 2


def test_numpy_numbers_are_numbers(tmp_path) -> None:
    posterior = fit(
        seed=np.int64(1), steps=np.int64(10), batch_size=np.int32(32),
        optimization=bi.Optimization(learning_rate=np.float32(1e-3)), checkpoint=tmp_path / "checkpoint",
    )  # fmt: skip
    posterior.save(tmp_path / "posterior")
    assert bi.load(tmp_path / "posterior").training["settings"]["steps"] == 10


@pytest.mark.parametrize("data", [None, linear.sample(100, seed=1)], ids=["online", "stored"])
def test_the_end_of_training_waits_for_no_thread_that_tunes_buffers(
    monkeypatch: pytest.MonkeyPatch, data
) -> None:
    # Such a thread sleeps for up to a minute, and sometimes could not be woken.
    datasets = []
    original = TrainingModel.fit

    def fit_and_note(model, elements, **options):
        datasets.extend([elements, options["validation_data"]])
        return original(model, elements, **options)

    monkeypatch.setattr(TrainingModel, "fit", fit_and_note)
    fit(data=data)
    given = [dataset for dataset in datasets if dataset is not None]
    assert len(given) == (1 if data is None else 2)
    assert not any(dataset.options().autotune.enabled for dataset in given)
