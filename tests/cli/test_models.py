"""The command that compares models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bayesinn as bi
from bayesinn.core.errors import InputError

MODELS = """
import bayesinn as bi
import tensorflow as tf
import tensorflow_probability as tfp
tfd = tfp.distributions


def declare(name, sd):
    @bi.simulator(prior={"mean": tfd.Normal(0.0, sd)}, name=name)
    def model(parameters, seed):
        mean = parameters["mean"][:, None]
        return {"x": mean + tf.random.stateless_normal((tf.shape(mean)[0], 3), seed)}

    return model


narrow = declare("narrow", 0.5)
wide = declare("wide", 4.0)
"""


def lost(self, folder) -> None:
    raise InputError("Folder", expected="a disk", got="none", do="look for it")


def test_models(bayesinn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(MODELS)
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"x": [5.0, 6.0, 5.5]}))
    names = [f"{tmp_path / 'mine.py'}:{name}" for name in ("narrow", "wide")]
    options = ["--simulations", "2000", "--steps", "100"]
    folder = tmp_path / "saved"
    answer = bayesinn("models", *names, *options, "--output", folder)
    assert answer.status == 2
    assert "none ships with 'narrow'" in answer.err
    answer = bayesinn("models", *names, *options, "--data", data, "--output", folder)
    assert answer.status == 0
    assert "calibration error" in answer.out
    told = answer.out.partition("P(narrow)")[2].partition("saved")[0].strip()
    assert "log BF of wide to narrow" in answer.out
    assert (folder / "manifest.json").is_file()
    for command in ("infer", "diagnose", "report"):
        answer = bayesinn(command, folder)
        assert answer.status == 2
        assert "expected: a posterior" in answer.err
        assert "bayesinn models --saved" in answer.err
    # The saved comparison is asked again, with the simulators found by --trust or named.
    again = bayesinn("models", "--saved", folder, "--data", data, "--trust")
    assert again.status == 0
    assert again.out.partition("P(narrow)")[2].strip() == told
    again = bayesinn("models", *names, "--saved", folder, "--data", data)
    assert again.out.partition("P(narrow)")[2].strip() == told
    again = bayesinn("models", "--saved", folder, "--data", data, "--steps", "5")
    assert again.status == 2
    assert "--saved trains nothing" in again.err
    again = bayesinn("models", "--saved", folder, "--data", data, "--weights", "3,1")
    assert again.status == 2
    assert "--saved trains nothing" in again.err
    again = bayesinn("models", *names, "--data", data, "--weights", "3;1")
    assert again.status == 2
    assert "is not numbers such as 3,1" in again.err
    again = bayesinn("models", *names, "--data", data, "--weights", "3,1,1")
    assert again.status == 2
    assert "2 positive numbers, one for each of 'narrow', 'wide'" in again.err
    again = bayesinn("models", "--data", data)
    assert again.status == 2
    assert "two or more simulators" in again.err
    # Each observation keeps the name that it has in the file.
    table = tmp_path / "both.csv"
    table.write_text("id,x\nAnn,0.1\nAnn,0.2\nAnn,0.3\nBo,5\nBo,6\nBo,5\n")
    weights = ["--weights", "3,1"]
    answer = bayesinn("models", *names, *options, *weights, "--data", table, "--output", folder)
    assert answer.status == 0
    assert bi.load(folder, trust_source=True).weights.tolist() == [0.75, 0.25]
    starts = [line.split()[0] for line in answer.out.splitlines() if line.strip()]
    assert starts.index("id") + 1 == starts.index("Ann") == starts.index("Bo") - 1
    # A place that can't be had is refused before the training; one that is lost costs no answer.
    (tmp_path / "file").touch()
    ask = ["models", *names, "--simulations", "200", "--steps", "2", "--data", table]
    refused = bayesinn(*ask, "--output", tmp_path / "file")
    assert refused.status == 2
    assert "room and permission to save there" in refused.err
    assert "training" not in refused.out
    with monkeypatch.context() as patch:
        patch.setattr(bi.ModelComparison, "save", lost)
        answer = bayesinn(*ask, "--output", folder)
    assert answer.status == 2
    assert "log BF of wide to narrow" in answer.out
    # Wrong data are refused before the training.
    data.write_text(json.dumps({"x": [5.0, 6.0]}))
    answer = bayesinn("models", *names, *options, "--data", data)
    assert answer.status == 2
    assert "shape (3,)" in answer.err
    assert "training" not in answer.out
