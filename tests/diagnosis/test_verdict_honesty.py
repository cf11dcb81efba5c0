"""What a verdict must not say: more than was measured, or the wrong remedy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import bayesinn as bi
from bayesinn.diagnosis import Check, Evidence, Outcome, diagnose_arrays
from bayesinn.diagnosis.check import registered_checks
from bayesinn.diagnosis.checks import judge_observation
from bayesinn.diagnosis.methods import describe_verdict
from bayesinn.diagnosis.verdict import Finding, Verdict
from bayesinn.diagnostics.calibration import (
    PosteriorSBCResult,
    compare_with_uniform,
    dependence,
    posterior_sbc,
)
from bayesinn.diagnostics.coverage import joint_coverage
from bayesinn.diagnostics.deviation import Deviation, shift_and_spread
from bayesinn.diagnostics.information import information
from bayesinn.diagnostics.likelihood import SharpnessResult, compared_sharpness, sharpness
from bayesinn.diagnostics.predictive import predictive_checks
from bayesinn.posterior.typicality import Typicality
from tests.diagnostics.faults import case

tfd = tfp.distributions
ALL = ("all parameters",)
BY_NAME = {check.name: check for check in registered_checks()}


def finding(result: object, name: str) -> Finding:
    outcome = judge_observation(result) if name == "observation" else Outcome.of(result)
    return Finding(BY_NAME[name], outcome, bi.diagnosis.Tolerances())


def own_finding(error: Deviation, **others: float) -> Finding:
    own = Check(name="own", group="calibration", run=print)
    return Finding(own, Outcome(result=0, errors=[error], **others), bi.diagnosis.Tolerances())


def actions(one: Finding, simulations: int) -> list[str]:
    return verdict([one], simulations).actions


def verdict(findings: list[Finding], simulations: int = 1_000) -> Verdict:
    return Verdict(
        findings=findings,
        parameters=("a", "b"),
        tolerances=bi.diagnosis.Tolerances(),
        size=(simulations, 100),
    )


def test_bounds_that_only_draws_bring_together_ask_for_draws() -> None:
    apart = SharpnessResult(ALL, np.full(1_000, 0.05), np.full(1_000, 0.25), 2)
    assert np.isinf(apart.deviations[0].simulations_needed(0.2))
    assert actions(finding(apart, "sharpness"), 1_000) == [
        "The bounds of an error are too far apart: take 400 draws."
    ]
    noise = np.tile([-3.0, 3.0], 500)
    near = SharpnessResult(ALL, 0.09 + noise, 0.11 + noise, 2)
    # Half the interval, 0.186 without the gap, must become as wide as the distance from the
    # tolerance, 0.1 - 0.01.
    assert near.deviations[0].simulations_needed(0.2) == pytest.approx(
        1_000 * (0.186 / 0.09) ** 2, rel=0.01
    )
    # Not where the error is as large as its tolerance, with bounds that are near.
    close = SharpnessResult(ALL, 0.1995 + 0.07 * noise, 0.2 + 0.07 * noise, 2)
    assert "about as large as their tolerances" in actions(finding(close, "sharpness"), 1_000)[0]
    # One data set whose draws are all impossible leaves no upper bound: that is no reason to pass.
    impossible = SharpnessResult(
        ALL, np.full(1_000, 0.05), np.append(np.full(999, 0.06), np.inf), 2
    )
    assert finding(impossible, "sharpness").grade == "undecided"
    assert "take 400 draws" in actions(finding(impossible, "sharpness"), 1_000)[0]


def test_a_lower_bound_is_told_by_its_interval() -> None:
    generator = np.random.default_rng(1)
    found = compared_sharpness(np.zeros(400), 0.03 + generator.normal(size=400), 2)
    assert found.summary == "at least 0 nats missing"


def test_an_error_without_upper_bound_is_at_least_its_lower_one() -> None:
    apart = SharpnessResult(ALL, np.full(1_000, 0.05), np.append(np.full(999, 0.06), np.inf), 2)
    assert finding(apart, "sharpness").found == "missing sharpness at least 0.05 nats"


def test_sharpness_is_not_judged_without_the_likelihood_of_many_data_sets() -> None:
    generator = np.random.default_rng(1)
    truth = {"a": generator.normal(size=500)}
    draws = {"a": generator.normal(size=(500, 100))}
    density = stats.norm.logpdf(truth["a"]), stats.norm.logpdf(draws["a"])
    likelihood = np.zeros(500), np.zeros((500, 100))
    likelihood[0][:6] = -np.inf
    parts = {"log_prob": density, "prior_log_prob": density}
    given = Evidence(truth, draws, truth, log_likelihood=likelihood, **parts)
    told = diagnose_arrays(given).left_out[BY_NAME["sharpness"]]
    assert told == "the likelihood is zero at 6 of 500 truths"

    # A hundredth may be impossible; these are left out, and counted.
    likelihood[0][5] = 0.0
    given = Evidence(truth, draws, truth, log_likelihood=likelihood, **parts)
    found = diagnose_arrays(given)["sharpness"]
    assert (found.left_out, len(found.at_least)) == (5, 495)

    larger = density[0].copy()
    larger[0] = -np.inf
    given = Evidence(truth, draws, truth, other_log_prob=larger, **parts)
    told = diagnose_arrays(given).left_out[BY_NAME["sharpness"]]
    assert told == "the density of the longer or larger fit is not finite at 1 of 500 truths"


def test_few_simulations_are_said_to_be_few() -> None:
    generator = np.random.default_rng(1)
    truth = generator.normal(size=50)
    draws = generator.normal(size=(50, 100))
    text = diagnose_arrays(Evidence({"a": truth}, {"a": draws}, {"a": 3.0 * truth}, seed=1)).text
    assert "more simulations would tell" in text
    assert "about as large as their tolerances" not in text


def test_data_sets_that_cost_too_much_are_not_asked_for_again_and_again() -> None:
    ends = (np.array([end]) for end in (0.02, -0.05, 0.09))
    error = Deviation("shift", "sd", "shift", ("a",), *ends, 500)
    free = own_finding(error)
    # 980 are needed.
    affordable = own_finding(error, most=1_000)
    limited = own_finding(error, most=900)
    told = (
        "As densities are integrals, own uses 900 data sets at most: train for longer, or declare "
        "bi.diagnosis.Tolerances(...)."
    )
    more = "About 480 more simulations would tell: take 980 simulations."
    assert actions(affordable, 500) == [more]
    assert actions(limited, 500) == [told]
    # Other checks still are worth them.
    both = verdict([limited, free], 500)
    assert both.actions == [f"{told} {more}"]
    assert both.text.startswith("500 simulated data sets with 100 posterior draws each are too few")
    assert verdict([limited], 500).text.startswith("It can't be told whether all errors are within")


def test_too_few_are_only_said_where_more_would_tell() -> None:
    ends = (np.array([end]) for end in (0.07, 0.06, 0.08))
    near = Deviation("shift", "sd", "shift", ("a",), *ends, 10_000)
    one = verdict([own_finding(near)], 10_000)
    assert one.text == (
        "It can't be told whether all errors are within tolerance, over 10,000 simulated data sets "
        "with 100 posterior draws each. Some errors are about as large as their tolerances: train "
        "for longer, or declare bi.diagnosis.Tolerances(...)."
    )
    assert "too few" not in describe_verdict(one)
    assert "undecided: it can't be told whether errors are within" in describe_verdict(one)


def test_errors_without_upper_bound_are_not_said_to_be_within() -> None:
    ends = (np.array([end]) for end in (0.01, 0.0, 0.02))
    bounded = Deviation("shift", "sd", "shift", ("a",), *ends, 10_000)
    within = own_finding(bounded)
    generator = np.random.default_rng(1)
    least = compared_sharpness(np.zeros(400), 0.03 + generator.normal(size=400), 2)
    each = "The 95 % interval of each error lies within its tolerance"
    assert verdict([within]).text.startswith(each)
    both = verdict([within, finding(least, "sharpness")])
    assert both.grade == "within"
    assert both.text.startswith("The 95 % interval of each error that has an upper bound lies")


def test_an_own_check_that_can_not_decide_asks_for_no_simulations() -> None:
    own = Check(name="own", group="calibration", run=print)
    one = Finding(own, Outcome(result=0, grade="undecided"), bi.diagnosis.Tolerances())
    assert actions(one, 1_000) == []


def test_posterior_sbc_without_power_vouches_for_nothing() -> None:
    generator = np.random.default_rng(1)
    truth = {"a": generator.normal(size=5_000)}
    proposals = {"a": 10.0 + generator.normal(size=(5_000, 50))}
    blind = posterior_sbc(truth, proposals, np.zeros(5_000), np.full((5_000, 50), -60.0), seed=1)
    assert blind.passed
    assert finding(blind, "posterior SBC").grade == "no upper bound"
    assert "weights leave 1 proposals" in blind.summary


@pytest.mark.parametrize("effective", [2.0, 4.0])
def test_posterior_sbc_allows_its_tolerance_at_any_power(effective: float) -> None:
    """Off by 3 points, where 5 are allowed: with few proposals left, none were allowed."""
    size = 10_000
    even = (np.arange(size) + 0.5) / size
    ranks = (even - 0.12 * even * (1.0 - even))[:, None]
    tested = compare_with_uniform(("a",), ranks, 0.99)
    impossible = np.zeros(size, bool)
    result = PosteriorSBCResult(*tested, effective=np.full(size, effective), impossible=impossible)
    found = dataclasses.replace(finding(result, "posterior SBC"), family=58.0)
    assert found.p_value < 1e-4
    assert found.grade == ("within" if effective > 3.0 else "no upper bound")
    far = compare_with_uniform(("a",), even[:, None] ** 2, 0.99)
    wrong = PosteriorSBCResult(*far, effective=np.full(size, effective), impossible=impossible)
    outside = dataclasses.replace(finding(wrong, "posterior SBC"), family=58.0)
    assert outside.grade == "outside"
    few = compare_with_uniform(("a",), np.sqrt(even)[:, None], 0.99)
    lacking = PosteriorSBCResult(*few, effective=np.full(size, effective), impossible=impossible)
    found = [outside.found, finding(lacking, "posterior SBC").found]
    words = ["many", "few"] if effective > 3.0 else ["not uniform", "not uniform"]
    assert [word in text for word, text in zip(words, found, strict=True)] == [True, True]


def test_tarp_does_not_deny_the_prior() -> None:
    generator = np.random.default_rng(1)
    truth = generator.normal(size=4_000)
    draws = generator.normal(size=(4_000, 100))
    points = {"a": 0.01 * generator.normal(size=4_000)}
    found = diagnose_arrays(
        Evidence({"a": truth}, {"a": draws}, {"a": truth}, references=points, seed=1)
    )
    assert not any("prior" in line and "just" in line for line in found.trusted)


def test_densities_of_zero_are_the_worst_and_no_error() -> None:
    given = case("none", size=500)
    of_truth, of_draws = (value.copy() for value in given.log_prob)
    of_truth[0] = -np.inf
    assert joint_coverage(of_truth, of_draws, seed=1).values[0, 0] > 0.99
    draws = of_draws.shape[1]
    zeros = np.zeros_like(of_truth), np.zeros_like(of_draws)
    prior = (
        np.zeros_like(of_truth),
        np.where(np.arange(draws) == 0, -np.inf, np.zeros_like(of_draws)),
    )
    outside = of_draws.copy()
    outside[:, 0] = -np.inf
    found = sharpness(zeros, prior, (of_truth, outside), 2)
    assert found.at_least[0] == pytest.approx(np.log(draws + 1.0))
    assert np.isfinite(found.at_least).all()
    # A likelihood that could not be computed is no error of the posterior.
    zero = np.where(np.arange(500) == 1, -np.inf, 0.0), np.zeros_like(of_draws)
    assert len(sharpness(zero, zeros, given.log_prob, 2).at_least) == 499


def test_the_p_value_of_predictive_checks_is_one_for_all() -> None:
    generator = np.random.default_rng(1)
    found = predictive_checks(
        {"y": generator.normal(size=(8_000, 20))}, {"y": generator.normal(size=20)}
    )
    expected = min(1.0, len(found.p_value) * found.p_value.min())
    assert finding(found, "predictive").p_value == found.family_p_value == expected


def test_the_reason_of_what_was_not_run_is_true() -> None:
    given = case("none", size=200)
    evidence = Evidence(given.truth, given.draws, given.truth, log_likelihood=given.log_prob)
    assert "log likelihood is known" not in repr(diagnose_arrays(evidence))


def test_what_knows_nothing_is_not_within_because_the_observation_is_odd() -> None:
    odd = finding(Typicality(0.001, "values together"), "observation")
    generator = np.random.default_rng(1)
    truth, prior = ({name: generator.normal(size=2_000) for name in "ab"} for _ in range(2))
    draws = {name: generator.normal(size=(2_000, 50)) for name in "ab"}
    findings = [odd, finding(information(truth, draws, prior), "information gain")]
    text = verdict(findings).text
    assert "no more than the prior" in text
    assert "within" not in text


def test_correlations_of_a_correct_posterior_are_right_with_few_draws() -> None:
    given = case("none", size=20_000, draws=5)
    error = dependence(given.truth, given.draws, seed=1).deviations[0]
    assert error.lower[0] < 0.0 < error.upper[0]


def test_pairs_that_were_not_tested_are_not_vouched_for() -> None:
    given = case("none", size=100, draws=20)
    tested = dependence(given.truth, given.draws, seed=1)
    assert finding(tested, "dependence").meaning == "Correlations between pairs of parameters."
    part = finding(dataclasses.replace(tested, untested=5), "dependence").meaning
    assert part.endswith(
        " (5 pairs of weaker correlations among draws and among truths are not tested)."
    )


def test_intervals_of_the_spread_hold_with_few_simulations() -> None:
    columns = tuple("abcdefghij")
    outside = 0
    for seed in range(400):
        values = np.random.default_rng(seed).random((20, 10))
        spread = shift_and_spread(values, columns)[1]
        outside += "outside" in bi.diagnosis.Tolerances().grades(spread)
    # A rate of 5 % has a standard deviation of 4.4.
    assert outside <= 32


def test_too_few_simulations_call_no_observation_typical() -> None:
    few = finding(Typicality(0.5, "values together", smallest=0.02), "observation")
    assert few.grade == ""
    assert "too few simulations" in few.found
    assert (
        finding(Typicality(0.5, "values together", smallest=0.001), "observation").grade == "within"
    )


def test_many_statistics_get_the_draws_to_flag_them() -> None:
    @bi.simulator(prior={"a": tfd.Normal(0.0, 1.0)}, name="six channels")
    def channels(parameters, seed):
        return {
            "x": parameters["a"][:, None, None]
            + tf.random.stateless_normal((len(parameters["a"]), 12, 6), seed)
        }

    posterior = bi.AmortizedPosterior(channels, flow=bi.flows.coupling(blocks=2, hidden=(8,)))
    posterior.fit(steps=10, batch_size=32, seed=1, progress=False)
    observed = {"x": channels.sample(1, seed=3)["x"][0]}
    found = bi.diagnose(
        posterior, simulations=100, draws=20, seed=1, observed=observed, progress=False
    )["predictive"]
    assert len(found.p_value) > 40
    assert len(found.replicated) >= found.draws_needed
