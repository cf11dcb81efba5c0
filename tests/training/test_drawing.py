"""Simulations drawn before the first step: an interrupted run saves them, the next goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import BankError, InputError
from bayesinn.simulation.bank.simulate import write_bank
from bayesinn.simulation.bank.store import BankStore
from bayesinn.training import callbacks, train
from bayesinn.training.callbacks import prepare_folder, remove_checkpoint
from bayesinn.training.settings import Checkpoint, TrainingSettings
from tests.helpers.models import small_flow

tfd = tfp.distributions


@bi.simulator(
    prior={"mean": tfd.Normal(0.0, 1.0)}, coordinates={"y": {"wavelength": np.array([400.0, 500.0])}}
)  # fmt: skip
def spectrum(parameters, seed):
    """Return the parameter twice."""
    return {"y": tf.stack([parameters["mean"], parameters["mean"]], axis=1)}


@pytest.fixture
def settings() -> TrainingSettings:
    """10 batches of 8 simulations."""
    return TrainingSettings(20, 5, 8, 1, passes=2, xla=False)


def begin(folder: Path, settings: TrainingSettings) -> None:
    """Name the run of a checkpoint."""
    prepare_folder(Checkpoint(folder), settings, {})


def interrupt(monkeypatch: pytest.MonkeyPatch, chunks: int) -> None:
    """Let Ctrl-C come after so many chunks."""
    write = BankStore.write
    calls = []

    def counted(self, *arguments) -> None:
        write(self, *arguments)
        calls.append(1)
        if len(calls) == chunks:
            raise KeyboardInterrupt

    monkeypatch.setattr(BankStore, "write", counted)


def test_an_interrupted_drawing_goes_on_where_it_was(tmp_path: Path, settings, monkeypatch) -> None:
    simulator = bi.get_simulator("linear")
    expected, failed, _ = train.draw_all(simulator, settings, progress=False)
    begin(tmp_path, settings)
    with monkeypatch.context() as patch:
        interrupt(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            train.draw_all(simulator, settings, progress=False, folder=tmp_path)
    bank = bi.open_bank(tmp_path / "simulations")
    assert (bank.n, bank.chunks) == (80, 10)
    # One more may have been on its way.
    assert 6 <= len(bank.missing) <= 7
    numbers = []
    start = simulator.engine.start
    monkeypatch.setattr(
        simulator.engine,
        "start",
        lambda n, entropy: numbers.append(entropy[-1]) or start(n, entropy),
    )
    arrays, again, _ = train.draw_all(simulator, settings, progress=False, folder=tmp_path)
    assert len(numbers) < 10
    assert again == failed
    for name, value in expected.items():
        np.testing.assert_array_equal(arrays[name], value)


def test_those_of_another_run_are_refused(tmp_path: Path, settings) -> None:
    begin(tmp_path, settings)
    train.draw_all(bi.get_simulator("linear"), settings, progress=False, folder=tmp_path)
    with pytest.raises(BankError, match="with which it was made"):
        train.draw_all(
            bi.get_simulator("linear"),
            TrainingSettings(20, 5, 8, 2, passes=2, xla=False),
            progress=False,
            folder=tmp_path,
        )


def test_a_shorter_run_takes_no_more_than_its_own(tmp_path: Path, settings, monkeypatch) -> None:
    begin(tmp_path, settings)
    with monkeypatch.context() as patch:
        interrupt(patch, 7)
        with pytest.raises(KeyboardInterrupt):
            train.draw_all(bi.get_simulator("linear"), settings, progress=False, folder=tmp_path)
    shorter = replace(settings, steps=10)
    arrays, _, _ = train.draw_all(
        bi.get_simulator("linear"), shorter, progress=False, folder=tmp_path
    )
    expected, _, _ = train.draw_all(bi.get_simulator("linear"), shorter, progress=False)
    for name, value in expected.items():
        np.testing.assert_array_equal(arrays[name], value)


def test_they_are_not_those_of_a_bank_with_the_same_seed(tmp_path: Path, settings) -> None:
    """Which may be held out, or diagnosed on."""
    simulator = bi.get_simulator("linear")
    drawn, _, _ = train.draw_all(simulator, settings, progress=False)
    bank = bi.simulate_bank(simulator, 80, tmp_path, seed=settings.seed, chunk=8, progress=False)
    assert not np.isin(drawn["x1"], bank.read()["x1"]).any()


def test_nothing_stays_in_memory(settings) -> None:
    train.draw_all(bi.get_simulator("linear"), settings, progress=False)
    assert not [file for file in fsspec.filesystem("memory").find("/") if "bayesinn" in file]


@pytest.mark.parametrize(
    ("steps", "batch_size", "chunks"), [(20, 8, 10), (2_000, 8, 67), (200_000, 32, 782)]
)
def test_chunks_are_whole_batches(
    steps: int, batch_size: int, chunks: int, tmp_path, monkeypatch
) -> None:
    """No simulation too many where there are few, and few files where there are many."""
    seen = []

    def look(simulator, total, place, seed, chunk, progress, task, marker):
        seen.append((total, chunk))
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "write_bank", look)
    settings = TrainingSettings(steps, 5, batch_size, 1, passes=2)
    with pytest.raises(KeyboardInterrupt):
        train.draw_all(bi.get_simulator("linear"), settings, progress=False, folder=tmp_path)
    ((total, chunk),) = seen
    assert chunk % batch_size == 0
    assert -(-total // chunk) == chunks
    assert -total % chunk < total / 60


def fit(checkpoint=None, data=None, passes: int | None = 2, **changed) -> bi.AmortizedPosterior:
    posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=small_flow())
    optimization = bi.Optimization(passes=None if data is not None else passes)
    options = {"optimization": optimization, "progress": False, "checkpoint": checkpoint}
    return posterior.fit(data, **{"steps": 8, "batch_size": 16, "seed": 1, **options, **changed})


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
    assert not (tmp_path / "simulations").exists()


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


# What is not the run's own


def files(folder: Path) -> dict[str, bytes | str]:
    """All files, and links as they are; whatever is written anew would show."""
    return {
        str(file.relative_to(folder)): os.readlink(file) if file.is_symlink() else file.read_bytes()
        for file in folder.rglob("*")
        if file.is_symlink() or file.is_file()
    }


def colleague(folder: Path) -> None:
    (folder / "simulations").mkdir(parents=True)
    (folder / "simulations" / "2019.csv").write_text("1,2,3")


def one_file(folder: Path) -> None:
    folder.mkdir()
    (folder / "simulations").write_text("1,2,3")


def link_to_nowhere(folder: Path) -> None:
    folder.mkdir()
    (folder / "simulations").symlink_to(folder.parent / "nowhere")


def link_to_an_empty_folder(folder: Path) -> None:
    folder.mkdir()
    (folder.parent / "elsewhere").mkdir()
    (folder / "simulations").symlink_to(folder.parent / "elsewhere")


def own_bank(folder: Path) -> None:
    """With the seed and the chunks that the run itself would draw."""
    seed = train.seeds.integer_seed(1, "simulations")
    bi.simulate_bank(
        bi.get_simulator("linear"), 64, folder / "simulations", seed=seed, chunk=16, progress=False
    )


def bank_of_another_run(folder: Path) -> None:
    """A copy of what a run with the same settings was drawing elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            fit(folder.parent / "other")
    shutil.copytree(folder.parent / "other" / "simulations", folder / "simulations")


def link_to_another_run(folder: Path) -> None:
    bank_of_another_run(folder)
    shutil.rmtree(folder)
    shutil.copytree(folder.parent / "other", folder)
    shutil.rmtree(folder / "simulations")
    (folder / "simulations").symlink_to(folder.parent / "other" / "simulations")


FOREIGN = [
    colleague, one_file, link_to_nowhere, link_to_an_empty_folder, own_bank, bank_of_another_run, link_to_another_run,
]  # fmt: skip


@pytest.mark.parametrize("passes", [2, 0], ids=["drawn", "not drawn"])
@pytest.mark.parametrize("resume", [False, True], ids=["new", "resumed"])
@pytest.mark.parametrize("make", FOREIGN)
def test_simulations_of_something_else_are_refused_and_stay(
    make, resume: bool, passes: int, tmp_path: Path
) -> None:
    make(tmp_path / "run")
    before = files(tmp_path)
    with pytest.raises(
        InputError, match=r"(?s)'simulations' of something else.*choose another folder"
    ):
        fit(bi.Checkpoint(tmp_path / "run", resume=resume), passes=passes)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("where", "streamed"),
    [("simulations", False), ("simulations", True), ("simulations/inner", False), ("linked", True)],
)
def test_the_bank_that_is_trained_from_stays(tmp_path: Path, where: str, streamed: bool) -> None:
    folder = tmp_path / "run"
    place = folder / where if where != "linked" else tmp_path / "elsewhere"
    bank = bi.simulate_bank(
        bi.get_simulator("linear"), 256, place, seed=1, chunk=64, progress=False
    )
    if where == "linked":
        folder.mkdir()
        (folder / "simulations").symlink_to(place)
        bank = bi.open_bank(folder / "simulations")
    before = files(place)
    data = bi.Stream(bank) if streamed else bank
    first = fit(bi.Checkpoint(folder, resume=True), data)
    assert fit(bi.Checkpoint(folder, resume=True), data).fingerprint == first.fingerprint
    assert files(place) == before
    assert (folder / "simulations").is_symlink() is (where == "linked")


def test_drawn_simulations_that_are_trained_from_stay(tmp_path: Path, monkeypatch) -> None:
    """They carry the marker of the folder's run; but the run that ends has not drawn them."""
    with monkeypatch.context() as patch:
        interrupt(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path)
    before = files(tmp_path / "simulations")
    fit(bi.Checkpoint(tmp_path, resume=True), bi.open_bank(tmp_path / "simulations"))
    assert files(tmp_path / "simulations") == before


def test_files_that_somebody_has_put_among_simulations_stay(tmp_path: Path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "run")
    (tmp_path / "mine").write_text("mine")
    place = tmp_path / "run" / "simulations"
    (place / "notes.txt").write_text("mine")
    (place / "notes").symlink_to(tmp_path)
    with pytest.warns(UserWarning, match=r"stay in .*simulations.*beside them is 'notes"):
        fit(bi.Checkpoint(tmp_path / "run", resume=True))
    assert (place / "notes.txt").read_text() == (place / "notes" / "mine").read_text() == "mine"
    assert not bi.open_bank(place).missing
    # The run goes on to be one that has ended; once the files are gone, its simulations go, too.
    # What a link inside an array leads to stays.
    (place / "x1" / "c" / "notes").symlink_to(tmp_path)
    for file in (place / "notes.txt", place / "notes"):
        file.unlink()
    fit(bi.Checkpoint(tmp_path / "run", resume=True))
    assert not place.exists()
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("left", range(0, 60, 4))
def test_a_removal_that_was_interrupted_is_finished(tmp_path: Path, monkeypatch, left: int) -> None:
    """With axes that have coordinates, which are arrays of the bank as well."""
    begin(tmp_path, TrainingSettings(20, 5, 8, 1, passes=2))
    marker = {callbacks.MARKER: callbacks.run_of(tmp_path)}
    place = tmp_path / "simulations"
    write_bank(spectrum, 8, place, 1, 4, False, "drawing", marker)
    (place / f"zarr.{'0' * 32}.partial").touch()
    (place / "y" / "c" / "0" / f"0.{'1' * 32}.partial").touch()
    calls = iter(range(left))

    def interrupted(function):
        def call(*arguments, **options):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", interrupted(os.unlink))
        patch.setattr(os, "rmdir", interrupted(os.rmdir))
        with contextlib.suppress(KeyboardInterrupt):
            callbacks.forget(tmp_path)
    if place.exists() and not (place / "zarr.json").exists():
        # Only empty folders are left, which the next run takes for its own.
        assert not files(place)
        return
    callbacks.forget(tmp_path)
    assert not place.exists()


def test_the_state_of_a_run_is_removed_and_nothing_else(tmp_path: Path) -> None:
    fit(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    colleague(tmp_path)
    remove_checkpoint(tmp_path)
    assert set(files(tmp_path)) == {"notes.txt", "simulations/2019.csv"}
