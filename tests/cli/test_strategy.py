"""Training on several devices and processes from the command line: one writes the run folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import bayesinn as bi
from bayesinn.cli import training
from bayesinn.core.errors import InputError
from bayesinn.simulators.linear import linear
from bayesinn.training.step import Devices
from tests.conftest import ROOT
from tests.helpers.fitting import weights
from tests.training.test_devices import free_ports

OPTIONS = ["train", "linear", "--batch-size", "32", "--flow", "coupling:blocks=1,hidden=[8]"]


def train_in_two_processes(folder: Path, *options: str) -> list[str]:
    """Run ``bayesinn train`` in two processes with one run folder; return what they printed."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    command = [
        sys.executable,
        "-m",
        "bayesinn.cli",
        *OPTIONS,
        "--strategy",
        "multi-worker",
        "--output",
        str(folder),
    ]
    processes = []
    for index in range(2):
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CONFIG": json.dumps(task)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        processes.append(subprocess.Popen([*command, *options], cwd=ROOT, env=environment, **pipes))
    try:
        texts = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(texts)
    return texts


@pytest.mark.slow
def test_two_processes_share_a_run_folder(bayesinn, tmp_path: Path) -> None:
    alone = [*OPTIONS, "--accumulate", 2, "--output", tmp_path / "alone"]
    for options in (["--steps", "10"], ["--steps", "6"]):
        # The second time, it is trained longer.
        texts = train_in_two_processes(tmp_path / "both", *options)
        assert bayesinn(*alone, *options).status == 0
        both, one = (bi.load(tmp_path / name / "posterior") for name in ("both", "alone"))
        for found, expected in zip(weights(both), weights(one), strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)
        assert both.training["settings"] == one.training["settings"]
        assert all(f"saved {tmp_path}/both/posterior" in text for text in texts)
    assert {path.name for path in (tmp_path / "both").iterdir()} == {
        "run.json",
        *("posterior", "checkpoint", "history.csv", "figures"),
    }


def test_devices_of_this_machine(bayesinn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    devices = training.Devices
    monkeypatch.setattr(
        training, "Devices", lambda strategy: (used.append(strategy), devices(strategy))[1]
    )
    options = ["--strategy", "mirrored", "--accumulate", 2, "--steps", 4, "--output", tmp_path]
    answer = bayesinn(*OPTIONS, *options)
    assert answer.status == 0, answer.err
    (strategy,) = used
    assert isinstance(strategy, tf.distribute.MirroredStrategy)
    settings = bi.load(tmp_path / "posterior").training["settings"]
    assert settings["parts"] == 2 * strategy.num_replicas_in_sync


@pytest.mark.parametrize(
    ("config", "fragments"),
    [
        (None, ["no TF_CONFIG", "--strategy mirrored"]),
        ("{}", ["{}: without cluster or task", "set it for each process"]),
        ("[]", ["TF_CONFIG={"]),
        ("{cluster", ["{cluster: "]),
    ],
)
def test_several_processes_need_tf_config(
    bayesinn, tmp_path, monkeypatch, config, fragments
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)
    answer = bayesinn(*OPTIONS, "--strategy", "multi-worker", "--output", tmp_path)
    assert answer.status == 2
    assert "error: Option --strategy multi-worker" in answer.err
    for fragment in fragments:
        assert fragment in answer.err
    assert not list(tmp_path.iterdir())


def test_minutes_are_for_one_process(tmp_path, monkeypatch) -> None:
    class Two(Devices):
        def __init__(self, strategy=None) -> None:
            super().__init__(strategy)
            self.processes = 2

    monkeypatch.setattr(training, "Devices", Two)
    with pytest.raises(InputError, match="give --steps in place of --minutes"):
        training.train_into(tmp_path, linear, seed=1, minutes=1.0)
