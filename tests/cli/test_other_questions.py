"""Other questions from the shell: known parameters, another prior, many observations, regions."""

from __future__ import annotations

from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import pytest

import bayesinn as bi

SEVERAL = "patient,cases,days\n" + "".join(
    f"{patient},{value},2.0\n" for patient in "abc" for value in (2.0, 2.5, 1.5)
)


@pytest.fixture
def ask(bayesinn, trained: Path, tmp_path: Path):
    """Ask the trained posterior of growth; return the answer, and the folder of results."""
    (tmp_path / "one.csv").write_text("cases\n2.0\n2.5\n1.5\n")
    (tmp_path / "several.csv").write_text(SEVERAL)

    def run(*options: str, several: bool = False, folder: str = "answer"):
        data = ["--data", tmp_path / ("several.csv" if several else "one.csv")]
        data += ["--by", "patient"] if several else ["--context", "days=2"]
        output = ["--output", tmp_path / folder] if folder else []
        command = ["infer", trained, *data, "--draws", 400, *output, *options]
        return bayesinn(*command), tmp_path / folder

    return run


def test_another_prior_is_that_of_the_library(ask, trained: Path) -> None:
    answer, folder = ask("--prior", "rate=LogNormal(0.3, 0.2)", "--seed", "4")
    assert answer.status == 0, answer.err
    import tensorflow_probability as tfp

    posterior = bi.load(trained / "posterior")
    other = posterior.with_prior({"rate": tfp.distributions.LogNormal(0.3, 0.2)})
    data = {"cases": np.array([2.0, 2.5, 1.5]), "days": 2.0}
    expected = other.infer(data, draws=400, seed=4)["posterior"]["rate"]
    found = az.from_netcdf(folder / "posterior.nc")
    np.testing.assert_array_equal(found["posterior"]["rate"], expected)
    assert found.attrs["posterior"].endswith("--prior rate=LogNormal(0.3, 0.2)")


def test_answers_of_other_questions_have_folders_of_their_own(ask) -> None:
    answer, _ = ask("--prior", "rate=LogNormal(0.3, 0.2)", folder="")
    assert answer.status == 2
    assert "need a new folder" in answer.err
    first, _ = ask("--prior", "rate=LogNormal(0.3, 0.2)")
    again, _ = ask("--prior", "rate=LogNormal(0.3, 0.2)")
    other, _ = ask("--prior", "rate=LogNormal(0.3, 0.3)")
    assert (first.status, again.status, other.status) == (0, 0, 2)
    assert "posterior.nc with another" in other.err


def test_observations_of_the_same_parameters_have_one_answer(ask) -> None:
    answer, folder = ask("--combine", several=True)
    assert answer.status == 0, answer.err
    single, alone = ask(folder="alone")
    assert single.status == 0, single.err
    together = pd.read_csv(folder / "posterior.csv", index_col=0)
    one = pd.read_csv(alone / "posterior.csv", index_col=0)
    # Three times the same data: the sd is that of one over the root of three, or nearly.
    assert 0.4 < together.loc["rate", "sd"] / one.loc["rate", "sd"] < 0.8
    draws = az.from_netcdf(folder / "posterior.nc")["posterior"]["rate"]
    assert draws.sizes["chain"] > 1
    assert float(draws.mean()) == pytest.approx(together.loc["rate", "mean"], rel=1e-3)


def test_regions_stand_beside_the_answer(ask) -> None:
    answer, folder = ask("--region", "conformal")
    assert answer.status == 0, answer.err
    assert "held-out simulations" in answer.out
    table = pd.read_csv(folder / "posterior.csv", index_col=0).loc["rate"]
    assert 0.0 < table["guaranteed 2.5 %"] < table["mean"] < table["guaranteed 97.5 %"]
    assert {"level", "width ratio"} <= set(pd.read_csv(folder / "regions.csv"))
    answer, folder = ask("--region", "conformal", several=True, folder="several")
    assert answer.status == 0, answer.err
    rows = pd.read_csv(folder / "posterior.csv", index_col=[0, 1])
    assert len(rows) == 3
    assert (rows["guaranteed 2.5 %"] < rows["guaranteed 97.5 %"]).all()


def test_a_known_parameter_is_left_out(bayesinn, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert bayesinn("train", "linear", "--steps", 20, "--output", run).status == 0
    (tmp_path / "data.csv").write_text("y\n1.5\n")
    options = ["--data", tmp_path / "data.csv", "--draws", 200, "--output", tmp_path / "rest"]
    answer = bayesinn("infer", run, *options, "--fix", "x1=0.5")
    assert answer.status == 0, answer.err
    assert pd.read_csv(tmp_path / "rest" / "posterior.csv", index_col=0).index.tolist() == ["x2"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--combine"], "several observations of the same parameters"),
        (["--fix", "rate=1"], "some of the parameters"),
        (["--fix", "speed=1"], "speed"),
        (["--prior", "speed=Normal(0, 1)"], "speed"),
        (["--prior", "rate=Normal(0, 1)"], "50 % of its mass outside"),
        (["--prior", "rate"], "--prior"),
    ],
)
def test_what_cannot_be_asked_is_refused(ask, options: list[str], message: str) -> None:
    answer, folder = ask(*options)
    assert answer.status == 2
    assert message in answer.err
    assert not (folder / "posterior.nc").exists()
