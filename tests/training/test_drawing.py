"""Simulations drawn before the first step: an interrupted run keeps them, the next goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.simulation.engines import kept
from bayesinn.simulation.engines.kept import KeptBlocks
from bayesinn.training import train
from bayesinn.training.callbacks import remove_checkpoint
from bayesinn.training.settings import TrainingSettings
from tests.helpers.models import small_flow

tfd = tfp.distributions


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, engine="python", workers=1)
def in_workers(parameters, generator):
    """Return the parameter with noise."""
    return {"y": parameters["mean"] + generator.normal()}


@pytest.fixture
def settings() -> TrainingSettings:
    """10 batches of 8 simulations."""
    return TrainingSettings(20, 5, 8, 1, passes=2, xla=False)


@pytest.fixture(autouse=True)
def all_is_costly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_WORTH_KEEPING", 0.0)


def interrupt(monkeypatch: pytest.MonkeyPatch, chunks: int) -> None:
    """Let Ctrl-C come after so many chunks."""
    keep = KeptBlocks.keep
    calls = []

    def counted(self, entropy, first, block, *inputs) -> None:
        keep(self, entropy, first, block, *inputs)
        # The blocks of workers have inputs.
        calls.extend([] if inputs else [1])
        if len(calls) == chunks:
            raise KeyboardInterrupt

    monkeypatch.setattr(KeptBlocks, "keep", counted)


def draw(simulator: bi.Simulator, settings: TrainingSettings, folder: Path | None = None):
    """Draw all, as a run with a checkpoint does if there is a folder."""
    simulator.engine.kept = None if folder is None else KeptBlocks(folder)
    try:
        return train.draw_all(simulator, settings, progress=False)[:2]
    finally:
        simulator.engine.kept = None


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("simulator", [bi.get_simulator("linear"), in_workers], ids=["tf", "py"])
def test_an_interrupted_drawing_goes_on_where_it_was(
    simulator, tmp_path: Path, settings, monkeypatch
) -> None:
    expected, failed = draw(simulator, settings)
    with monkeypatch.context() as patch:
        interrupt(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            draw(simulator, settings, tmp_path / "blocks")
    numbers = []
    start = simulator.engine.start
    monkeypatch.setattr(
        simulator.engine,
        "start",
        lambda n, entropy: numbers.append(entropy[-1]) or start(n, entropy),
    )
    # One that was cut off is made again.
    file = sorted(tmp_path.glob("blocks/*-1.0-8.npz"))[0]
    file.write_bytes(file.read_bytes()[:50])
    arrays, again = draw(simulator, settings, tmp_path / "blocks")
    assert sorted(numbers) == [1, *range(3, 10)]
    assert again == failed
    assert_equal(arrays, expected)
    # Parts of a chunk are not kept beside it.
    assert len(list(tmp_path.glob("blocks/*.npz"))) == 10


def test_those_of_other_settings_are_not_taken(tmp_path: Path, settings) -> None:
    simulator = bi.get_simulator("linear")
    draw(simulator, settings, tmp_path / "blocks")
    for other in (replace(settings, seed=2), replace(settings, batch_size=4)):
        assert_equal(draw(simulator, other, tmp_path / "blocks")[0], draw(simulator, other)[0])


def test_they_are_not_those_of_a_bank_with_the_same_seed(tmp_path: Path, settings) -> None:
    """Which may be held out, or diagnosed on."""
    simulator = bi.get_simulator("linear")
    drawn, _ = draw(simulator, settings)
    bank = bi.simulate_bank(simulator, 80, tmp_path, seed=settings.seed, chunk=8, progress=False)
    assert not np.isin(drawn["x1"], bank.read()["x1"]).any()


@pytest.mark.parametrize(
    ("steps", "batch_size", "chunks"), [(20, 8, 10), (2_000, 8, 67), (200_000, 32, 782)]
)
def test_chunks_are_whole_batches(steps: int, batch_size: int, chunks: int, monkeypatch) -> None:
    """No simulation too many where there are few, and few files where there are many."""
    seen = []

    def look(simulator, total, seed, chunk, progress):
        seen.append((total, chunk))
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "draw_simulations", look)
    settings = TrainingSettings(steps, 5, batch_size, 1, passes=2)
    with pytest.raises(KeyboardInterrupt):
        draw(bi.get_simulator("linear"), settings)
    ((total, chunk),) = seen
    assert chunk % batch_size == 0
    assert -(-total // chunk) == chunks
    assert -total % chunk < total / 60


def fit(checkpoint=None, passes: int | None = 2, **changed) -> bi.AmortizedPosterior:
    posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=small_flow())
    optimization = bi.Optimization(passes=passes)
    options = {"optimization": optimization, "progress": False, "checkpoint": checkpoint}
    return posterior.fit(**{"steps": 8, "batch_size": 16, "seed": 1, **options, **changed})


def test_a_fit_that_is_interrupted_while_drawing_is_resumed_to_the_same_bits(
    tmp_path: Path, monkeypatch
) -> None:
    expected = fit().fingerprint
    with monkeypatch.context() as patch:
        interrupt(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path)
    with pytest.raises(InputError, match="resume=True"):
        fit(tmp_path)
    assert fit(bi.Checkpoint(tmp_path, resume=True)).fingerprint == expected
    assert not list(tmp_path.glob("simulated-*"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": 16}, r"steps 8 \(now 16\)"),
        ({"seed": 2}, r"seed 1 \(now 2\)"),
        ({"batch_size": 32}, r"batch_size 16 \(now 32\)"),
        ({"passes": 4}, r"passes 2 \(now 4\)"),
        ({"passes": 0}, r"passes 2 \(now 0\)"),
    ],
)
def test_a_fit_that_is_interrupted_while_drawing_is_not_resumed_as_another(
    tmp_path: Path, monkeypatch, changed: dict, message: str
) -> None:
    """The error has the user's own numbers, and the settings that say how to go on stay."""
    with monkeypatch.context() as patch:
        interrupt(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path)
    before = files(tmp_path)
    with pytest.raises(InputError, match=f"(?s)this very run.*got: *{message}\n"):
        fit(bi.Checkpoint(tmp_path, resume=True), **changed)
    assert files(tmp_path) == before
    assert fit(bi.Checkpoint(tmp_path, resume=True)).steps_done == 8


def files(folder: Path) -> dict[str, bytes]:
    """All files; whatever is written anew would show."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_files_of_somebody_else_stay(tmp_path: Path, monkeypatch) -> None:
    """In the folder of the checkpoint, and among simulations that a run has kept there."""
    (tmp_path / "simulations").mkdir()
    (tmp_path / "simulations" / "2019.csv").write_text("1,2,3")
    with monkeypatch.context() as patch:
        interrupt(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path)
    (place,) = tmp_path.glob("simulated-*")
    (place / "notes.txt").write_text("mine")
    fit(bi.Checkpoint(tmp_path, resume=True))
    assert [file.name for file in place.iterdir()] == ["notes.txt"]
    remove_checkpoint(tmp_path)
    names = {Path(name).name for name in files(tmp_path)}
    assert names == {"2019.csv", "notes.txt"}
