"""The diagnosis as a whole: verdict, table, files; and what it costs to import."""

from __future__ import annotations

import base64
import pickle
import re
import subprocess
import sys
from pathlib import Path

import arviz_plots
import numpy as np
import pandas as pd
import pytest

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.diagnosis import Diagnosis, Evidence, Observation, diagnose_arrays
from tests.diagnostics.conjugate import normal
from tests.diagnostics.faults import case, named


def diagnosis(event: tuple[int, ...] = (), width: float = 1.0) -> Diagnosis:
    truth, draws, prior = normal(size=300, draws=100, event=event, width=width)
    labels = Labels({"mean": r"$\mu$"}, {"mean": "mm"})
    return diagnose_arrays(
        Evidence(truth, draws, prior, labels, seed=4), settings={"simulator": "conjugate"}
    )


def test_a_correct_posterior_is_undecided_with_few_simulations_and_a_wide_one_outside() -> None:
    right = diagnosis(event=(3,))
    wide = diagnosis(event=(3,), width=1.4)
    assert right.grade == "undecided"
    assert wide.grade == "outside"
    assert "Diagnosis: undecided (300 simulations, 100 draws, seed 4)" in repr(right)
    assert "more simulations would tell" in repr(right)
    assert "Diagnosis: OUTSIDE TOLERANCE" in repr(wide)
    assert "draws too wide, by" in repr(wide)
    assert wide.outside == ("SBC", "coverage", "TARP")
    # recovery and information gain are no tests
    assert list(wide.verdict["grade"][-2:]) == ["", ""]


def test_equal_inputs_give_equal_numbers() -> None:
    pd.testing.assert_frame_equal(diagnosis().to_dataframe(), diagnosis().to_dataframe())


def test_table_has_one_row_a_column_and_no_name_twice() -> None:
    table = diagnosis(event=(2, 2)).to_dataframe()
    assert list(table.index) == ["mean[0,0]", "mean[0,1]", "mean[1,0]", "mean[1,1]"]
    assert table.columns.is_unique
    assert {"sbc_p_value", "coverage_calibration_error", "coverage_90"} <= set(table)
    assert {"recovery_r_squared", "recovery_contraction", "information_gain"} <= set(table)


def test_of_many_parameters_the_worst_are_drawn_and_the_tables_have_all(tmp_path: Path) -> None:
    truth, draws, prior = normal(size=300, draws=100, event=(20,))
    draws["mean"][..., 7] += 3.0
    many = diagnose_arrays(Evidence(truth, draws, prior, seed=4))
    page = many.to_html(tmp_path / "report.html").read_text()
    # In caption and alternative text of the figures of SBC (two), coverage, recovery (two) and gain;
    # the last ranks by what is known.
    assert page.count("Drawn are 12 of 20, the worst: ") == 2 * 6
    assert page.count("the worst: mean[7], ") == 2 * 5
    assert many["information"].ranking[0] in page.rpartition("the worst: ")[2].partition(",")[0]
    assert "the tables have the other 8, too" in page
    assert all(f"mean[{index}]" in page for index in range(20))
    few = diagnosis(event=(12,)).to_html(tmp_path / "few.html").read_text()
    assert "Drawn are" not in few


def test_figures_are_written(tmp_path: Path) -> None:
    result = diagnosis()
    written = result.plot(tmp_path / "new" / "figures")
    names = [
        "sbc_ecdf",
        "sbc_histogram",
        "coverage",
        "tarp",
        "recovery",
        "contraction",
        "information",
    ]
    assert [path.stem for path in written] == names
    assert all(path.stat().st_size > 5_000 for path in written)
    # The report has the same pictures, not drawn again.
    pictures = [figure.data for each in result.figures.values() for figure in each.values()]
    text = result.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
    _, *shown = re.findall(r"base64,([A-Za-z0-9+/=]+)", text)  # the verdict comes first
    assert shown == pictures
    assert [base64.b64decode(picture) for picture in pictures] == [
        path.read_bytes() for path in written
    ]


def test_all_that_arrays_can_tell(tmp_path: Path) -> None:
    given = case(size=400)
    likelihood = tuple(value - 1.0 for value in given.log_prob)
    both = np.concatenate([given.theta[:, None], given.raw], axis=1)
    prior = given.posterior.prior_log_prob(both)
    evidence = Evidence(
        given.truth,
        given.draws,
        named(np.random.default_rng(2).normal(size=(2000, 2))),
        seed=1,
        log_prob=given.log_prob,
        prior_log_prob=(prior[:, 0], prior[:, 1:]),
        log_likelihood=(given.log_prob[0] - prior[:, 0], given.log_prob[1] - prior[:, 1:]),
        references=given.rough_estimates,
        quantities={"density": likelihood},
        latent=(
            given.posterior.latent(given.theta, given.data),
            np.random.default_rng(3).normal(size=(400, 100, 2)),
        ),
    )
    result = diagnose_arrays(evidence)
    assert not result.outside
    names = [
        "SBC",
        "coverage",
        "joint coverage",
        "TARP",
        "dependence",
        "fit to the data",
        "test quantities",
    ]
    assert list(result.verdict.index) == [
        *names,
        "latent codes",
        "sharpness",
        "recovery",
        "information gain",
    ]
    # The given log density is the exact one.
    assert abs(result["sharpness"].to_dataframe()["nats_missing"].item()) < 1e-9
    assert {path.stem for path in result.plot(tmp_path)} >= {
        "joint_coverage",
        "dependence",
        "fit_to_data",
        "quantities",
        "latent",
    }


def test_undefined_weights_near_the_observation_leave_out_one_check() -> None:
    truth, draws, prior = normal(size=50, draws=20)
    weights = np.zeros((50, 20))
    weights[:3, 1] = np.nan
    observation = Observation(
        features=np.zeros((50, 1)),
        own_features=np.zeros((1, 1)),
        observed={},
        draw_latent=lambda count, seed: np.zeros((count, 1)),
        from_latent=lambda codes: {},
        replicates=(draws, weights),
    )
    found = diagnose_arrays(Evidence(truth, draws, prior, observation=observation))
    assert found["posterior_sbc"] is None
    assert "posterior SBC: not run, log densities are NaN or infinite for 3 of 50" in str(found)


def test_arviz_draws_the_pit_values() -> None:
    tree = diagnosis(event=(2,))["sbc"].to_datatree()
    assert list(tree["prior_sbc"].data_vars) == ["mean[0]", "mean[1]"]
    arviz_plots.plot_ecdf_pit(tree, backend="none")


def test_a_test_quantity_needs_a_name_of_its_own() -> None:
    truth, draws, prior = normal(size=50, draws=20)
    clash = {"mean": (truth["mean"], draws["mean"])}
    with pytest.raises(InputError, match=r"(?s)test quantity 'mean'.*a name that no parameter has"):
        diagnose_arrays(Evidence(truth, draws, prior, quantities=clash))


def test_ranks_of_a_test_quantity_near_one_end_are_read_by_their_sign() -> None:
    truth, draws, prior = normal(size=400, draws=100)
    spread = np.random.default_rng(5).normal(size=(400, 101))
    high = 3.0 + 0.2 * spread[:, 0], spread[:, 1:]
    found = diagnose_arrays(Evidence(truth, draws, prior, quantities={"high": high})).findings
    (finding,) = (finding for finding in found if finding.check.name == "test quantities")
    assert finding.found.startswith("high: draws too low, by ")
    assert "wide" not in finding.found
    assert "narrow" not in finding.found


def test_diagnostics_import_neither_tensorflow_nor_matplotlib() -> None:
    program = (
        "import sys; import bayesinn.diagnostics;"
        "print([name for name in ('tensorflow', 'keras', 'matplotlib', 'jinja2') if name in "
        "sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_integers_and_single_precision_are_accepted() -> None:
    truth, draws, prior = normal(size=100, draws=50)
    as_single = [
        {name: value.astype(np.float32) for name, value in arrays.items()}
        for arrays in (truth, draws, prior)
    ]
    assert diagnose_arrays(Evidence(*as_single))["recovery"].truth.dtype == np.float64


def test_what_fails_is_named_and_what_was_not_run_is_said() -> None:
    given = case(size=400)
    low = given.log_prob[0], given.log_prob[1] - 1.0
    result = diagnose_arrays(Evidence(given.truth, given.draws, given.truth, log_likelihood=low))
    found = result.verdict.loc["fit to the data", "found"]
    assert found.startswith("log likelihood: the truth explains the data better than draws, by 1")
    assert found in repr(result)
    assert "joint coverage and sharpness: not run, no log densities were given." in repr(result)
    assert (
        "L-C2ST, posterior SBC, observation and predictive: not run, no observation was given."
        in repr(result)
    )
    assert result["joint_coverage"] is None
    with pytest.raises(InputError, match=r"(?s)Result 'typo'.*one of \['sbc', .*'typo'"):
        _ = result["typo"]
    assert pickle.loads(pickle.dumps(result.results)).keys() == result.results.keys()
