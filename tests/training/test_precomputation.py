"""What is computed once, and what is trained before it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.training import train as loop
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.train import precomputed


def twice(seen: list[int]) -> SimpleNamespace:
    """Compute 2 x for each row, and keep the sizes of batches."""

    def precompute(batch):
        seen.append(batch["x"].shape[0])
        return {"double": 2.0 * batch["x"]}

    return SimpleNamespace(precompute=precompute)


@pytest.mark.parametrize("batch_size", [4, 5, 16])
def test_each_row_is_computed_once_in_batches_of_one_size(batch_size: int) -> None:
    x = np.arange(10, dtype=np.float32)
    seen = []
    arrays, seconds = precomputed(twice(seen), {"x": x}, batch_size)
    np.testing.assert_array_equal(arrays["double"], 2.0 * x)
    # Traced for one size, the last rows filled up with the first.
    assert set(seen) == {batch_size}
    # Not even of a single batch, before there is a second to tell by.
    assert np.isfinite(seconds)


def test_a_trainable_that_computes_nothing_costs_nothing() -> None:
    arrays = {"x": np.arange(10.0)}
    assert precomputed(SimpleNamespace(precompute=lambda batch: {}), arrays, 4) == (arrays, 0.0)


def test_several_trainables_are_no_retracing(caplog: pytest.LogCaptureFixture) -> None:
    class Trainable:
        def precompute(self, batch):
            return {}

    tf.get_logger().addHandler(caplog.handler)
    try:
        for _ in range(8):
            precomputed(Trainable(), {"x": np.arange(10.0)}, 4)
    finally:
        tf.get_logger().removeHandler(caplog.handler)
    assert not caplog.records


def test_pretraining_takes_a_sixth_of_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}

    def train(trainable, source, settings, **options):
        found["settings"] = settings
        return SimpleNamespace(raise_error=lambda: None)

    monkeypatch.setattr(loop, "train", train)
    monkeypatch.setattr(loop, "StepClock", lambda: SimpleNamespace(seconds_per_step=0.5))
    settings = TrainingSettings(60, 4, 8, seed=1, learning_rate=1e-2, parts=2, mixed_precision=True)
    seconds = loop._pretrain(None, settings, {"x": np.zeros(100, np.float32)}, progress=False)
    short = found["settings"]
    assert seconds == 0.5
    assert (short.steps, short.steps_per_epoch, short.batch_size) == (10, 4, 8)
    assert (short.learning_rate, short.parts, short.mixed_precision) == (2e-3, 1, False)
    # With random numbers of its own.
    assert short.seed != settings.seed
