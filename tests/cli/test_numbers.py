"""One run has one set of numbers: in the terminal, in files, in the report, and from Python."""

from __future__ import annotations

import re

import arviz as az
import numpy as np
import pandas as pd
import pytest

from bayesinn.core.labels import Labels
from bayesinn.core.number_text import decimals_for, write_number
from bayesinn.diagnosis.posterior_table import posterior_table, write_posterior


@pytest.mark.parametrize(
    ("mean", "sd", "written"),
    [
        (0.0040123, 0.000409, ("0.00401", "0.00041")),
        (29.4243, 16.34, ("29.4", "16.3")),
        (123_456.7, 890.0, ("123460", "890")),
        (-3.2e-7, 1.4e-8, ("-3.200e-07", "1.40e-08")),
        (2.0, 0.0, ("2.000", "0.0")),
        (np.nan, np.nan, ("", "")),
    ],
)
def test_digits_by_the_sd(mean: float, sd: float, written: tuple[str, str]) -> None:
    assert (write_number(mean, decimals_for(sd)), write_number(sd, decimals_for(sd))) == written


def test_small_rates_keep_their_digits() -> None:
    draws = {"rate": np.random.default_rng(1).normal(0.004, 0.000409, 4_000)}
    row = write_posterior(posterior_table(draws, Labels())).loc["rate"]
    assert row["mean"] != row["97.5 %"]
    assert len({row["mean"], row["2.5 %"], row["97.5 %"]}) == 3
    assert float(row["97.5 %"]) == pytest.approx(0.0048, abs=0.00005)


def test_terminal_files_and_report_agree(bayesinn, trained, tmp_path) -> None:
    (tmp_path / "data.csv").write_text("cases,days\n1.0,2\n2.5,2\n2.0,2\n")
    run = tmp_path / "run"
    options = ["--data", tmp_path / "data.csv", "--output", run]
    answer = bayesinn("infer", trained, *options, "--draws", 500)
    assert answer.status == 0, answer.err
    table = pd.read_csv(run / "posterior.csv", index_col="parameter", dtype=str)
    numbers = table.loc["rate", ["mean", "sd", "2.5 %", "97.5 %"]].tolist()
    assert re.search(r"\s+".join(["rate", "1/day", *map(re.escape, numbers)]), answer.out)
    with az.from_netcdf(run / "posterior.nc", engine="h5netcdf") as tree:
        values = {"rate": tree["posterior"]["rate"].values[0]}
    assert write_posterior(posterior_table(values, Labels())).loc["rate"].tolist()[1:] == numbers
    report = bayesinn("report", trained, *options, "--simulations", 30, "--draws", 10)
    assert report.status != 2, report.err
    page = (run / "report.html").read_text()
    cells = re.sub(r"<[^>]+>", " ", page).replace("\N{MINUS SIGN}", "-")
    assert re.search(r"\s+".join(map(re.escape, numbers)), cells)
    assert "steps of 32 simulations" in cells
    assert (run / "methods.txt").read_text().splitlines()[0] in " ".join(cells.split()).replace(
        "&#39;", "'"
    )
