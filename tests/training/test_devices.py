"""Several devices, processes, parts of a batch take the steps of the whole batch on one device."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.simulators.linear import linear
from bayesinn.training.settings import resolve_settings
from bayesinn.training.step import Devices, TrainingModel
from tests.conftest import ROOT
from tests.helpers import shared_training
from tests.helpers.fitting import fit
from tests.helpers.models import NormalisedNumber
from tests.helpers.shared_training import outcome, shared_fit

SCRIPT = Path(shared_training.__file__)


@pytest.fixture(scope="module")
def alone() -> dict[str, dict[str, np.ndarray]]:
    """The same trainings on one device, in one piece."""
    data = linear.sample(512, seed=1)
    runs = {"online": {}, "compiled": {"xla": True}, "arrays": {"data": data, "steps": None}}
    found = {name: outcome(shared_fit(**options)) for name, options in runs.items()}
    return found | {"accumulated": found["online"], "resumed": found["online"]}


def compare(found: np.lib.npyio.NpzFile, alone: dict[str, dict[str, np.ndarray]]) -> None:
    for name, expected in alone.items():
        # Measured: weights 2e-7 apart at most, losses 5e-7.
        np.testing.assert_allclose(found[f"{name} losses"], expected["losses"], rtol=0, atol=5e-6)
        np.testing.assert_allclose(found[f"{name} weights"], expected["weights"], rtol=0, atol=5e-6)
    np.testing.assert_array_equal(found["resumed weights"], found["online weights"])
    np.testing.assert_array_equal(found["resumed losses"], found["online losses"])


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.mark.slow
def test_two_devices(fresh_python, tmp_path: Path, alone) -> None:
    fresh_python(SCRIPT, tmp_path)
    compare(np.load(tmp_path / "0.npz"), alone)


@pytest.mark.slow
def test_two_processes(tmp_path: Path, alone) -> None:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    processes = []
    for index in range(2):
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CONFIG": json.dumps(task)}
        with open(tmp_path / f"{index}.log", "w") as log:
            command = [sys.executable, str(SCRIPT), str(tmp_path)]
            processes.append(
                subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
            )
    try:
        codes = [process.wait(timeout=400) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert codes == [0, 9], "\n".join(
        (tmp_path / f"{index}.log").read_text()[-4000:] for index in range(2)
    )
    first, second = (np.load(tmp_path / f"{index}.npz") for index in range(2))
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])
    compare(first, alone)
    chief, other = (json.loads((tmp_path / f"{index}.json").read_text()) for index in range(2))
    assert (chief["files"], other["files"]) == (["settings.json", "state.h5"], [])
    assert "runs that differ" in chief["disagree"]
    assert other["disagree"] == chief["disagree"]
    assert "all of them until the end" in (tmp_path / "gone.txt").read_text()


@pytest.mark.parametrize("xla", [False, True])
def test_accumulated_parts_are_the_batch(xla: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    original = TrainingModel._row_losses

    def counted(self, flat, state, batch, *arguments, **options):
        rows.append(batch["y"].shape[0])
        return original(self, flat, state, batch, *arguments, **options)

    expected = outcome(fit(steps=20, batch_size=32, xla=xla))
    monkeypatch.setattr(TrainingModel, "_row_losses", counted)
    found = outcome(fit(steps=20, batch_size=32, xla=xla, accumulate=4))
    # Traced once, with the rows of a part: no tensor of the step is larger.
    assert rows == [8]
    np.testing.assert_allclose(found["weights"], expected["weights"], rtol=0, atol=5e-6)
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=0, atol=5e-6)


def test_parts_have_noise_of_their_own() -> None:
    flow = {"flow": bi.flows.coupling(1, (16,), dropout=0.5)}
    first, again, whole = (outcome(fit(accumulate=parts, **flow))["weights"] for parts in (2, 2, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - whole).max() > 1e-5


def test_losses_of_whole_batches_are_not_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = bi.flows.coupling(1, (16,))
    monkeypatch.setattr(type(flow), "rowwise", False)
    with pytest.raises(InputError, match="A batch in parts"):
        fit(steps=2, batch_size=32, accumulate=2, flow=flow)


def test_a_batch_that_parts_do_not_divide_is_refused() -> None:
    with pytest.raises(InputError, match="'batch_size'") as error:
        fit(batch_size=32, accumulate=3)
    assert "a multiple of 3" in str(error.value)
    settings = resolve_settings(
        None, 10, None, 33, 1, bi.Optimization(accumulate=3).with_defaults(1e-3, 0)
    )
    assert settings.parts == 3


def test_a_batch_size_that_is_left_out_is_one_that_parts_divide() -> None:
    posterior = fit(data=linear.sample(400, seed=1), batch_size=None, accumulate=3)
    # A fourteenth of 360 rows is 25.
    assert posterior.training["settings"]["batch_size"] == 24


def test_losses_and_weights_that_need_the_whole_batch_are_refused() -> None:
    for xla in (False, True):
        with pytest.raises(InputError, match="batch normalisation"):
            fit(summary=NormalisedNumber(), accumulate=2, xla=xla)
    with pytest.raises(InputError, match="a loss of the whole batch"):
        bi.inverse.SplitLatent(linear).fit(
            steps=1, batch_size=32, optimization=bi.Optimization(accumulate=2), progress=False
        )


@pytest.mark.parametrize(
    ("kind", "index", "expected"), [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)]
)
def test_a_chief_comes_before_the_workers(kind: str, index: int, expected: int) -> None:
    cluster = tf.train.ClusterSpec({"chief": ["one:1"], "worker": ["two:1", "three:1"]})
    resolver = SimpleNamespace(task_type=kind, task_id=index, cluster_spec=lambda: cluster)
    extended = SimpleNamespace(worker_devices=("GPU:0", "GPU:1"))
    devices = Devices(
        SimpleNamespace(num_replicas_in_sync=6, extended=extended, cluster_resolver=resolver)
    )  # type: ignore[arg-type]
    assert (devices.processes, devices.process, devices.chief) == (3, expected, expected == 0)


def test_the_scope_of_a_strategy_is_refused_with_the_way_out() -> None:
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope(), pytest.raises(InputError, match=r"Optimization\(strategy=strategy\)"):
        bi.AmortizedPosterior(linear).fit(steps=2, batch_size=8, progress=False)


def test_other_strategies_are_refused() -> None:
    with pytest.raises(InputError, match="'strategy'"):
        bi.Optimization(strategy="mirrored")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'strategy'"):
        bi.Optimization(strategy=tf.distribute.OneDeviceStrategy("CPU:0"))
