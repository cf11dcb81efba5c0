"""One run has one set of numbers: in the terminal, in files, in the report, and from Python."""

from __future__ import annotations

import re

import arviz as az
import numpy as np
import pandas as pd
import pytest

import bayesinn as bi
from bayesinn.cli.options import whole_number
from bayesinn.cli.run import Run
from bayesinn.core.labels import Labels
from bayesinn.core.number_text import decimals_for, write_number
from bayesinn.diagnosis.evidence import Observation
from bayesinn.diagnosis.report.sections import observed_section, posterior_table, write_posterior


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
    options = ["--data", tmp_path / "data.csv", "--output", run, "--no-predictive"]
    answer = bayesinn("infer", trained, *options, "--draws", 500)
    assert answer.status == 0, answer.err
    table = pd.read_csv(run / "posterior.csv", index_col="parameter", dtype=str)
    numbers = table.loc["rate", ["mean", "sd", "2.5 %", "97.5 %"]].tolist()
    assert re.search(r"\s+".join(["rate", "1/day", *map(re.escape, numbers)]), answer.out)
    with az.from_netcdf(run / "posterior.nc", engine="h5netcdf") as tree:
        values = {"rate": tree["posterior"]["rate"].values[0]}
    assert write_posterior(posterior_table(values, Labels())).loc["rate"].tolist()[1:] == numbers

    # The report shows the draws of the answer, not those of the diagnosis.
    posterior = bi.load(trained / "posterior")
    draws, exact = Run(run)._answer(posterior, {"cases": [1.0, 2.5, 2.0], "days": 2.0})
    np.testing.assert_array_equal(draws["rate"], values["rate"])
    assert exact is None
    assert Run(run)._answer(posterior, {"cases": [9.0, 2.5, 2.0], "days": 2.0}) == (None, None)
    others = {"rate": values["rate"] + 1.0}
    at = Observation(
        np.zeros((2, 1)), np.zeros((1, 1)), {}, draw_latent=None, from_latent=None, draws=others
    )
    section = observed_section(at, others, Labels(), draws=draws)
    assert section.table.loc["rate"].tolist() == numbers


@pytest.mark.parametrize(
    ("text", "number"),
    [("9,007,199,254,740,993", 2**53 + 1), ("9_007_199_254_740_993", 2**53 + 1), ("1e6", 10**6)],
)
def test_whole_numbers_keep_all_digits(text: str, number: int) -> None:
    assert whole_number()(text) == number
