"""The verdict: how wrong a posterior is, whether enough was seen, and what it tells its reader."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.diagnosis import Check, Diagnosis, Evidence, Outcome, diagnose_arrays
from bayesinn.diagnosis.evidence import part_of
from bayesinn.diagnosis.methods import describe_verdict
from bayesinn.diagnosis.verdict import Finding, Verdict
from bayesinn.diagnostics.deviation import Deviation
from bayesinn.testing import Conjugate
from bayesinn.testing.conjugate import Fault
from tests.diagnostics.faults import case, named


def diagnosis(fault: Fault, *, size: int = 1_000, seed: int = 1, **options) -> Diagnosis:
    given = case(fault, modes=2 if fault == "flipped mode" else 1, size=size, draws=200, seed=seed)
    both = np.concatenate([given.theta[:, None], given.raw], axis=1)
    exact = Conjugate(modes=given.posterior.modes)
    prior = exact.prior_log_prob(both)
    likelihood = exact.log_prob(both, given.data) - prior
    evidence = Evidence(
        given.truth,
        given.draws,
        named(np.random.default_rng([seed, 9]).normal(size=(5_000, 2))),
        seed=seed,
        log_prob=given.log_prob,
        prior_log_prob=(prior[:, 0], prior[:, 1:]),
        log_likelihood=(likelihood[:, 0], likelihood[:, 1:]),
        references=given.rough_estimates,
    )
    return diagnose_arrays(evidence, **options)


def test_a_correct_posterior_is_within_tolerance_once_enough_was_looked_at() -> None:
    # Seeds 1, 2, 3 are within.
    many = diagnosis("none", size=15_000)
    assert many.grade == "within"
    verdict = many
    assert verdict.grade == "within"
    assert "interval of each error lies within its tolerance" in verdict.text
    assert any("intervals of single parameters" in line for line in verdict.trusted)
    assert not verdict.doubtful
    assert not verdict.actions
    few = diagnosis("none")
    assert few.grade == "undecided"
    assert any("more simulations would tell: take " in line for line in few.actions)


def test_the_number_of_simulations_that_would_tell() -> None:
    one = np.ones(1)
    deviation = Deviation(
        "shift", "sd", "shift", ("a",), 0.03 * one, -0.03 * one, 0.09 * one, 1_000
    )
    # Half the interval, 0.06, must become as wide as the distance from the tolerance.
    assert deviation.simulations_needed(0.07) == pytest.approx(1_000 * (0.06 / 0.04) ** 2)
    # What is wider than the tolerance must first become half as wide as that, wherever the estimate
    # lies.
    assert deviation.simulations_needed(0.05) == pytest.approx(1_000 * (0.06 / 0.025) ** 2)
    near = dataclasses.replace(deviation, estimate=0.07 * one, lower=0.01 * one, upper=0.13 * one)
    assert np.isinf(near.simulations_needed(0.07))
    assert deviation.text(0) == "a: too high, by 0.03 (0 to 0.09) sd"


@pytest.mark.parametrize(
    ("simulations", "needed"), [(500, 2_000), (2_000, 32_000), (10_000, 96_000)]
)
def test_checks_that_take_a_part_of_the_simulations_need_more_of_them(
    simulations: int, needed: int
) -> None:
    size = part_of(simulations)
    one = np.ones(1)
    error = Deviation("gap", "nats", "nats", ("a",), 0.05 * one, -0.05 * one, 0.15 * one, size)
    own = Check(name="own", group="calibration", run=print)
    findings = [
        Finding(own, Outcome(result=0, errors=[error], part=part), bi.diagnosis.Tolerances())
        for part in (False, True)
    ]
    whole, part = (
        Verdict(
            findings=[finding],
            parameters=("a",),
            tolerances=bi.diagnosis.Tolerances(),
            size=(simulations, 200),
        )
        for finding in findings
    )
    # Half the interval, 0.1, must become as wide as the distance from the tolerance, 0.05.
    assert whole.simulations_needed == pytest.approx(4 * simulations)
    assert part.simulations_needed == pytest.approx(needed)
    assert part_of(needed) == 4 * size


@pytest.mark.parametrize(
    ("fault", "guilty"),
    [
        ("too wide", "SBC"),
        ("too narrow", "SBC"),
        ("shifted", "SBC"),
        ("wrong correlation", "dependence"),
        ("prior", "TARP"),
        ("flipped mode", "SBC"),
    ],
)
def test_every_fault_is_outside_at_a_thousand_simulations(fault: Fault, guilty: str) -> None:
    # paper_results/diagnostics_power: in more than 90 % of repetitions.
    found = diagnosis(fault)
    assert found.grade == "outside"
    assert guilty in found.outside
    verdict = found
    assert {line.partition(":")[0] for line in verdict.doubtful} >= set(found.outside)
    assert verdict.actions
    assert all(
        line.endswith(".") for line in (*verdict.trusted, *verdict.doubtful, *verdict.actions)
    )


def test_readings_name_direction_and_size() -> None:
    assert "first: draws too wide, by 1" in repr(diagnosis("too wide"))
    assert "draws too narrow, by 1" in repr(diagnosis("too narrow"))
    assert "first: draws too high, by 0.2" in repr(diagnosis("shifted"))
    assert "correlation of the draws too high, by 0." in repr(diagnosis("wrong correlation"))
    assert "the truth explains the data better than draws, by 3." in repr(diagnosis("prior"))


def test_the_headline_is_made_of_sentences() -> None:
    found = diagnosis("shifted")
    # The name of a parameter stays as it is.
    assert "each. first: draws too high, by" in found.text
    # An error with a wider interval, which is undecided, is not the one that is told.
    ends = {"lower": np.array([0.1, -9.0]), "upper": np.array([0.5, 9.0])}
    wide = dataclasses.replace(found.findings[0].result.deviations[0], **ends)
    outcome = dataclasses.replace(found.findings[0].outcome, errors=[wide])
    finding = dataclasses.replace(found.findings[0], outcome=outcome)
    assert list(finding.errors["grade"]) == ["undecided", "outside"]
    text = dataclasses.replace(found, findings=[finding]).text
    assert text.endswith(f"each. {finding.found}.")
    joint = dataclasses.replace(wide, columns=("joint", "other"))
    outcome = dataclasses.replace(outcome, errors=[joint])
    assert dataclasses.replace(finding, outcome=outcome).sentence.startswith("Draws too ")


def test_sharpness_is_the_divergence_from_the_exact_posterior() -> None:
    found = diagnosis("wrong correlation", size=4_000)["sharpness"].deviations[0]
    # Of a normal posterior of correlation -4 / sqrt(30) from one with the same marginals and none.
    exact = -0.5 * np.log(1.0 - 16.0 / 30.0)
    assert found.lower[0] < exact < found.upper[0]
    assert found.upper[0] - found.lower[0] < 0.15


def test_intervals_of_a_shifted_posterior_are_not_trusted_although_coverage_is_within() -> None:
    verdict = diagnosis("shifted", tolerances=bi.diagnosis.Tolerances(coverage=15.0))
    assert not any("intervals of single parameters" in line for line in verdict.trusted)
    assert verdict.doubtful[0].startswith("SBC: first: draws too high")


def test_what_knows_nothing_never_reads_as_fine() -> None:
    # The posterior of parameters that the data say nothing about: the prior, correctly.
    generator = np.random.default_rng(1)
    truth = generator.normal(size=20_000)
    prior = generator.normal(size=20_000)
    draws = generator.normal(size=(20_000, 100))
    found = diagnose_arrays(Evidence({"q": truth}, {"q": draws}, {"q": prior}, seed=1))
    assert not found.outside
    assert found.grade == "undecided"
    assert "no more than the prior" in found.text
    # One of two parameters: within tolerance, and said.
    data = truth + generator.normal(size=20_000)
    known = data[:, None] / 2.0 + np.sqrt(0.5) * generator.normal(size=(20_000, 100))
    other = generator.normal(size=20_000)
    truths = {"k": truth, "q": other}
    both = {"k": known, "q": draws}
    found = diagnose_arrays(Evidence(truths, both, {"k": prior, "q": prior[::-1]}, seed=1))
    assert found.grade == "within"
    assert "knows nothing about q" in found.text
    assert "knows nothing about q" in repr(found)


def phases(log_ratio: float | None) -> Diagnosis:
    """Two phases whose sum is known: nothing is known about either by itself."""
    generator = np.random.default_rng(1)
    first, second = generator.random((2, 2_000))
    drawn = generator.random((2_000, 50))
    truth = {"first": first, "second": second}
    draws = {"first": drawn, "second": ((first + second)[:, None] - drawn) % 1.0}
    prior = {name: generator.random(5_000) for name in truth}
    parts = {}
    if log_ratio is not None:
        density = log_ratio + 0.01 * generator.normal(size=(2_000, 51))
        parts["log_prob"] = density[:, 0], density[:, 1:]
        parts["prior_log_prob"] = np.zeros(2_000), np.zeros((2_000, 50))
    return diagnose_arrays(Evidence(truth, draws, prior, seed=1, **parts))


def test_what_is_known_together_is_no_prior() -> None:
    known = phases(2.5)
    assert known.unlearnt == ("first", "second")
    assert not known.knows_nothing
    assert "no more than the prior" not in known.text
    assert "first and second, each by itself: it is about" in " ".join(known.doubtful)
    assert "known about the parameters together" in " ".join(known.doubtful)
    # Densities that are those of the prior, and none.
    assert phases(0.0).text.startswith("The posterior is no more than the prior.")
    single = phases(None)
    assert single.knows_nothing
    assert single.text.startswith("About each parameter by itself, the posterior is no more than")
    # Of the checks, the paper's paragraph needs the one that tells.
    told = [
        describe_verdict(dataclasses.replace(one, findings=one.findings[-1:]))
        for one in (single, known)
    ]
    assert "was undecided: about each parameter by itself, it is no more than the prior" in told[0]
    assert "no more than the prior" not in told[1]


def test_tolerances_are_declared_and_checked() -> None:
    assert (
        diagnosis(
            "too wide",
            tolerances=bi.diagnosis.Tolerances(
                shift=1.0, spread=30.0, coverage=30.0, correlation=1.0
            ),
        ).grade
        == "within"
    )
    with pytest.raises(InputError, match=r"(?s)Tolerance 'shift'.*above 0.*-1"):
        bi.diagnosis.Tolerances(shift=-1)


def test_a_larger_fit_bounds_what_is_missing_from_below() -> None:
    wrong = case("wrong correlation", size=2_000)
    better = Conjugate().log_prob(wrong.theta[:, None], wrong.data)[:, 0]

    def compare(other: np.ndarray) -> Diagnosis:
        evidence = Evidence(
            wrong.truth, wrong.draws, wrong.truth, log_prob=wrong.log_prob, other_log_prob=other
        )
        return diagnose_arrays(evidence)

    found = compare(better)
    assert "sharpness" in found.outside
    assert np.isinf(found.errors.query("check == 'sharpness'")["upper"]).all()
    # A bound from below says nothing of what else is missing.
    assert compare(wrong.log_prob[0]).verdict.loc["sharpness", "grade"] == "no upper bound"


def test_advice_knows_which_other_checks_failed() -> None:
    blind = case("prior")

    def found(width: float) -> Diagnosis:
        draws = {name: width * value for name, value in blind.draws.items()}
        return diagnose_arrays(
            Evidence(blind.truth, draws, blind.truth, references=blind.rough_estimates)
        )

    ignores = found(1.0)
    narrow = found(0.3)
    assert ignores.outside == ("TARP",)
    assert {"SBC", "TARP"} <= set(narrow.outside)
    # Only what passes SBC, and still fails TARP, ignores the data.
    assert any("summary network" in line for line in ignores.actions)
    assert not any("summary network" in line for line in narrow.actions)
    assert not any(line.startswith("If ") for found in (ignores, narrow) for line in found.actions)
