"""A diagnostic of a user's own: declared once, it is wherever the library's own are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

import bayesinn as bi
from bayesinn.cli.run import Run
from bayesinn.core.errors import InputError
from bayesinn.core.labels import columns
from bayesinn.diagnosis import Diagnosis, Evidence, check, diagnose_arrays
from bayesinn.diagnosis.check import FAMILY_ERROR
from bayesinn.diagnosis.checks import local
from bayesinn.diagnostics.deviation import Deviation
from tests.diagnostics.conjugate import normal


@dataclass(frozen=True)
class Halves(bi.diagnostics.Tested):
    """How many truths lie below the posterior median, and the p-values of sign tests."""

    share: np.ndarray

    simulations: int = 0

    @property
    def deviations(self):
        half = 2.5 * np.sqrt(0.25 / self.simulations)
        ends = (100.0 * (self.share - 0.5 + move) for move in (0.0, -half, half))
        words = "too few truths below the median", "too many truths below the median"
        return (
            Deviation(
                "truths below the median", "%", 6.0, self.columns, *ends, self.simulations, words
            ),
        )


def halves(given: Evidence) -> Halves:
    draws = columns(given.draws, batch_ndim=2)
    below = {
        name: value < np.median(draws[name], axis=1)
        for name, value in columns(given.truth, 1).items()
    }
    p_value = [stats.binomtest(int(value.sum()), len(value)).pvalue for value in below.values()]
    share = np.array([value.mean() for value in below.values()])
    return Halves(
        columns=tuple(below),
        p_value=np.array(p_value),
        level=given.level,
        share=share,
        simulations=300,
    )


def draw_halves(result: Halves, labels: bi.plots.Labels) -> Figure:
    figure = Figure()
    figure.add_subplot().barh([labels.label(name) for name in result.columns], result.share)
    return figure


HALVES = bi.diagnosis.Check(
    name="halves",
    group="calibration",
    run=halves,
    question="How many truths lie below the posterior median: half of them, if all is well.",
    figures={"halves": draw_halves},
    captions={
        "halves": "Shares of truths below the posterior median, which should all be near one half."
    },
    meaning="Posterior medians are not biased.",
    remedy="Report means in place of medians.",
    reference="Arbuthnot 1710",
)


@pytest.fixture
def registered() -> Iterator[None]:
    bi.diagnosis.register_check(HALVES)
    yield
    check._registered.clear()


def diagnosis(shift: float) -> Diagnosis:
    truth, draws, prior = normal(size=300, draws=100, event=(2,), shift=shift)
    return diagnose_arrays(
        Evidence(truth, draws, prior, bi.plots.Labels({}, {"mean": "mm"}), seed=4)
    )


@pytest.mark.parametrize(
    ("name", "group", "heading"),
    [
        ("SBC", "calibration", "Calibration: SBC"),
        ("calibration", "calibration", "Calibration"),
        ("observation", "around the observation", "Around the observation"),
    ],
)
def test_a_heading_says_a_name_once(name: str, group: str, heading: str) -> None:
    assert bi.diagnosis.Check(name=name, group=group, run=halves).heading == heading


def test_it_is_wherever_the_librarys_own_are(registered, tmp_path: Path) -> None:
    correct = diagnosis(0.0)
    shifted = diagnosis(0.6)
    assert not correct.outside
    assert "halves" in shifted.outside
    assert 0.2 < correct["halves"].share[0] < 0.8
    row = shifted.verdict.loc["halves"]
    assert (row["measure"], row["unit"], row["tolerance"]) == ("truths below the median", "%", 6.0)
    assert "too many truths below the median, by" in row["found"]
    assert "\n  halves" in repr(shifted)
    assert {"halves_p_value", "halves_inside"} <= set(shifted.to_dataframe())
    assert "halves.png" in {path.name for path in shifted.plot(tmp_path)}
    text = shifted.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
    said = [
        "<h2>Calibration: halves",
        HALVES.question,
        HALVES.reference,
        HALVES.captions["halves"],
        HALVES.remedy,
    ]
    assert [part for part in said if part not in text] == []
    assert HALVES.meaning not in shifted.trusted


def test_it_stands_after_the_librarys_own(registered) -> None:
    names = [finding.check.name for finding in diagnosis(0.0).findings]
    assert names == [
        "SBC",
        "coverage",
        "TARP",
        "dependence",
        "halves",
        "recovery",
        "information gain",
    ]


def test_it_is_run_on_a_trained_posterior(registered, tmp_path: Path) -> None:
    posterior = bi.AmortizedPosterior(
        bi.get_simulator("linear"), flow=bi.flows.coupling(blocks=1, hidden=(8,))
    )
    posterior.fit(steps=5, batch_size=32, seed=1, progress=False)
    Run(tmp_path).diagnose(posterior, simulations=60, draws=20, seed=1)
    assert "halves" in (tmp_path / "verdict.csv").read_text()
    assert "halves_p_value" in (tmp_path / "diagnosis.csv").read_text()
    assert (tmp_path / "figures" / "halves.png").is_file()


def test_what_does_not_apply_and_what_lacks_something_is_left_out(registered) -> None:
    bi.diagnosis.register_check(
        bi.diagnosis.Check(name="nothing", group="sharpness", run=lambda given: None)
    )
    bi.diagnosis.register_check(
        bi.diagnosis.Check(name="codes", group="sharpness", run=lambda given: given.latent)
    )
    found = diagnosis(0.0)
    assert found["nothing"] is None
    assert found["codes"] is None
    assert "nothing" not in repr(found)
    assert "latent codes and codes: not run, no latent codes were given." in repr(found)


def test_l_c2st_can_fail_however_many_checks_are_registered(registered) -> None:
    library = 65.0
    for count in (0, 20, 200):
        for number in range(count):
            own = replace(HALVES, name=f"own {number}", key="", figures={})
            bi.diagnosis.register_check(own)
        most = local._most_trials()
        # Each of them, and the one of the fixture, has one measure.
        share = FAMILY_ERROR * local.CHECK.weights["classifier"] / (library + count + 1.0)
        assert 1.0 / (1.0 + most) < share
    check._registered.clear()
    assert local._most_trials() == 1_000


def test_names_are_unique(registered) -> None:
    own = {"name": "mine", "figures": {"halves": halves}}
    for wrong in (
        {"name": "SBC"},
        {"name": "mine", "key": "tarp"},
        {"name": "mine", "figures": {"tarp": halves}},
        own,
    ):
        with pytest.raises(InputError, match="no other check has"):
            bi.diagnosis.register_check(bi.diagnosis.Check(group="sharpness", run=halves, **wrong))
    bi.diagnosis.register_check(HALVES)


def test_a_group_and_a_place_of_its_own(tmp_path: Path) -> None:
    own = [
        bi.diagnosis.Check(name="first", group="calibration", run=halves, place=5),
        bi.diagnosis.Check(name="alone", group="my own", run=halves),
    ]
    for one in own:
        bi.diagnosis.register_check(one)
    found = diagnosis(0.0)
    check._registered.clear()
    names = list(found.verdict.index)
    assert names[:2] == ["first", "SBC"]
    assert names[-1] == "alone"
    assert "<h2>My own: alone" in found.to_html(tmp_path / "report.html").read_text()


def test_evidence_is_computed_when_a_check_asks_and_once(registered) -> None:
    truth, draws, prior = normal(size=50, draws=20)
    asked = []

    def compute() -> tuple[np.ndarray, np.ndarray]:
        asked.append(1)
        return np.zeros(50), np.zeros((50, 20))

    def never() -> None:
        pytest.fail("no check asked for it")

    given = Evidence(truth, draws, prior, log_prob=compute, data=never, prior_log_prob=compute)
    assert not asked
    ask = bi.diagnosis.Check(name="asks", group="sharpness", run=lambda given: bi.diagnosis.optional(lambda: given.other_log_prob))  # fmt: skip
    bi.diagnosis.register_check(ask)
    assert diagnose_arrays(given)["asks"] is None
    # joint coverage and sharpness ask for the first, the information gain for both
    assert len(asked) == 2


def test_evidence_that_is_missing_is_computed_once() -> None:
    truth, draws, prior = normal(size=50, draws=20)
    asked = []

    def fail() -> tuple[np.ndarray, np.ndarray]:
        asked.append(1)
        raise bi.diagnosis.MissingEvidence("the log likelihood is NaN")

    given = Evidence(truth, draws, prior, log_likelihood=fail)
    for _ in range(2):
        with pytest.raises(bi.diagnosis.MissingEvidence, match="the log likelihood is NaN"):
            _ = given.log_likelihood
    assert len(asked) == 1
