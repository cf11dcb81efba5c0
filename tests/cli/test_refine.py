"""Option --refine: exact draws of a poorly trained posterior, where the model has a likelihood."""

from __future__ import annotations

from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import pytest

MODEL = """
import bayesinn as bi
import tensorflow as tf
import tensorflow_probability as tfp
tfd = tfp.distributions

def log_likelihood(parameters, data):
    return tf.reduce_sum(tfd.Normal(parameters["mean"][:, None], 1.0).log_prob(data["y"]), axis=1)

@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, log_likelihood=log_likelihood)
def scale(parameters, seed):
    mean = parameters["mean"][:, None] * tf.ones(3)
    return {"y": mean + tf.random.stateless_normal(tf.shape(mean), seed)}
"""
# The posterior of three numbers around their mean is Normal(sum / 4, 1 / 2).
ROWS = ((1.0, 2.0, 3.0), (-0.5, 0.1, 0.4))


@pytest.fixture(scope="module")
def weighed(tmp_path_factory) -> str:
    file = tmp_path_factory.mktemp("model") / "scale_model_of_the_cli.py"
    file.write_text(MODEL)
    return f"{file}:scale"


def test_refined_draws_are_exact(bayesinn, weighed: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--steps", 30, "--batch-size", 64, "--summary", "mlp"]
    assert bayesinn("train", weighed, "--output", run, *options).status == 0
    np.savez(tmp_path / "one.npz", y=np.array(ROWS[0]))
    one = ["--data", tmp_path / "one.npz", "--draws", 1_000, "--trust", "--no-predictive"]
    answer = bayesinn("infer", run, *one, "--refine")
    assert answer.status == 0, answer.err
    assert "refined by importance: k-hat " in answer.out
    table = pd.read_csv(run / "posterior.csv", index_col="parameter")
    assert table.loc["mean", "mean"] == pytest.approx(1.5, abs=0.08)
    assert table.loc["mean", "sd"] == pytest.approx(0.5, abs=0.05)
    with az.from_netcdf(run / "posterior.nc", engine="h5netcdf") as tree:
        assert tree["refinement"]["method"].item() == "importance"
    np.savez(tmp_path / "two.npz", y=np.array(ROWS))
    two = [
        "--data",
        tmp_path / "two.npz",
        "--draws",
        1_000,
        "--trust",
        "--output",
        tmp_path / "two",
    ]
    answer = bayesinn("infer", run, *two, "--refine")
    assert answer.status == 0, answer.err
    assert "refined by importance (2): k-hat " in answer.out
    means = pd.read_csv(tmp_path / "two" / "posterior.csv")["mean"]
    np.testing.assert_allclose(means, np.sum(ROWS, axis=1) / 4, atol=0.08)


def test_a_model_without_a_likelihood_is_not_refined(bayesinn, trained: Path, tmp_path) -> None:
    np.savez(tmp_path / "data.npz", cases=np.ones(3), days=2.0)
    data = ["--data", tmp_path / "data.npz", "--trust", "--output", tmp_path / "none"]
    answer = bayesinn("infer", trained, *data, "--refine")
    assert answer.status == 2
    assert "log_likelihood=None" in answer.err
