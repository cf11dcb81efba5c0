"""A verdict condemns only what it is sure of: jointly over all checks, columns and kinds of error."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.cli.long_commands import command_with
from bayesinn.core.errors import InputError
from bayesinn.core.progress import Progress
from bayesinn.diagnosis import Check, Evidence, Outcome, diagnose_arrays, evidence as gathering
from bayesinn.diagnosis.check import FAMILY_ERROR, registered_checks
from bayesinn.diagnosis.checks import judge_observation
from bayesinn.diagnosis.diagnosis import _call
from bayesinn.diagnosis.verdict import Finding, Verdict
from bayesinn.diagnostics.deviation import Deviation
from bayesinn.posterior.typicality import Typicality
from bayesinn.simulation.simulator import simulations_per_second
from bayesinn.testing import Conjugate
from tests.diagnostics.faults import case, named

tfd = tfp.distributions
BY_NAME = {check.name: check for check in registered_checks()}


def evidence(size: int, seed: int, fault: str = "none", draws: int = 20) -> Evidence:
    given = case(fault, size=size, draws=draws, seed=seed)
    both = np.concatenate([given.theta[:, None], given.raw], axis=1)
    prior = Conjugate().prior_log_prob(both)
    likelihood = Conjugate().log_prob(both, given.data) - prior
    codes = np.random.default_rng([seed, 8]).normal(size=(size, draws, 2))
    return Evidence(
        given.truth,
        given.draws,
        named(np.random.default_rng([seed, 9]).normal(size=(200, 2))),
        seed=seed,
        log_prob=given.log_prob,
        prior_log_prob=(prior[:, 0], prior[:, 1:]),
        log_likelihood=(likelihood[:, 0], likelihood[:, 1:]),
        references=given.rough_estimates,
        latent=(given.posterior.latent(given.theta, given.data), codes),
    )


@pytest.mark.parametrize(("size", "repetitions"), [(20, 60), (50, 30), (100, 20)])
def test_few_simulations_condemn_no_correct_posterior(size: int, repetitions: int) -> None:
    grades = [diagnose_arrays(evidence(size, seed)).grade for seed in range(repetitions)]
    assert set(grades) == {"undecided"}


def test_few_simulations_do_condemn_what_is_far_off() -> None:
    # For the prior also with seeds 2 and 3; the correlation is found with 1 and 3.
    assert {"TARP", "fit to the data"} <= set(
        diagnose_arrays(evidence(50, 1, "prior", draws=100)).outside
    )
    assert diagnose_arrays(evidence(50, 1, "wrong correlation", draws=100)).outside == (
        "dependence",
    )


def test_checks_columns_and_measures_share_one_probability() -> None:
    found = diagnose_arrays(evidence(100, 1))
    measures = [(item, deviation) for item in found.findings for deviation in item.outcome.errors]
    assert sum(item.error(deviation.measure) for item, deviation in measures) == pytest.approx(
        FAMILY_ERROR
    )
    sbc = found.findings[0]
    assert sbc.error("shift") > sbc.error("one-sided coverage error") > 0.0
    # A finding by itself has all of it.
    alone = Finding(sbc.check, sbc.outcome, sbc.tolerances)
    errors = [alone.error(deviation.measure) for deviation in alone.outcome.errors]
    assert sum(errors) == pytest.approx(FAMILY_ERROR)


def test_of_many_columns_each_has_its_part() -> None:
    ends = [np.tile(value, 100) for value in (0.5, 0.3, 0.7)]

    def graded(columns: int) -> np.ndarray:
        p_values = np.full(columns, 5e-4)
        parts = (end[:columns] for end in ends)
        given = "own", "", 0.1, tuple(map(str, range(columns))), *parts, 1_000
        return bi.diagnosis.Tolerances().grades(
            Deviation(*given, beyond=lambda tolerance: p_values)
        )

    assert set(graded(10)) == {"outside"}
    assert set(graded(100)) == {"undecided"}


@dataclass(frozen=True)
class Own(bi.diagnostics.Tested):
    """A test without deviations."""

    simulations: int = 100


def test_tests_without_deviations_share_it_too() -> None:
    check = Check(name="own", group="calibration", run=print)

    def grade(p_value: float, family: float) -> str:
        result = Own(("a",), np.array([p_value]), 0.99)
        return Finding(check, Outcome.of(result), bi.diagnosis.Tolerances(), family).grade

    assert grade(0.5, 1.0) == ""
    assert grade(5e-3, 1.0) == "outside"
    assert grade(5e-3, 50.0) == "undecided"
    assert grade(1e-4, 50.0) == "outside"


def test_an_observation_that_is_somewhat_odd_is_flagged() -> None:
    def found(p_value: float) -> Finding:
        result = Typicality(p_value, "values together", smallest=1.0 / 2049.0)
        outcome = judge_observation(result)
        return Finding(BY_NAME["observation"], outcome, bi.diagnosis.Tolerances(), family=60.0)

    assert found(0.02).grade == "within"
    assert found(1.0 / 2049.0).grade == "outside"
    odd = found(0.005)
    assert odd.grade == "flagged"
    verdict = Verdict(
        findings=[odd], parameters=("a",), tolerances=bi.diagnosis.Tolerances(), size=(1_000, 100)
    )
    assert "not to be trusted" in verdict.text
    assert verdict.doubtful == [
        "observation: unlike the simulations in its values together, p = 0.005."
    ]


@pytest.mark.parametrize("simulations", [2, 5, 19])
def test_fewer_simulations_than_checks_can_take_are_refused(simulations: int) -> None:
    posterior = bi.AmortizedPosterior(bi.get_simulator("linear"))
    with pytest.raises(InputError, match=r"(?s)'simulations'.*of 20 or more.*pass 10000"):
        bi.diagnose(posterior, simulations=simulations, progress=False)


@pytest.mark.parametrize(
    ("speed", "observed", "expected"),
    [
        (0.5, False, 1_000),
        (20.0, False, 3_000),
        (40.3, False, 6_000),
        (1e6, False, 10_000),
        (60.0, True, 3_300),
    ],
)
def test_the_default_follows_the_speed_of_the_simulator(
    monkeypatch, capsys, speed, observed, expected
) -> None:
    monkeypatch.setattr(gathering, "simulations_per_second", lambda *_: speed)

    @bi.simulator(prior={"a": tfd.Normal(0.0, 1.0)}, engine="python", workers=1)
    def slow(parameters, generator):
        return {"y": parameters["a"] + generator.normal(size=2)}

    with Progress("diagnosing") as progress:
        assert gathering.affordable(slow, 0, observed, progress) == expected
    assert f"{expected:,} simulated data sets" in capsys.readouterr().out
    assert (
        gathering.affordable(bi.get_simulator("linear"), 0, observed, Progress("", shown=False))
        == 10_000
    )


def test_the_speed_is_that_of_batches_that_take_long_enough(monkeypatch) -> None:
    sizes = []
    clock = [0.0]

    class Timed:
        def draw(self, size: int, seed: int, stream: str) -> None:
            bi.core.seeds.entropy(seed, stream)
            sizes.append(size)
            # Processes start in five seconds, then 100 simulations take one.
            clock[0] += size / 100.0 + 5.0 * (len(sizes) == 1)

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    assert simulations_per_second(Timed(), 0) == pytest.approx(100.0)
    assert sizes == [4, 4, 16, 64, 256]


def test_what_decides_names_the_call_or_the_command() -> None:
    deviation = Deviation(
        "shift", "sd", "shift", ("a",), *(np.array([end]) for end in (0.0, -0.1, 0.1)), 1_000
    )
    check = Check(name="own", group="calibration", run=print)
    undecided = Finding(check, Outcome.of(deviation), bi.diagnosis.Tolerances())

    def said(**again) -> str:
        verdict = Verdict(
            findings=[undecided],
            parameters=("a",),
            tolerances=bi.diagnosis.Tolerances(),
            size=(1_000, 200),
        )
        return dataclasses.replace(verdict, **again).actions[0]

    assert said() == "About 7,200 more simulations would tell: take 8,200 simulations."
    python = said(
        again=lambda name, value: _call({"seed": "3", "observed": "observed"}, name, value)
    )
    assert python.endswith(
        "tell: bi.diagnose(posterior, simulations=8200, seed=3, observed=observed)."
    )
    options = {
        "data": [Path("my counts.csv")],
        "context": ["n=1", "m=2"],
        "simulations": [1_000],
        "seed": [],
    }
    shell = said(
        again=lambda name, value: command_with(
            ["diagnose", "--trust"], Path("runs/x"), options, name, value
        )
    )
    assert shell.endswith(
        "bayesinn diagnose --trust runs/x --data 'my counts.csv' --context n=1 --context m=2 "
        "--simulations 8200."
    )


def test_a_number_hardly_above_the_present_one_is_not_advised() -> None:
    ends = (np.array([end]) for end in (0.2, 0.19, 0.21))
    p_value = np.full(1, 0.0101)
    unsure = Deviation("shift", "sd", "shift", ("a",), *ends, 200, beyond=lambda _: p_value)
    check = Check(name="own", group="calibration", run=print)
    verdict = Verdict(
        findings=[Finding(check, Outcome.of(unsure), bi.diagnosis.Tolerances())],
        parameters=("a",),
        tolerances=bi.diagnosis.Tolerances(),
        size=(200, 200),
    )
    assert verdict.grade == "undecided"
    assert verdict.actions == ["About 100 more simulations would tell: take 300 simulations."]


def test_an_error_beyond_its_tolerance_needs_what_is_sure() -> None:
    near = Deviation(
        "shift", "sd", "shift", ("a",), *(np.array([end]) for end in (0.2, 0.14, 0.26)), 1_000
    )
    # Half the interval, 0.06, is smaller than the distance of 0.13: enough for 95 %, not for one in
    # a million.
    assert near.simulations_needed(0.07) == pytest.approx(1_000 * (0.06 / 0.13) ** 2)
    assert near.simulations_needed(0.07, 1e-6)[0] == pytest.approx(
        1_000 * (4.89 / 1.962 * 0.06 / 0.13) ** 2, rel=0.01
    )
    # Where the interval excludes the tolerance and the p-value is not small, it must become so.
    ends = [np.array([end]) for end in (0.2, 0.19, 0.21)]
    p_value = np.full(1, 1e-3)
    unsure = Deviation("shift", "sd", "shift", ("a",), *ends, 1_000, beyond=lambda _: p_value)
    assert unsure.simulations_needed(0.07, 1e-2)[0] < 1_000
    assert unsure.simulations_needed(0.07, 1e-4)[0] == pytest.approx(
        1_000 * (3.891 / 3.291) ** 2, rel=0.01
    )
    hardly = dataclasses.replace(unsure, beyond=lambda _: np.ones(1))
    assert hardly.simulations_needed(0.07, 1e-4)[0] == pytest.approx(50_000)
    # Where the error is clear, an interval that is wider than the tolerance asks for no more.
    clear = Deviation(
        "shift", "sd", "shift", ("a",), *(np.array([end]) for end in (1.0, 0.6, 1.4)), 20
    )
    assert clear.simulations_needed(0.07, 1e-3)[0] < 40
