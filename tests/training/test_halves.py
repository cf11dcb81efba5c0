"""Halves of a batch that are differentiated beside each other give the step of the whole batch."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import bayesinn as bi
from bayesinn.simulators.linear import linear
from bayesinn.training import step
from tests.helpers.fitting import equal, fit, weights
from tests.helpers.models import NormalisedNumber


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "2")


def parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collects into how many parts the steps of trainings are split."""
    found: list[int] = []
    compile_step = step.TrainingModel.compile_step

    def record(self, element):
        note = compile_step(self, element)
        found.append(self.shards)
        return note

    monkeypatch.setattr(step.TrainingModel, "compile_step", record)
    return found


@pytest.mark.usefixtures("two_threads")
def test_halves_train_as_the_whole_does(monkeypatch: pytest.MonkeyPatch) -> None:
    found = parts(monkeypatch)
    halves, again = (fit(steps=30, batch_size=64, xla=True) for _ in range(2))
    monkeypatch.setattr(step, "most_shards", lambda *_: 1)
    whole = fit(steps=30, batch_size=64, xla=True)
    assert found == [2, 2, 1]
    assert equal(halves, again)
    assert not equal(halves, whole)
    # Measured: 6e-8 apart at most, over three seeds.
    for first, second in zip(weights(halves), weights(whole), strict=True):
        np.testing.assert_allclose(first, second, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("two_threads")
def test_halves_have_noise_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found = parts(monkeypatch)
    drops = [
        fit(flow=bi.flows.coupling(1, (16,), dropout=0.5), batch_size=64, xla=True)
        for _ in range(2)
    ]
    assert found == [2, 2]
    assert equal(*drops)


@pytest.mark.usefixtures("two_threads")
def test_batch_normalisation_sees_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    found = parts(monkeypatch)
    posterior = fit(summary=NormalisedNumber(), batch_size=64, xla=True)
    (summary,) = posterior.model.network.summaries.values()
    moved = float(summary.normalisation.moving_variance.numpy()[0]) != 1.0
    assert found == [1 if moved else 2]
    assert moved


@pytest.mark.parametrize(
    ("threads", "batch_size", "rowwise", "expected"),
    [
        ("2", 64, True, 2),
        ("8", 128, True, 2),
        ("1", 64, True, 1),
        ("2", 64, False, 1),
        ("2", 65, True, 1),
        ("2", 32, True, 1),
    ],
)
def test_when_a_batch_is_split(
    threads: str, batch_size: int, rowwise: bool, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", threads)
    assert step.most_shards(SimpleNamespace(rowwise=rowwise), batch_size) == expected  # type: ignore[arg-type]


def test_losses_of_whole_sets_are_not_rowwise() -> None:
    likelihood = fit(linear).model
    discrepancy = (
        bi.inverse.SplitLatent(linear).fit(steps=1, batch_size=32, seed=1, progress=False).model
    )
    assert likelihood.rowwise
    assert not discrepancy.rowwise
