"""Runs at a summary and beside each other, and the paragraph on methods for a paper."""

from __future__ import annotations

import os
import shutil
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import arviz as az
import numpy as np
import pandas as pd
import pytest

import bayesinn as bi
from bayesinn.cli.options import methods_of
from bayesinn.cli.run import Run
from bayesinn.core.errors import InputError
from bayesinn.core.files import write_members, write_model
from bayesinn.core.labels import Labels
from bayesinn.core.run_folder import RunFiles, RunSummary, saved_fingerprint, summarise_run
from bayesinn.diagnosis.diagnosis import diagnose_arrays
from bayesinn.diagnosis.evidence import Evidence
from bayesinn.diagnosis.report.sections import posterior_table, shorten_numbers
from bayesinn.simulation.prior_text import prior_text
from tests.helpers.diagnosis import stub_diagnosis

NO_NETWORK = SimpleNamespace(variables=[])


def diagnosed(folder: Path, grade: str) -> None:
    """Write what a diagnosis and an answer leave in a run folder."""
    files = RunFiles(folder)
    for name in ("grade.txt", "posterior.nc"):
        with files.write(name) as file:
            file.write_text(f"{grade}\n")
    files.assign(["grade.txt", "posterior.nc"], saved_fingerprint(folder))


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Two posteriors of one simulator, one of them in a run folder with a verdict."""
    folder = tmp_path_factory.mktemp("runs")
    for name, steps in (("short", 2), ("long", 300)):
        flow = bi.flows.coupling(blocks=1, hidden=(16,))
        posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=flow)
        posterior.fit(steps=steps, batch_size=64, seed=1, progress=False)
        posterior.save(folder / name / "posterior")
    diagnosed(folder / "long", "undecided")
    (folder / "notes").mkdir()
    return folder


def test_runs_at_a_glance(bayesinn, runs: Path) -> None:
    answer = bayesinn("runs", runs)
    head, long, short = answer.out.splitlines()
    assert head.split()[:2] == ["run", "simulator"]
    assert long.split()[:4] == ["long", "linear", "300", "64"]
    assert "undecided" in long
    assert short.split()[:4] == ["short", "linear", "2", "64"]
    assert "not diagnosed" in short
    empty = bayesinn("runs", runs / "notes")
    assert empty.status == 2
    assert "expected: run folders" in empty.err


def test_folders_that_can_not_be_read_are_left_out(
    bayesinn, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (runs / "closed").mkdir()
    listed = Path.iterdir

    def closed(self):
        if self.name == "closed":
            raise PermissionError(13, "Permission denied")
        return listed(self)

    expected = bayesinn("runs", runs).out
    monkeypatch.setattr(Path, "iterdir", closed)
    answer = bayesinn("runs", runs)
    (runs / "closed").rmdir()
    assert answer.status == 0
    assert answer.out == expected


def test_at_a_glance_needs_no_tensorflow(runs: Path, fresh_python) -> None:
    code = f"""
import sys
sys.argv = ["bayesinn", "runs", {str(runs)!r}]
from bayesinn.cli import main
try:
    main()
finally:
    print(sorted({{"tensorflow", "numpy", "pandas"}} & set(sys.modules)))
"""
    assert fresh_python(code).stdout.splitlines()[-1] == "[]"


def test_compare(bayesinn, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("y\n1.5\n")
    options = ["--data", tmp_path / "one.csv", "--simulations", 300]
    page = tmp_path / "page.html"
    answer = bayesinn("compare", runs / "short", runs / "long", *options, "--output", page)
    assert not answer.status, answer.err
    assert "undecided" in answer.out
    assert f"saved {page}" in answer.out
    assert "x1" in page.read_text()
    figures = bayesinn(
        "compare", runs / "short", runs / "long", *options, "--output", tmp_path / "f"
    )
    assert not figures.status, figures.err
    assert {file.name for file in (tmp_path / "f").iterdir()} == {"losses.png", "posteriors.png"}


def test_nats_are_those_of_one_held_out_set(runs: Path) -> None:
    held_out = bi.get_simulator("linear").sample(200, seed=7)
    found = bi.diagnosis.compare_runs(
        runs / "short", runs / "long", held_out=held_out, data={"y": 1.5}
    )
    posteriors = {name: bi.load(runs / name / "posterior") for name in ("short", "long")}
    parameters = {name: held_out[name] for name in ("x1", "x2")}
    nats = {
        name: posterior.log_prob(parameters, {"y": held_out["y"]})
        for name, posterior in posteriors.items()
    }
    for name, values in nats.items():
        assert found.table.loc[name, "nats"] == pytest.approx(values.mean(), rel=1e-6)
    difference = nats["long"] - nats["short"]
    assert found.table.loc["long", "gain"] == pytest.approx(difference.mean(), rel=1e-6)
    assert found.table.loc["long", "error"] == pytest.approx(
        difference.std(ddof=1) / np.sqrt(200), rel=1e-6
    )
    assert difference.mean() > 0
    assert found.posteriors.index.tolist()[:2] == [("x1", "short"), ("x1", "long")]
    assert set(found.draws) == {"short", "long"}
    assert "<table" in found._repr_html_()


def test_the_posterior_of_a_run_means_the_run(bayesinn, runs: Path, monkeypatch) -> None:
    """As in commands on one run: the verdict, and rows that were held out, are in its folder."""
    named = [runs / name / "posterior" for name in ("short", "long")]
    asked = list[Path]()

    def note(folder: Path, *others) -> None:
        asked.append(folder)

    monkeypatch.setattr("bayesinn.cli.long_commands.held_out_rows", note)
    for name in ("short", "long"):
        RunFiles(runs / name).assign([], "")
    answer = bayesinn("compare", *named, "--simulations", 50)
    assert not answer.status, answer.err
    assert asked == [runs / "short"]
    assert "undecided" in answer.out
    assert answer.out.split()[:2] == ["short", "long"]


def test_what_can_not_be_compared(runs: Path) -> None:
    with pytest.raises(InputError, match="2 to 5 folders"):
        bi.diagnosis.compare_runs(runs / "short")
    with pytest.raises(InputError, match="different folders"):
        bi.diagnosis.compare_runs(runs / "short", runs / "short")
    with pytest.raises(InputError, match="one for each run"):
        bi.diagnosis.compare_runs(
            runs / "short", runs / "long", simulators=[bi.get_simulator("linear")] * 3
        )


def test_methods(bayesinn, runs: Path, monkeypatch) -> None:
    answer = bayesinn("methods", runs / "long")
    text = " ".join(answer.out.split())
    for fragment in (
        "The model 'linear' simulates y (a number) from 2 parameters",
        "Normal(",
        "300 steps of 64 simulations, 19,200 in all, each used once",
        f"bayesinn {bi.__version__} (TensorFlow 2.",
        "not diagnosed yet",
        "arXiv:2003.06281",
    ):
        assert fragment in text
    with RunFiles(runs / "long").write("methods.txt") as file:
        file.write_text("From the diagnosis.\n")
    RunFiles(runs / "long").assign(["methods.txt"], saved_fingerprint(runs / "long"))
    assert bayesinn("methods", runs / "long").out == "From the diagnosis.\n"
    monkeypatch.setenv("HOME", str(runs))
    assert bayesinn("methods", "~/long").out == "From the diagnosis.\n"
    (runs / "long" / "methods.txt").unlink()


def test_methods_of_a_diagnosed_posterior(runs: Path) -> None:
    posterior = bi.load(runs / "long" / "posterior")
    generator = np.random.default_rng(1)
    truth = generator.normal(size=60)
    draws = generator.normal(size=(60, 20))
    diagnosis = diagnose_arrays(Evidence({"x1": truth}, {"x1": draws}, prior={"x1": truth}))
    text = bi.diagnosis.methods_text(posterior, diagnosis)
    assert "On 60 further simulated data sets, with 20 posterior draws each, the" in text
    assert "SBC: " in text


def test_priors_have_four_digits_in_texts() -> None:
    text = prior_text(bi.get_simulator("sir").prior)
    assert "loc=-0.91629076, scale=0.5" in text
    assert "loc=-0.9163, scale=0.5" in shorten_numbers(text)


def test_the_verdict_of_a_posterior_before_is_not_shown(bayesinn, tmp_path: Path) -> None:
    flow = bi.flows.coupling(blocks=1, hidden=(8,))
    posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=flow)
    posterior.fit(steps=2, batch_size=16, progress=False).save(tmp_path / "run" / "posterior")
    diagnosed(tmp_path / "run", "outside")
    before = bayesinn("runs", tmp_path).out
    assert "outside" in before
    assert " yes " in before
    posterior.fit(steps=3, batch_size=16, progress=False).save(tmp_path / "run" / "posterior")
    after = bayesinn("runs", tmp_path).out
    assert "not diagnosed" in after
    assert " no " in after


@pytest.mark.parametrize("members", [False, True])
def test_a_copy_shows_what_is_about_its_posterior(
    tmp_path: Path, members: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of a copy have times that tell nothing."""

    def save(weight: float, place: Path) -> None:
        write_model(place, "Some", {}, {"network/0": np.array([weight])}, NO_NETWORK)

    def train(weight: float) -> None:
        if members:
            write_members(folder / "posterior", "Some", {}, [partial(save, weight)] * 2)
        else:
            save(weight, folder / "posterior")

    def summary(moment: float) -> RunSummary:
        for name in ("verdict.csv", "posterior.nc"):
            os.utime(folder / name, (moment, moment))
        return summarise_run(folder)

    folder = tmp_path / "run"
    run = Run(folder)
    train(1.0)
    checks = pd.DataFrame({"check": ["SBC"], "grade": ["outside"]})
    diagnosis = stub_diagnosis(checks, "undecided", "From the diagnosis.")
    monkeypatch.setattr("bayesinn.cli.run.diagnose", lambda *_, **__: diagnosis)
    run.diagnose(NO_NETWORK, seed=1)
    draws = {"rate": np.arange(8.0)}
    tree = az.from_dict({"posterior": {"rate": draws["rate"][None]}})
    owner = SimpleNamespace(fingerprint="of a posterior")
    run.save_answer(owner, tree, posterior_table(draws, Labels()))
    long_ago = 0.0
    long_after = time.time() + 3600.0
    for moment in (long_ago, long_after):
        assert summary(moment).verdict == "undecided"
        assert summary(moment).answered
    assert methods_of(folder) == "From the diagnosis."
    train(2.0)
    for moment in (long_ago, long_after):
        assert not summary(moment).verdict
        assert not summary(moment).answered
    assert methods_of(folder) is None
    # A diagnosis that was killed here has noted nothing yet.
    with run.files.write("grade.txt") as file:
        file.write_text("within")
    assert not summarise_run(folder).verdict


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--context", "dose=5"], "--context needs data"),
        (["--held-out", "rows.npz", "--simulations", 50], "exclude each other"),
    ],
)
def test_options_that_would_be_ignored_are_refused(
    bayesinn, runs: Path, options: list, message: str
) -> None:
    answer = bayesinn("compare", runs / "short", runs / "long", *options)
    assert answer.status == 2
    assert message in " ".join(answer.err.split())


def test_pictures_of_somebody_else_are_kept(bayesinn, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "losses.png").write_bytes(b"mine")
    options = ["--simulations", 50, "--output", tmp_path]
    answer = bayesinn("compare", runs / "short", runs / "long", *options)
    assert answer.status == 2
    assert "losses.png" in answer.err
    # The answer is there all the same.
    assert "Held-out nats" in answer.out
    assert (tmp_path / "losses.png").read_bytes() == b"mine"


def test_a_run_without_weights_is_listed(bayesinn, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "long", tmp_path / "long")
    (tmp_path / "long" / "posterior" / "weights.h5").unlink()
    assert "undecided" in bayesinn("runs", tmp_path).out


def test_steps_of_a_start_are_told(bayesinn, tmp_path: Path) -> None:
    flow = bi.flows.coupling(blocks=1, hidden=(8,))
    options = {"batch_size": 16, "progress": False}
    first = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=flow).fit(steps=30, **options)
    longer = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=flow)
    longer.fit(steps=20, start_from=first, **options)
    assert "that had been trained for 30 steps" in bi.diagnosis.methods_text(longer)
    longer.save(tmp_path / "run" / "posterior")
    assert bi.load(tmp_path / "run" / "posterior").steps_before == 30
    assert bayesinn("runs", tmp_path).out.splitlines()[1].split()[2] == "50"
