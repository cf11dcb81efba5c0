"""Killed runs, full disks, damaged checkpoints: nothing is lost, resuming gives the same bits."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError, SavedPosteriorError, SimulatorError
from bayesinn.core.files import lock_folder
from bayesinn.estimators import estimator
from bayesinn.training.callbacks import CheckpointWriter
from bayesinn.training.sources import WorkerSource
from tests.conftest import ROOT
from tests.helpers.fitting import arranged, weights
from tests.helpers.models import Normalising, series, small_flow

tfd = tfp.distributions
STEPS = 400
#: How often a run is killed; BAYESINN_KILLS=20 takes minutes.
KILLS = int(os.environ.get("BAYESINN_KILLS", "1"))
TRAIN = """
import sys, time
import bayesinn as bi
import keras
from bayesinn.training import checkpoint
from tests.training.test_faults import train

checkpoint._SECONDS_BETWEEN_WRITES = 0.0

class Slow(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        time.sleep(float(sys.argv[3]))

train(sys.argv[1], resume=True, callbacks=[Slow()]).save(sys.argv[2])
"""


def train(checkpoint: str | Path | None, **options) -> bi.AmortizedPosterior:
    """Train all that has a state: moving statistics, dropout, average, optimiser, patience."""
    posterior = bi.AmortizedPosterior(series, Normalising(), small_flow(dropout=0.1))
    data = series.sample(640, seed=1)
    settings = {"steps": STEPS, "batch_size": 64, "seed": 1, "patience": 1000, "progress": False}
    return posterior.fit(data, **arranged(**{**settings, "checkpoint": checkpoint, **options}))


def epochs_in(state: Path) -> int:
    """The number of epochs in a checkpoint, 0 without one."""
    if not state.is_file():
        return 0
    with h5py.File(io.BytesIO(state.read_bytes())) as file:
        return int(file.attrs["epochs"])


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_bits(tmp_path) -> None:
    expected = train(None)
    folder = tmp_path / "checkpoint"
    saved = tmp_path / "posterior"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", TRAIN, str(folder), str(saved)]
    finished = 0
    for kill in range(KILLS):
        process = subprocess.Popen(
            [*command, "0.2"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 120
        while (epochs := epochs_in(folder / "state.h5")) <= finished:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        # At another moment of an epoch each time.
        time.sleep(0.01 * kill)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not saved.exists()
        finished = epochs
    assert 0 < finished < len(expected.history)
    done = subprocess.run(
        [*command, "0"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    resumed = bi.load(saved)
    for got, value in zip(weights(resumed), weights(expected), strict=True):
        np.testing.assert_array_equal(got, value)
    np.testing.assert_array_equal(resumed.history.to_numpy(), expected.history.to_numpy())
    data = {"cases": series.sample(2, seed=3)["cases"]}
    for name, value in expected.sample(data, draws=20, seed=1).items():
        np.testing.assert_array_equal(value, resumed.sample(data, draws=20, seed=1)[name])


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The checkpoint of a short run."""
    folder = tmp_path_factory.mktemp("finished") / "checkpoint"
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        train(folder, steps=8)
    assert sorted(file.name for file in folder.iterdir()) == ["settings.json", "state.h5"]
    return folder


@pytest.fixture
def checkpoint(finished: Path, tmp_path) -> Path:
    return shutil.copytree(finished, tmp_path / "checkpoint")


def test_an_existing_checkpoint_is_not_overwritten(checkpoint: Path) -> None:
    with pytest.raises(InputError, match="new or empty folder") as error:
        train(checkpoint, steps=8)
    assert "resume=True" in str(error.value)


def test_resuming_a_finished_run_changes_nothing(checkpoint: Path) -> None:
    resumed = train(checkpoint, steps=8, resume=True)
    for got, value in zip(weights(resumed), weights(train(None, steps=8)), strict=True):
        np.testing.assert_array_equal(got, value)


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        ({"seed": 2}, ["seed 1 (now 2)"]),
        ({"steps": 9}, ["steps 8 (now 9)"]),
        ({"learning_rate": 0.1}, ["learning_rate ", "(now 0.1)"]),
        ({"validation": 0.2}, ["data "]),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    checkpoint: Path, change: dict, fragments: list[str]
) -> None:
    with pytest.raises(InputError, match="a checkpoint of this very run") as error:
        train(checkpoint, **{"steps": 8, "resume": True, **change})
    for fragment in fragments:
        assert fragment in str(error.value)


def test_a_checkpoint_of_another_network_is_refused(checkpoint: Path) -> None:
    posterior = bi.AmortizedPosterior(series, Normalising(units=5), small_flow(dropout=0.1))
    with pytest.raises(InputError, match="network"):
        posterior.fit(
            series.sample(640, seed=1), steps=8, batch_size=64, seed=1, progress=False,
            optimization=bi.Optimization(patience=1000), checkpoint=bi.Checkpoint(checkpoint, resume=True),
        )  # fmt: skip


def test_a_checkpoint_of_another_simulator_is_refused(tmp_path: Path) -> None:
    """Though their names are equal."""

    def fit(function, sd: float) -> None:
        simulator = bi.simulator(prior={"mean": tfd.Normal(0.0, sd)}, name="toy")(function)
        posterior = bi.AmortizedPosterior(simulator, flow=small_flow(blocks=1, hidden=(4,)))
        checkpoint = bi.Checkpoint(tmp_path / "checkpoint", resume=True)
        posterior.fit(steps=2, batch_size=8, seed=1, progress=False, checkpoint=checkpoint)

    def once(parameters, seed):
        return {
            "y": parameters["mean"] + tf.random.stateless_normal(tf.shape(parameters["mean"]), seed)
        }

    def twice(parameters, seed):
        return {
            "y": 2.0 * parameters["mean"]
            + tf.random.stateless_normal(tf.shape(parameters["mean"]), seed)
        }

    fit(once, 1.0)
    fit(once, 1.0)
    with pytest.raises(InputError, match="simulated again, row 0 of 'y' differs"):
        fit(twice, 1.0)
    with pytest.raises(InputError, match=r"prior .*scale=1\.0\) \(now .*scale=3\.0"):
        fit(once, 3.0)


def test_a_checkpoint_with_another_validation_set_is_refused(tmp_path: Path) -> None:
    linear = bi.get_simulator("linear")

    def fit(data, seed: int) -> None:
        checkpoint = bi.Checkpoint(tmp_path / type(data).__name__, resume=True)
        posterior = bi.AmortizedPosterior(linear, flow=small_flow(blocks=1, hidden=(4,)))
        options = {
            "steps": 2,
            "batch_size": 8,
            "seed": 1,
            "progress": False,
            "checkpoint": checkpoint,
        }
        posterior.fit(data, validation=linear.sample(20, seed), **options)

    bank = bi.simulate_bank(linear, 64, tmp_path / "bank", seed=1, progress=False)
    for data in (bank.read(), bi.Stream(bank)):
        fit(data, 2)
        fit(data, 2)
        with pytest.raises(InputError, match="held_out"):
            fit(data, 3)


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "bit"])
def test_a_damaged_state_is_explained(checkpoint: Path, damage: str) -> None:
    state = checkpoint / "state.h5"
    with h5py.File(state) as file:
        weights = file["variables/00000"]
        place = weights.id.get_offset() + weights.id.get_storage_size() // 2
    whole = state.read_bytes()
    flipped = whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :]
    contents = {"cut": whole[:1000], "text": b"not HDF5", "empty": b"", "bit": flipped}
    state.write_bytes(contents[damage])
    with pytest.raises(SavedPosteriorError, match="the state of an interrupted run") as error:
        train(checkpoint, steps=8, resume=True)
    assert "in another folder" in str(error.value)


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        '{"editor.fontSize": 12}',
        '{"steps_per_epoch": 10, "run": "%s"}' % ("a" * 32),
        "[1]",
        "",
        "\xff",
    ],
)
def test_settings_of_something_else_are_not_replaced(
    checkpoint: Path, tmp_path, content: str, resume: bool
) -> None:
    """Not even beside the state of this very run."""
    for folder in (tmp_path, checkpoint) if resume else (tmp_path,):
        (folder / "settings.json").write_text(content, "latin-1")
        with pytest.raises(InputError, match=r"settings\.json of something else"):
            train(folder, steps=8, resume=resume)
        assert (folder / "settings.json").read_text("latin-1") == content


@pytest.mark.parametrize("resume", [True, False])
def test_a_state_of_something_else_is_not_replaced(tmp_path, resume: bool) -> None:
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "state.h5").write_text("mine")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "state.h5").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SavedPosteriorError, match=r"(?s)an interrupted run.*another folder"):
        train(tmp_path / "file", steps=8, resume=resume)
    with pytest.raises(InputError, match=r"state\.h5 of something else"):
        train(tmp_path / "link", steps=8, resume=resume)
    assert (tmp_path / "file" / "state.h5").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()
    assert {file.name for file in tmp_path.rglob("*")} == {"file", "link", "state.h5"}


def test_another_process_is_kept_out(tmp_path) -> None:
    with (
        lock_folder(tmp_path / "checkpoint", "Checkpoint folder"),
        pytest.raises(SavedPosteriorError, match="at a time"),
    ):
        train(tmp_path / "checkpoint", steps=8)


def test_a_resumed_run_splits_batches_as_before(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another number of threads would split them otherwise, and round sums in another order."""
    with h5py.File(checkpoint / "state.h5", "r+") as file:
        file.attrs["shards"] = 7
    monkeypatch.setattr("bayesinn.training.callbacks._check_digest", lambda state: None)
    models = []
    restore = CheckpointWriter.restore
    monkeypatch.setattr(
        CheckpointWriter,
        "restore",
        lambda self, model: models.append(model) or restore(self, model),
    )
    monkeypatch.setattr("bayesinn.estimators.estimator.has_ended", lambda *_: False)
    train(checkpoint, steps=8, resume=True)
    assert models[0].most_shards == 7


def test_identity_is_in_the_state_itself(checkpoint: Path, tmp_path) -> None:
    """The settings of one run and the state of another, as if two had written into one folder."""
    settings = (checkpoint / "settings.json").read_text()
    (checkpoint / "settings.json").write_text(settings.replace('"seed": 1', '"seed": 2'))
    with pytest.raises(InputError, match="this very run"):
        train(checkpoint, steps=8, seed=2, resume=True)


def test_a_state_is_written_first_and_last_and_otherwise_when_it_is_time(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    monkeypatch.setattr(CheckpointWriter, "_write", lambda self, epochs: written.append(epochs))
    monkeypatch.setattr("bayesinn.training.callbacks._SECONDS_BETWEEN_WRITES", 1e9)
    train(tmp_path / "a", steps=60)
    first, epochs = written
    assert first == 1
    assert epochs > 2
    written.clear()
    monkeypatch.setattr("bayesinn.training.callbacks._SECONDS_BETWEEN_WRITES", 0.0)
    train(tmp_path / "b", steps=60)
    assert written == list(range(1, epochs + 1))


def test_a_full_disk_only_warns(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self, epochs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bayesinn.training.callbacks.CheckpointWriter._write", full)
    with pytest.warns(UserWarning, match="No space left on device.*Training goes on") as told:
        posterior = train(tmp_path / "checkpoint", steps=8)
    # Keras lies between: the line is that of the user all the same.
    lines = [one.filename for one in told if "No space left" in str(one.message)]
    assert set(lines) == {__file__}
    assert posterior.trained


def test_a_disk_that_fills_while_writing_leaves_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One pass of 576 rows; a state after a part of one is not written.
    train(tmp_path, steps=9)
    with h5py.File(tmp_path / "state.h5", "r+") as file:
        file.attrs["identity"] = file.attrs["identity"].replace('"steps": 9', '"steps": 18')
        del file.attrs["sha256"]
    before = (tmp_path / "state.h5").read_bytes()

    def full(self, name, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("h5py.File.create_dataset", full)
    with pytest.warns(UserWarning, match="No space left"):
        train(tmp_path, steps=18, resume=True)
    assert (tmp_path / "state.h5").read_bytes() == before


class Fails(keras.callbacks.Callback):
    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise OSError("disk full")


def test_weights_are_kept_when_a_callback_fails() -> None:
    posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=small_flow())
    with pytest.raises(OSError, match="disk full"):
        posterior.fit(
            steps=60,
            batch_size=32,
            epochs=6,
            seed=1,
            optimization=bi.Optimization(callbacks=[Fails(3)]),
            progress=False,
        )
    assert len(posterior.history) == 4
    assert np.isfinite(posterior.sample({"y": 1.0}, draws=5, seed=1)["x1"]).all()


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_nothing_is_kept_when_no_step_was_done(error: type[BaseException]) -> None:
    posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=small_flow())
    options = {"steps": 4, "batch_size": 32, "progress": False}

    class Early(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            raise error

    with pytest.raises(error):
        posterior.fit(seed=1, optimization=bi.Optimization(callbacks=[Early()]), **options)
    assert not posterior.trained
    earlier = posterior.fit(seed=1, **options).fingerprint
    with pytest.raises(error):
        posterior.fit(seed=2, optimization=bi.Optimization(callbacks=[Early()]), **options)
    assert posterior.fingerprint == earlier


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_steps_before_the_first_report_are_kept(error: type[BaseException]) -> None:
    class Interrupted(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise error

    posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=small_flow())
    optimization = bi.Optimization(callbacks=[Interrupted()])
    with pytest.raises(error):
        posterior.fit(
            steps=400, epochs=2, batch_size=32, seed=1, optimization=optimization, progress=False
        )
    assert posterior.history.empty
    assert 0 < posterior.steps_done < 200
    assert f"trained for {posterior.steps_done} steps" in repr(posterior)
    assert np.isfinite(posterior.sample({"y": 1.0}, draws=5, seed=1)["x1"]).all()


def test_a_simulator_that_fails_in_the_first_step_leaves_an_earlier_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, engine="python", workers=1)
    def ruler(parameters, generator):
        return {"x": parameters["mean"] + generator.normal()}

    def fails(self, step):
        raise SimulatorError("Simulator", expected="a result", got="none", do="correct it")

    posterior = bi.AmortizedPosterior(ruler, flow=small_flow(blocks=1, hidden=(4,)))
    earlier = posterior.fit(steps=2, batch_size=8, seed=1, progress=False).fingerprint
    monkeypatch.setattr(WorkerSource, "_submit", fails)
    with pytest.raises(SimulatorError, match="correct it"):
        posterior.fit(steps=2, batch_size=8, seed=2, progress=False)
    assert posterior.fingerprint == earlier


def test_the_terminal_is_given_back_when_training_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=small_flow())
    with pytest.raises(OSError, match="disk full"):
        posterior.fit(
            steps=8,
            batch_size=32,
            epochs=4,
            seed=1,
            optimization=bi.Optimization(callbacks=[Fails(1)]),
        )
    # While a bar is alive, rich has its own file in place of the terminal.
    assert sys.stdout is terminal
    assert terminal.getvalue().count("\x1b[?25l") == terminal.getvalue().count("\x1b[?25h")


def test_a_run_with_other_scalings_is_not_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Draws of some laws differ by machine and number of threads, so that scalings would, too."""
    simulator = bi.get_simulator("linear")
    options = {"steps": 4, "epochs": 2, "batch_size": 32, "seed": 1, "progress": False}

    def fit(resume: bool) -> bi.AmortizedPosterior:
        posterior = bi.AmortizedPosterior(simulator, flow=bi.flows.coupling(blocks=1, hidden=(8,)))
        return posterior.fit(checkpoint=bi.Checkpoint(tmp_path / "run", resume=resume), **options)

    fit(resume=False)
    fit(resume=True)
    draw_pilot = estimator.draw_pilot

    def draw_others(*arguments: object) -> dict[str, np.ndarray]:
        return {name: 1.5 * value for name, value in draw_pilot(*arguments).items()}

    monkeypatch.setattr(estimator, "draw_pilot", draw_others)
    with pytest.raises(InputError, match=r"(?s)scalings that its run began with.*data/y/scale"):
        fit(resume=True)
