"""Run folders with files of somebody else: nothing of them is replaced or removed, and the message names them."""

from __future__ import annotations

import gc
import json
import os
import resource
import shutil
from pathlib import Path
from types import SimpleNamespace

import arviz as az
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from matplotlib.figure import Figure
from PIL import Image

import bayesinn as bi
from bayesinn import plots
from bayesinn.cli.networks import Wanted
from bayesinn.cli.run import Run, open_answer, same_data
from bayesinn.cli.training import train_into
from bayesinn.core.errors import InputError, SavedPosteriorError
from bayesinn.core.labels import Labels
from bayesinn.core.run_folder import (
    ANSWER,
    DIAGNOSIS,
    REPORT,
    TRAINING,
    RunFiles,
    run_of,
    saved_fingerprint,
    summarise_run,
)
from bayesinn.diagnosis.report.page import Figure as Picture, save_all
from bayesinn.diagnosis.report.sections import posterior_table
from bayesinn.training.callbacks import saved_identity
from tests.helpers.diagnosis import stub_diagnosis
from tests.helpers.models import small_flow

tfd = tfp.distributions
LINEAR = bi.get_simulator("linear")


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def train(folder: Path, steps: int | None = 4, **options) -> bi.AmortizedPosterior:
    return train_into(
        folder,
        LINEAR,
        seed=1,
        steps=steps,
        batch_size=16,
        wanted=Wanted(flow=small_flow()),
        **options,
    )


@pytest.fixture(scope="module")
def posterior() -> bi.AmortizedPosterior:
    return bi.AmortizedPosterior(LINEAR, flow=small_flow()).fit(
        steps=4, batch_size=16, seed=1, progress=False
    )


def infer(run: Run, posterior: bi.AmortizedPosterior) -> None:
    run.infer(posterior, {"y": 1.5}, draws=20, seed=1)


def diagnose(run: Run, posterior: bi.AmortizedPosterior) -> None:
    run.diagnose(posterior, {"y": 1.5}, simulations=20, draws=10, seed=1)


def report(run: Run, posterior: bi.AmortizedPosterior) -> None:
    run.report(posterior, None)


def train_there(run: Run, posterior: bi.AmortizedPosterior) -> None:
    train(run.folder)


COMMANDS = [
    *(
        (train_there, name)
        for name in (*TRAINING, *DIAGNOSIS, *ANSWER, *REPORT, "run.json", "figures/loss.png")
    ),
    *((infer, name) for name in (*ANSWER, "run.json")),
    *((diagnose, name) for name in (*DIAGNOSIS, "run.json")),
    *((report, name) for name in REPORT),
]


@pytest.mark.parametrize(("command", "name"), COMMANDS)
@pytest.mark.parametrize("linked", [False, True], ids=["file", "link"])
def test_files_of_something_else_are_refused_before_anything_is_done(
    command, name: str, linked: bool, posterior, tmp_path, monkeypatch
) -> None:
    def refuse(*arguments, **options) -> None:
        pytest.fail("something was begun")

    for method in ("fit", "infer"):
        monkeypatch.setattr(bi.AmortizedPosterior, method, refuse)
    monkeypatch.setattr("bayesinn.cli.run.diagnose", refuse)
    folder = tmp_path / "run"
    (folder / name).parent.mkdir(parents=True)
    (tmp_path / "mine").write_text("mine")
    if linked:
        (folder / name).symlink_to(tmp_path / "mine")
    else:
        (folder / name).write_text("mine")
    with pytest.raises(InputError, match=r"(?s)of something else.*choose another folder") as error:
        command(Run(folder), posterior)
    assert name.rpartition("/")[2] in str(error.value)
    assert files(tmp_path) == {"mine": b"mine", f"run/{name}": b"mine"}
    assert (folder / name).is_symlink() is linked


@pytest.mark.parametrize(
    ("command", "name"), [(infer, "predictive_y"), (infer, "pairs"), (diagnose, "recovery")]
)
def test_figures_of_somebody_else_stay(
    command, name: str, posterior, tmp_path, monkeypatch
) -> None:
    pictures = [("recovery", Picture(Figure(), "Empty."))]
    found = stub_diagnosis(pd.DataFrame(), "within", plot=lambda folder: save_all(pictures, folder))
    monkeypatch.setattr("bayesinn.cli.run.diagnose", lambda *_, **__: found)
    file = tmp_path / "figures" / f"{name}.png"
    file.parent.mkdir()
    Image.new("RGB", (3, 3)).save(file)
    before = file.read_bytes()
    with pytest.raises(
        InputError, match=rf"(?s)Figure .*{name}.*a file of something else.*move it away"
    ):
        command(Run(tmp_path), posterior)
    assert file.read_bytes() == before


def test_figures_of_checks_that_are_left_out_go(tmp_path) -> None:
    """Those of an earlier diagnosis around an observation would look like the new one's."""

    @bi.simulator(prior={"mean": tfp.distributions.Normal(0.0, 1.0)})
    def unobserved(parameters, seed):
        return {"y": parameters["mean"] + tf.random.stateless_normal((), seed)}

    posterior = bi.AmortizedPosterior(unobserved, flow=small_flow())
    posterior.fit(steps=4, batch_size=16, seed=1, progress=False)
    run = Run(tmp_path)
    figures = tmp_path / "figures"
    run.diagnose(posterior, {"y": 1.5}, simulations=20, draws=10, seed=1)
    assert (figures / "posterior_sbc.png").is_file()
    run.diagnose(posterior, None, simulations=20, draws=10, seed=1)
    assert not (figures / "posterior_sbc.png").exists()
    assert (figures / "recovery.png").is_file()


def test_own_files_are_replaced_until_somebody_changes_them(posterior, tmp_path) -> None:
    run = Run(tmp_path)
    (tmp_path / "notes.csv").write_text("mine")
    for _ in range(2):
        run.infer(posterior, {"y": 1.5}, draws=20, seed=1, predictive=False)
    listed = json.loads((tmp_path / "run.json").read_text())["files"]
    assert set(listed) == set(ANSWER)
    assert {len(fingerprints) for fingerprints in listed.values()} == {2}
    table = (tmp_path / "posterior.csv").read_text()
    (tmp_path / "posterior.csv").write_text(table + "my notes\n")
    with pytest.raises(InputError, match=r"posterior\.csv of something else"):
        infer(run, posterior)
    assert (tmp_path / "posterior.csv").read_text() == table + "my notes\n"
    (tmp_path / "posterior.csv").unlink()
    infer(run, posterior)
    assert (tmp_path / "posterior.csv").read_text() == table
    assert (tmp_path / "notes.csv").read_text() == "mine"


@pytest.mark.parametrize("before", [True, False])
def test_a_run_that_is_killed_knows_its_own_files(tmp_path, monkeypatch, before: bool) -> None:
    own = RunFiles(tmp_path)
    replace = os.replace

    def killed(source, target) -> None:
        if Path(target).name == "history.csv" and before:
            raise KeyboardInterrupt
        replace(source, target)
        if Path(target).name == "history.csv":
            raise KeyboardInterrupt

    with own.write("history.csv") as file:
        file.write_text("first")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        # Killed twice, it still knows the file that is there.
        for text in ("second", "third"):
            with pytest.raises(KeyboardInterrupt), own.write("history.csv") as file:
                file.write_text(text)
    assert (tmp_path / "history.csv").read_text() == ("first" if before else "third")
    for text in ("fourth", "fifth"):
        with own.write("history.csv") as file:
            file.write_text(text)
    assert set(files(tmp_path)) == {"history.csv", "run.json"}


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"files": []}', '{"files": {"a": 1}}', '{"name": "web"}', "\xff"]
)
def test_a_list_of_something_else_is_refused(tmp_path, content: str) -> None:
    (tmp_path / "run.json").write_text(content, "latin-1")
    with pytest.raises(InputError, match=r"run\.json of something else"):
        RunFiles(tmp_path).check("history.csv")
    with (
        pytest.raises(InputError, match=r"run\.json of something else"),
        RunFiles(tmp_path).write("history.csv") as file,
    ):
        file.write_text("")
    assert files(tmp_path) == {"run.json": content.encode("latin-1")}


def test_training_longer_removes_the_own_state_and_nothing_else(tmp_path, capsys) -> None:
    folder = tmp_path / "run"
    train(folder)
    (folder / "checkpoint" / "notes.txt").write_text("mine")
    (folder / "checkpoint" / "data").mkdir()
    (folder / "checkpoint" / "data" / "2019.csv").write_text("mine")
    longer = train(folder, 6, longer=True)
    assert longer.steps_done == 6
    assert saved_identity(folder / "checkpoint")["steps"] == 6
    assert (folder / "checkpoint" / "notes.txt").read_text() == "mine"
    assert (folder / "checkpoint" / "data" / "2019.csv").read_text() == "mine"
    # A checkpoint that the user has put there instead is no state of this run.
    shutil.rmtree(folder / "checkpoint")
    other = bi.AmortizedPosterior(LINEAR, flow=small_flow())
    other.fit(steps=8, batch_size=16, seed=9, progress=False, checkpoint=folder / "checkpoint")
    before = files(folder)
    with pytest.raises(InputError, match="a checkpoint of another run"):
        train(folder, 6, longer=True)
    assert files(folder) == before


def test_what_a_killed_training_has_not_written_is_written_when_it_is_resumed(
    tmp_path, monkeypatch
) -> None:
    def killed(self, name) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "run"
    train(folder)
    with monkeypatch.context() as patch:
        patch.setattr(RunFiles, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            train(folder, 6, longer=True)
    assert pd.read_csv(folder / "history.csv")["step"].iloc[-1] == 4
    held_out = {"x": np.ones(3)}
    train(folder, None, resume=True, held_out=held_out)
    assert pd.read_csv(folder / "history.csv")["step"].iloc[-1] == 6
    assert (folder / "held_out.npz").is_file()


def test_a_run_that_is_resumed_at_its_end_keeps_its_verdict(tmp_path, capsys) -> None:
    folder = tmp_path / "run"
    train(folder, resume=True)
    assert f"nothing to resume in {folder}: a new training begins" in capsys.readouterr().out
    with RunFiles(folder).write("grade.txt") as file:
        file.write_text("within")
    RunFiles(folder).assign(["grade.txt"], saved_fingerprint(folder))
    train(folder, resume=True)
    assert "nothing to resume" not in capsys.readouterr().out
    assert summarise_run(folder).verdict == "within"


def test_a_checkpoint_folder_without_a_state_is_left_as_it_is(tmp_path, posterior) -> None:
    folder = tmp_path / "run"
    posterior.save(folder / "posterior")
    (folder / "checkpoint").mkdir()
    (folder / "checkpoint" / "2019.csv").write_text("mine")
    train(folder, 6, longer=True)
    assert (folder / "checkpoint" / "2019.csv").read_text() == "mine"


# Figures and reports by themselves


def test_pictures_are_replaced_if_they_are_ours(tmp_path) -> None:
    picture = Picture(Figure(), "Empty.")
    for _ in range(2):
        save_all([("recovery", picture)], tmp_path)
    plots.save(Figure(), tmp_path / "loss.png")
    save_all([("loss", picture)], tmp_path)
    Image.new("RGB", (3, 3)).save(tmp_path / "mine.png")
    (tmp_path / "text.png").write_text("mine")
    (tmp_path / "link.png").symlink_to(tmp_path / "loss.png")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "nothing")
    before = files(tmp_path)
    for name in ("mine", "text", "link", "nowhere"):
        with pytest.raises(
            InputError, match=rf"(?s){name}\.png.*a figure that bayesinn wrote.*something else"
        ):
            save_all([("new", picture), (name, picture)], tmp_path)
    assert files(tmp_path) == before
    assert not os.path.lexists(tmp_path / "nothing")


def test_a_figure_or_report_that_can_not_be_written_leaves_the_old_one(
    tmp_path, monkeypatch
) -> None:
    file = tmp_path / "loss.png"
    plots.save(Figure(), file)
    before = files(tmp_path)

    def full(self, target, **options) -> None:
        Path(target).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(
        bi.core.errors.SavedPosteriorError, match=r"(?s)No space left.*still complete"
    ):
        plots.save(Figure(), file)
    assert files(tmp_path) == before


def test_figures_and_reports_do_not_write_through_links(tmp_path) -> None:
    from bayesinn.diagnosis.report.page import render

    (tmp_path / "mine").write_text("mine")
    for name in ("loss.png", "report.html"):
        (tmp_path / name).symlink_to(tmp_path / "mine")
    plots.save(Figure(), tmp_path / "loss.png")
    render(tmp_path / "report.html", "half of a pair: \ud800", [])
    assert (tmp_path / "mine").read_text() == "mine"
    assert "half of a pair: ?" in (tmp_path / "report.html").read_text()
    assert np.asarray(Image.open(tmp_path / "loss.png")).size


@bi.simulator(
    prior={"rate": tfd.Normal(0.0, 1.0)},
    context={"n": tfd.FiniteDiscrete([2, 4], probs=[0.5, 0.5])},
    lengths={"x": "n"},
    missing=0.2,
)
def recorded(parameters, context, seed):
    rate = parameters["rate"][:, None]
    return {"x": rate + tf.random.stateless_normal((tf.shape(rate)[0], 4), seed)}


SEEN = {"x": np.array([1.0, 2.0, np.nan, np.nan]), "n": np.array(2)}


@pytest.mark.parametrize(
    ("x", "same"),
    [
        ([1.0, 2.0, 7.0, 8.0], True),
        ([1.0, 2.0, np.nan, 0.0], True),
        ([1.0, 2.000001, 0.0, 0.0], False),
        ([1.0, np.nan, 0.0, 0.0], False),
    ],
)
def test_an_answer_is_to_the_same_data_if_all_that_is_seen_is_equal(x, same: bool) -> None:
    given = {"x": np.array([x]), "n": np.array([2])}
    assert same_data(recorded, SEEN, given) == same
    gap = {"x": np.array([1.0, np.nan, np.nan, np.nan]), "n": np.array(2)}
    filled = {"x": np.array([[1.0, 2.0, 0.0, 0.0]]), "n": np.array([2])}
    assert not same_data(recorded, gap, filled)


def test_an_answer_on_a_full_disk_is_an_error_and_the_old_one_stays(tmp_path) -> None:
    """Without room for posterior.nc; HDF5, writing there itself, would end this process."""
    run = Run(tmp_path)
    owner = SimpleNamespace(fingerprint="of a posterior")
    draws = np.random.default_rng(1).normal(size=100_000)
    table = posterior_table({"rate": draws}, Labels())
    few, many = (az.from_dict({"posterior": {"rate": draws[None, :n]}}) for n in (10, len(draws)))
    run.save_answer(owner, few, table)
    before = (tmp_path / "posterior.nc").read_bytes()
    least, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most))
    try:
        with pytest.raises(SavedPosteriorError, match="room and permission"):
            run.save_answer(owner, many, table)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (least, most))
    gc.collect()
    assert (tmp_path / "posterior.nc").read_bytes() == before
    with open_answer(tmp_path / "posterior.nc") as tree:
        assert tree["posterior"]["rate"].shape == (1, 10)


def test_an_answer_is_saved_though_its_exact_posterior_fails(
    posterior, tmp_path, monkeypatch
) -> None:
    def fail(*arguments, **options) -> None:
        raise ValueError("out of reach")

    monkeypatch.setattr("bayesinn.cli.run.exact_draws", fail)
    monkeypatch.setattr("bayesinn.cli.run.posterior_figures", lambda *_: {})
    with pytest.raises(ValueError, match="out of reach"):
        Run(tmp_path).infer(posterior, {"y": 1.5}, draws=20, seed=1, exact=True, predictive=False)
    assert "x1" in (tmp_path / "posterior.csv").read_text()
    assert (tmp_path / "posterior.nc").is_file()


def test_the_posterior_of_a_run_folder_names_the_run(tmp_path: Path) -> None:
    saved = tmp_path / "posterior"
    saved.mkdir()
    assert run_of(saved) == saved
    (tmp_path / "run.json").write_text("{}")
    assert run_of(saved) == tmp_path
    assert run_of(tmp_path) == tmp_path
    assert run_of(Path("~") / "posterior") == Path.home() / "posterior"
