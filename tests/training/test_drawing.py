"""Simulations that are drawn before the first step: an interrupted run keeps them, and the next goes on from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bayesinn as bi
from bayesinn.core.errors import InputError, SavedPosteriorError
from bayesinn.training import drawing
from bayesinn.training.settings import TrainingSettings
from tests.helpers.models import small_flow


@pytest.fixture
def settings() -> TrainingSettings:
    """10 batches of 8 simulations."""
    return TrainingSettings(20, 5, 8, 1, passes=2, xla=False)


def interrupt(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    """Let Ctrl-C come while a batch is drawn."""
    update, calls = drawing.Progress.update, []

    def counted(self, done=None, text="") -> None:
        calls.append(done)
        if len(calls) == batches:
            raise KeyboardInterrupt
        update(self, done, text)

    monkeypatch.setattr(drawing.Progress, "update", counted)


def test_an_interrupted_drawing_goes_on_where_it_was(tmp_path: Path, settings, monkeypatch) -> None:
    simulator = bi.get("linear")
    expected, failed, _ = drawing.draw_all(simulator, settings, progress=False)
    for batches, files in ((3, [0]), (4, [0, 3])):
        with monkeypatch.context() as patch:
            interrupt(patch, batches)
            with pytest.raises(KeyboardInterrupt):
                drawing.draw_all(simulator, settings, progress=False, folder=tmp_path)
        assert sorted(int(file.stem) for file in (tmp_path / "simulations").iterdir()) == files
    drawn = []
    monkeypatch.setattr(drawing.Progress, "update", lambda self, done=None, text="": drawn.append(done))
    arrays, again, _ = drawing.draw_all(simulator, settings, progress=False, folder=tmp_path)
    assert drawn == [64, 72, 80]
    assert again == failed
    for name, value in expected.items():
        np.testing.assert_array_equal(arrays[name], value)


def test_simulations_are_written_now_and_then(tmp_path: Path, settings, monkeypatch) -> None:
    monkeypatch.setattr(drawing, "_SECONDS_BETWEEN_WRITES", 0.0)
    drawing.draw_all(bi.get("linear"), settings, progress=False, folder=tmp_path)
    assert len(list((tmp_path / "simulations").iterdir())) == 10


@pytest.mark.parametrize("damage", ["half", "gap", "run"])
def test_damaged_simulations_are_explained(tmp_path: Path, settings, monkeypatch, damage: str) -> None:
    monkeypatch.setattr(drawing, "_SECONDS_BETWEEN_WRITES", 0.0)
    drawing.draw_all(bi.get("linear"), settings, progress=False, folder=tmp_path)
    file = tmp_path / "simulations" / "00000003.h5"
    if damage == "half":
        file.write_bytes(file.read_bytes()[:500])
    elif damage == "gap":
        file.unlink()
    else:
        settings = TrainingSettings(20, 5, 8, 2, passes=2, xla=False)
    with pytest.raises(SavedPosteriorError, match=r"(?s)simulations of an interrupted run.*delete it"):
        drawing.draw_all(bi.get("linear"), settings, progress=False, folder=tmp_path)


def test_a_full_disk_does_not_end_the_drawing(tmp_path: Path, settings, monkeypatch) -> None:
    def full(*_) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(drawing, "_SECONDS_BETWEEN_WRITES", 0.0)
    monkeypatch.setattr(drawing, "replace_file", full)
    with pytest.warns(UserWarning, match="No space left"):
        drawing.draw_all(bi.get("linear"), settings, progress=False, folder=tmp_path)


def test_a_fit_that_is_interrupted_while_drawing_is_resumed_to_the_same_bits(tmp_path: Path, monkeypatch) -> None:
    def fit(checkpoint=None) -> bi.AmortizedPosterior:
        posterior = bi.AmortizedPosterior(bi.get("linear"), flow=small_flow())
        options = {"optimization": bi.Optimization(passes=2), "progress": False, "checkpoint": checkpoint}
        return posterior.fit(steps=8, batch_size=16, seed=1, **options)

    expected = fit().fingerprint
    with monkeypatch.context() as patch:
        # As where drawing takes long: simulations are there before the first step.
        patch.setattr(drawing, "_SECONDS_BETWEEN_WRITES", 0.0)
        assert fit(tmp_path / "slow").fingerprint == expected
    with monkeypatch.context() as patch:
        interrupt(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path)
    with pytest.raises(InputError, match="resume=True"):
        fit(tmp_path)
    assert fit(bi.Checkpoint(tmp_path, resume=True)).fingerprint == expected
    assert not (tmp_path / "simulations").exists()
