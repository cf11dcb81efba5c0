"""What the report tells its reader to trust, and what to do."""

from __future__ import annotations

import numpy as np

from bayesinn.testing import Conjugate
from bayesinn.workflow import Diagnosis, Evidence, diagnose_arrays
from tests.diagnostics.faults import case


def diagnosis(fault: str) -> Diagnosis:
    problem = Conjugate(fault)
    theta, data = problem.simulate(1000, seed=1)
    draws = problem.sample(data, draws=100, seed=2)
    names = ("a", "b")
    split = ({name: values[..., index] for index, name in enumerate(names)} for values in (theta, draws, theta))
    return diagnose_arrays(Evidence(*split, seed=1))


def test_a_correct_posterior_is_trusted() -> None:
    verdict = diagnosis("none").advice()
    assert verdict.passed
    assert any("intervals of single parameters" in line for line in verdict.trusted)
    assert not verdict.doubtful
    assert not verdict.actions


def test_intervals_of_a_shifted_posterior_are_not_trusted_although_coverage_passes() -> None:
    shifted = diagnosis("shifted")
    assert shifted.verdict.loc["coverage", "verdict"] == "passed"
    verdict = shifted.advice()
    assert not verdict.passed
    assert not any("intervals of single parameters" in line for line in verdict.trusted)
    assert verdict.doubtful[0].startswith("SBC failed: a")


def test_every_failure_is_named_with_a_remedy() -> None:
    narrow = diagnosis("too narrow")
    verdict = narrow.advice()
    assert {line.split(" failed")[0] for line in verdict.doubtful if " failed" in line} == set(narrow.failed)
    assert verdict.actions
    assert np.all([line.endswith(".") for line in (*verdict.trusted, *verdict.doubtful, *verdict.actions)])


def test_advice_knows_which_other_checks_failed() -> None:
    blind = case("prior")

    def found(width: float) -> Diagnosis:
        draws = {name: width * value for name, value in blind.draws.items()}
        return diagnose_arrays(Evidence(blind.truth, draws, blind.truth, references=blind.rough_estimates))

    ignores, narrow = found(1.0), found(0.3)
    assert ignores.failed == ("TARP",)
    assert {"SBC", "TARP"} <= set(narrow.failed)
    # Only what passes SBC, and still fails TARP, ignores the data.
    assert any("summary network" in line for line in ignores.advice().actions)
    assert not any("summary network" in line for line in narrow.advice().actions)
    assert not any(line.startswith("If ") for found in (ignores, narrow) for line in found.advice().actions)
