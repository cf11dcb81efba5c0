"""What the report tells its reader to trust, and what to do."""

from __future__ import annotations

import numpy as np

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import Diagnosis, diagnose_arrays
from bayesinn.testing import Conjugate
from bayesinn.workflow.report.advice import advice


def diagnosis(fault: str) -> Diagnosis:
    problem = Conjugate(fault)
    theta, data = problem.simulate(1000, seed=1)
    draws = problem.sample(data, draws=100, seed=2)
    names = ("a", "b")
    split = ({name: values[..., index] for index, name in enumerate(names)} for values in (theta, draws, theta))
    return diagnose_arrays(*split, Labels(), {}, seed=1)


def test_a_right_posterior_is_trusted() -> None:
    verdict = advice(diagnosis("none"))
    assert verdict.passed
    assert any("intervals of single parameters" in line for line in verdict.trusted)
    assert not verdict.doubtful
    assert not verdict.actions


def test_intervals_of_a_shifted_posterior_are_not_trusted_although_coverage_passes() -> None:
    shifted = diagnosis("shifted")
    assert shifted.verdict.loc["coverage", "verdict"] == "passed"
    verdict = advice(shifted)
    assert not verdict.passed
    assert not any("intervals of single parameters" in line for line in verdict.trusted)
    assert verdict.doubtful[0].startswith("SBC failed: a")


def test_every_failure_is_named_with_a_remedy() -> None:
    narrow = diagnosis("too narrow")
    verdict = advice(narrow)
    assert {line.split(" failed")[0] for line in verdict.doubtful if " failed" in line} == set(narrow.failed)
    assert verdict.actions
    assert np.all([line.endswith(".") for line in (*verdict.trusted, *verdict.doubtful, *verdict.actions)])
