"""Several observations in one file: each is answered, and what is meant for one refuses them."""

from __future__ import annotations

from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import pytest

import bayesinn as bi

ROWS = {"anna": [1.0, 2.5, 2.0], "ben": [150.0, -60.0, 0.0], "7": [3.0, 3.5, 4.0]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    lines = [f"{name},{value},2.0" for name, values in ROWS.items() for value in values]
    (tmp_path / "data.csv").write_text("\n".join(["patient,cases,days", *lines]))
    return tmp_path / "data.csv"


def test_each_is_answered_under_its_name(
    bayesinn, trained: Path, file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "answers"
    options = ["--draws", 50, "--seed", 4, "--output", folder]
    answer = bayesinn("infer", trained, "--data", file, "--by", "patient", *options)
    assert answer.status == 0, answer.err
    assert answer.out.count("anna") == 1
    assert "1 of 3 are out of distribution, their posteriors extrapolations: ben" in answer.out
    saved = "posterior.nc, posterior.csv, observations.csv and figures"
    assert f"saved {folder}/{saved}\n" in answer.out
    assert {path.name for path in folder.iterdir()} == {
        "posterior.nc",
        "posterior.csv",
        "observations.csv",
        "figures",
        "run.json",
    }
    assert (folder / "figures" / "observations.png").is_file()
    # A row for each, under the user's name for them.
    head = answer.out.splitlines()[:2]
    assert head[0].split() == [
        "rate",
        "rate",
        "sd",
        "rate",
        "2.5",
        "%",
        "rate",
        "97.5",
        "%",
        "out_of_distribution_p",
    ]
    assert head[1].strip() == "patient"
    people = pd.read_csv(folder / "observations.csv", index_col="patient")
    assert people.index.tolist() == list(ROWS)

    table = pd.read_csv(folder / "posterior.csv").set_index(["patient", "parameter"])
    assert table.index.tolist() == [(name, "rate") for name in ROWS]
    draws = bi.load(trained / "posterior").sample(
        {"cases": np.array(list(ROWS.values())), "days": np.full(3, 2.0)}, draws=50, seed=4
    )
    # The last digit is worth 3 % of the sd at most.
    rates = draws["rate"].astype(float)
    digit = 0.02 * rates.std(axis=1)
    assert np.all(abs(table["mean"] - rates.mean(axis=1)) < digit)
    assert np.all(abs(table["97.5 %"] - np.quantile(rates, 0.975, axis=1)) < digit)
    np.testing.assert_allclose(table["out_of_distribution_p"], draws.p_value, rtol=0.05)
    assert people["rate"].tolist() == table["mean"].tolist()
    assert table["unit"].unique().tolist() == ["1/day"]
    with az.from_netcdf(folder / "posterior.nc", engine="h5netcdf") as tree:
        assert tree["posterior"]["rate"].dims == ("chain", "draw", "observation")
        one = tree["posterior"]["rate"].sel(observation="7").values[0]
        assert tree["observed_data"]["cases"].sel(observation="ben").values.tolist() == ROWS["ben"]
    np.testing.assert_allclose(one, draws["rate"][2], rtol=1e-5)

    # The same data again; others go elsewhere.
    assert bayesinn("infer", trained, "--data", file, "--by", "patient", *options).status == 0
    file.write_text(file.read_text().replace("anna,1.0", "anna,1.5"))
    refused = bayesinn("infer", trained, "--data", file, "--by", "patient", *options)
    assert refused.status == 2
    assert "--output FOLDER" in refused.err


def test_arrays_are_numbered(bayesinn, trained: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", cases=np.ones((4, 3)), days=np.full(4, 2.0))
    folder = tmp_path / "answers"
    answer = bayesinn(
        "infer", trained, "--data", tmp_path / "data.npz", "--draws", 20, "--output", folder
    )
    assert answer.status == 0, answer.err
    assert pd.read_csv(folder / "posterior.csv")["observation"].tolist() == [0, 1, 2, 3]


def test_what_is_for_one_observation_refuses_several(
    bayesinn, trained: Path, model: str, file: Path, tmp_path
) -> None:
    text = file.read_text().replace("patient", "id")
    file.write_text(text)
    for command in (["diagnose", trained], ["report", trained], ["run", model, "--steps", 5]):
        refused = bayesinn(*command, "--data", file, "--output", tmp_path / "none")
        assert refused.status == 2
        assert "expected: one observation" in refused.err
        assert "'bayesinn infer'" in refused.err
    exact = bayesinn("infer", trained, "--data", file, "--exact", "--output", tmp_path / "none")
    assert exact.status == 2
    assert "3 observations" in exact.err
    assert not [
        path for path in (tmp_path / "none").rglob("*") if path.suffix in (".nc", ".h5", ".csv")
    ]


def test_a_column_needs_a_table(bayesinn, trained: Path, tmp_path: Path) -> None:
    assert "--data FILE" in bayesinn("infer", trained, "--by", "patient").err
    np.savez(tmp_path / "data.npz", cases=np.ones(3), days=2.0)
    refused = bayesinn("infer", trained, "--data", tmp_path / "data.npz", "--by", "patient")
    assert refused.status == 2
    assert "first axis" in refused.err


def test_a_column_that_is_misspelt_or_not_named(bayesinn, trained: Path, file: Path) -> None:
    refused = bayesinn("infer", trained, "--data", file, "--by", "Patient")
    assert refused.status == 2
    assert "do this:  --by patient" in refused.err
    refused = bayesinn("diagnose", trained, "--data", file)
    assert refused.status == 2
    assert (
        "column 'patient' tells several observations apart? --by patient of bayesinn infer"
        in refused.err
    )


def test_what_takes_another_unit_is_said(bayesinn, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("cases,days\n1200,2\n2600,2\n1900,2\n")
    options = ["--draws", 20, "--output", tmp_path / "answer"]
    answer = bayesinn("infer", trained, "--data", tmp_path / "data.csv", *options)
    assert answer.status == 0, answer.err
    assert "'cases' divided by 1,000 would be typical" in answer.out
