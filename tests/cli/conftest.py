"""The command line in this process, and a small model in a file."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from bayesinn.cli import main

MODEL = """
import bayesinn as bi
import tensorflow as tf
import tensorflow_probability as tfp
tfd = tfp.distributions

@bi.simulator(
    prior={"rate": tfd.LogNormal(0.0, 0.5)}, context={"days": tfd.Uniform(1.0, 5.0)}, units={"rate": "1/day"}
)
def growth(parameters, context, seed):
    mean = parameters["rate"][:, None] * context["days"][:, None] * tf.ones(3)
    return {"cases": mean + tf.random.stateless_normal(tf.shape(mean), seed)}
"""


class Answer(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def bayesinn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """Run a command in this process, through the function that the console script calls."""

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["bayesinn", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = (re.sub(r"\x1b\[[\d;]*m", "", text) for text in capsys.readouterr())
        return Answer(int(end.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> str:
    file = tmp_path_factory.mktemp("model") / "growth_model_of_the_cli.py"
    file.write_text(MODEL)
    return f"{file}:growth"


@pytest.fixture(scope="session")
def trained(tmp_path_factory, model: str) -> Path:
    """A run folder as 'train' leaves it."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    options = ["--steps", "20", "--batch-size", "32"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["bayesinn", "train", model, "--output", str(folder), *options])
        with pytest.raises(SystemExit) as end:
            main()
    assert not end.value.code
    return folder
