"""Simulations that are drawn before the first step: an interrupted run keeps them, and the next goes on from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest

import bayesinn as bi
from bayesinn.core.errors import BankError, InputError
from bayesinn.simulation.bank_store import BankStore
from bayesinn.training import drawing
from bayesinn.training.settings import TrainingSettings
from tests.helpers.models import small_flow


@pytest.fixture
def settings() -> TrainingSettings:
    """10 batches of 8 simulations."""
    return TrainingSettings(20, 5, 8, 1, passes=2, xla=False)


def interrupt(monkeypatch: pytest.MonkeyPatch, chunks: int) -> None:
    """Let Ctrl-C come after so many chunks."""
    write, calls = BankStore.write, []

    def counted(self, *arguments) -> None:
        write(self, *arguments)
        calls.append(1)
        if len(calls) == chunks:
            raise KeyboardInterrupt

    monkeypatch.setattr(BankStore, "write", counted)


def test_an_interrupted_drawing_goes_on_where_it_was(tmp_path: Path, settings, monkeypatch) -> None:
    simulator = bi.get("linear")
    expected, failed, _ = drawing.draw_all(simulator, settings, progress=False)
    with monkeypatch.context() as patch:
        interrupt(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            drawing.draw_all(simulator, settings, progress=False, folder=tmp_path)
    bank = bi.open_bank(tmp_path / "simulations")
    assert (bank.n, bank.chunks) == (80, 10)
    # One more may have been on its way.
    assert 6 <= len(bank.missing) <= 7
    numbers, start = [], simulator.engine.start
    monkeypatch.setattr(simulator.engine, "start", lambda *task: numbers.append(task[-1]) or start(*task))
    arrays, again, _ = drawing.draw_all(simulator, settings, progress=False, folder=tmp_path)
    assert len(numbers) < 10
    assert again == failed
    for name, value in expected.items():
        np.testing.assert_array_equal(arrays[name], value)


def test_those_of_another_run_are_refused(tmp_path: Path, settings) -> None:
    drawing.draw_all(bi.get("linear"), settings, progress=False, folder=tmp_path)
    with pytest.raises(BankError, match="with which it was made"):
        drawing.draw_all(
            bi.get("linear"), TrainingSettings(20, 5, 8, 2, passes=2, xla=False), progress=False, folder=tmp_path
        )


def test_a_shorter_run_takes_no_more_than_its_own(tmp_path: Path, settings, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, 7)
        with pytest.raises(KeyboardInterrupt):
            drawing.draw_all(bi.get("linear"), settings, progress=False, folder=tmp_path)
    shorter = replace(settings, steps=10)
    arrays, _, _ = drawing.draw_all(bi.get("linear"), shorter, progress=False, folder=tmp_path)
    expected, _, _ = drawing.draw_all(bi.get("linear"), shorter, progress=False)
    for name, value in expected.items():
        np.testing.assert_array_equal(arrays[name], value)


def test_they_are_not_those_of_a_bank_with_the_same_seed(tmp_path: Path, settings) -> None:
    """Which may be held out, or diagnosed on."""
    simulator = bi.get("linear")
    drawn, _, _ = drawing.draw_all(simulator, settings, progress=False)
    bank = bi.simulate(simulator, 80, tmp_path, seed=settings.seed, chunk=8, progress=False)
    assert not np.isin(drawn["x1"], bank.read()["x1"]).any()


def test_nothing_stays_in_memory(settings) -> None:
    drawing.draw_all(bi.get("linear"), settings, progress=False)
    assert not [file for file in fsspec.filesystem("memory").find("/") if "bayesinn" in file]


@pytest.mark.parametrize(("steps", "batch_size", "chunks"), [(20, 8, 10), (2_000, 8, 67), (200_000, 32, 782)])
def test_chunks_are_whole_batches(steps: int, batch_size: int, chunks: int, monkeypatch) -> None:
    """No simulation too many where there are few, and few files where there are many."""
    seen = []

    def look(simulator, total, place, seed, chunk, progress, task):
        seen.append((total, chunk))
        raise KeyboardInterrupt

    monkeypatch.setattr(drawing, "write_bank", look)
    with pytest.raises(KeyboardInterrupt):
        drawing.draw_all(bi.get("linear"), TrainingSettings(steps, 5, batch_size, 1, passes=2), progress=False)
    ((total, chunk),) = seen
    assert chunk % batch_size == 0
    assert -(-total // chunk) == chunks
    assert -total % chunk < total / 60


def test_a_fit_that_is_interrupted_while_drawing_is_resumed_to_the_same_bits(tmp_path: Path, monkeypatch) -> None:
    def fit(checkpoint=None) -> bi.AmortizedPosterior:
        posterior = bi.AmortizedPosterior(bi.get("linear"), flow=small_flow())
        options = {"optimization": bi.Optimization(passes=2), "progress": False, "checkpoint": checkpoint}
        return posterior.fit(steps=8, batch_size=16, seed=1, **options)

    expected = fit().fingerprint
    with monkeypatch.context() as patch:
        interrupt(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path)
    with pytest.raises(InputError, match="resume=True"):
        fit(tmp_path)
    assert fit(bi.Checkpoint(tmp_path, resume=True)).fingerprint == expected
    assert not (tmp_path / "simulations").exists()
