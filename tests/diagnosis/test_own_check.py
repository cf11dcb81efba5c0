"""A diagnostic of a user's own: declared once, it is wherever the library's own are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import bayesinn as bi
from bayesinn.cli.run import Run
from bayesinn.core.errors import InputError
from bayesinn.core.labels import columns
from bayesinn.diagnosis import Diagnosis, Evidence, check, diagnose_arrays
from bayesinn.diagnosis.check import FAMILY_ERROR
from bayesinn.diagnosis.checks import LOCAL_C2ST, _most_trials
from bayesinn.diagnostics import Deviation
from tests.diagnostics.conjugate import normal


def halves(evidence: Evidence) -> Deviation:
    """How many truths lie below the posterior median, with the interval of a share."""
    truth = columns(evidence.truth, batch_ndim=1)
    draws = columns(evidence.draws, batch_ndim=2)
    below = [np.mean(truth[name] < np.median(draws[name], axis=1)) for name in truth]
    error = 100.0 * (np.array(below) - 0.5)
    count = len(evidence.draws["mean"])
    half = 250.0 * np.sqrt(0.25 / count)
    words = "too few truths below the median", "too many truths below the median"
    ends = error, error - half, error + half
    return Deviation("truths below the median", "%", 6.0, tuple(truth), *ends, count, words)


def draw_halves(result: Deviation, labels: bi.plots.Labels) -> Figure:
    figure = Figure()
    figure.add_subplot().barh([labels.label(name) for name in result.columns], result.estimate)
    return figure


CAPTION = "Shares of truths below the posterior median, minus one half, which should be near zero."
HALVES = bi.diagnosis.Check(
    name="halves",
    group="calibration",
    run=halves,
    question="How many truths lie below the posterior median: half of them, if all is well.",
    figures={"halves": (draw_halves, CAPTION)},
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
    assert abs(correct["halves"].estimate[0]) < 30.0
    row = shifted.verdict.loc["halves"]
    assert (row["measure"], row["unit"], row["tolerance"]) == ("truths below the median", "%", 6.0)
    assert "too many truths below the median, by" in row["found"]
    assert "\n  halves" in repr(shifted)
    assert {"halves_estimate", "halves_lower", "halves_upper"} <= set(shifted.to_dataframe())
    assert "halves.png" in {path.name for path in shifted.plot(tmp_path)}
    text = shifted.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
    said = [
        "<h2>Calibration: halves",
        HALVES.question,
        HALVES.reference,
        CAPTION,
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
    assert "halves_estimate" in (tmp_path / "diagnosis.csv").read_text()
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
        most = _most_trials()
        # Each of them, and the one of the fixture, has one measure.
        share = FAMILY_ERROR * LOCAL_C2ST.weights["classifier"] / (library + count + 1.0)
        assert 1.0 / (1.0 + most) < share
    check._registered.clear()
    assert _most_trials() == 1_000


def test_names_are_unique(registered) -> None:
    own = {"name": "mine", "figures": {"halves": (draw_halves, CAPTION)}}
    for wrong in (
        {"name": "SBC"},
        {"name": "mine", "key": "tarp"},
        {"name": "mine", "figures": {"tarp": (draw_halves, CAPTION)}},
        own,
    ):
        with pytest.raises(InputError, match="no other check has"):
            bi.diagnosis.register_check(bi.diagnosis.Check(group="sharpness", run=halves, **wrong))
    bi.diagnosis.register_check(HALVES)


def test_a_group_of_its_own_comes_last(tmp_path: Path, registered) -> None:
    bi.diagnosis.register_check(bi.diagnosis.Check(name="alone", group="my own", run=halves))
    found = diagnosis(0.0)
    assert list(found.verdict.index)[-1] == "alone"
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
