"""The command line, as a person meets it: what it prints, what it leaves, and how it ends."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray

import bayesinn as bi


def read_tree(folder: Path) -> xarray.DataTree:
    """Read and close: the next command writes the same file."""
    tree = az.from_netcdf(folder / "posterior.nc", engine="h5netcdf")
    loaded = tree.load()
    tree.close()
    return loaded


@pytest.mark.parametrize(
    "command",
    ["--help", "--version", "list", "train --help", "train sirr", "train no.py:x", "infer nowhere"],
)
def test_what_needs_no_tensorflow_does_not_import_it(fresh_python, command: str) -> None:
    """TensorFlow takes seconds to import; these must answer within one."""
    code = """
import sys
from bayesinn import cli
try:
    cli.main()
finally:
    heavy = {"tensorflow", "keras", "tensorflow_probability", "matplotlib", "numpy", "pandas", "xarray", "scipy"}
    print("heavy:", sorted(heavy & set(sys.modules)))
"""
    done = fresh_python(
        f"import sys; sys.argv = ['bayesinn', *{command.split()}]\n{code}", check=False
    )
    assert "heavy: []" in done.stdout
    assert "Traceback" not in done.stderr
    if command == "--help":
        for name in ("list", "train", "infer", "diagnose", "report", "explore", "run"):
            assert f" {name} " in done.stdout
    if command == "--version":
        assert done.stdout.startswith(f"bayesinn {bi.__version__}")


def test_answers_need_the_base_of_arviz_alone_and_before_tensorflow(fresh_python, tmp_path) -> None:
    """After TensorFlow its import takes a second: it looks through all modules that there are."""
    with tarfile.open("tests/released/0.1.0/posterior.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    arguments = [
        "bayesinn",
        "infer",
        str(tmp_path / "posterior"),
        "--output",
        str(tmp_path / "run"),
    ]
    done = fresh_python(f"""
import sys
from bayesinn import cli
sys.argv = {arguments}
try:
    cli.main()
finally:
    order = [name for name in sys.modules if name in ("arviz", "arviz_base", "tensorflow")]
    print("order:", order)
""")
    assert "order: ['arviz_base', 'tensorflow']" in done.stdout


def test_no_start_up_notes_of_tensorflow(tmp_path, monkeypatch, fresh_python) -> None:
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    code = f"""
import sys
from bayesinn.cli import main
sys.argv = ["bayesinn", "train", "linear", "--steps", "5", "--batch-size", "32", "--output", {str(tmp_path)!r}]
main()
"""
    done = fresh_python(code)
    assert done.stderr == ""
    assert "saved" in done.stdout


def test_help_tells_what_is_left_out(bayesinn) -> None:
    # Lines are wrapped within a frame.
    text = " ".join(bayesinn("run", "--help").out.replace("│", " ").split())
    for default in (
        "runs/NAME",
        "what ships with the simulator",
        "the simulator's, else 5,000; for simulations in memory by their number",
        "the simulator's, else 0",
    ):
        assert f"[default: ({default})]" in text


def test_without_a_command_it_helps(bayesinn) -> None:
    answer = bayesinn()
    assert "Usage" in answer.out + answer.err


def test_list(bayesinn) -> None:
    answer = bayesinn("list")
    assert answer.status == 0
    lines = dict(line.split(maxsplit=1) for line in answer.out.splitlines())
    # The longest names, too, stand apart from what is said of them.
    assert {"linear", "sir", "sir_numpy", "geometric_brownian_motion"} <= set(lines)
    assert (
        lines["linear"]
        == "The linear toy: the sum of two numbers is observed, and both are inferred."
    )
    # Three of one module: each says what it is.
    assert len(set(lines.values())) == len(lines)
    assert "never zero" in lines["covid19_regular"]


@pytest.mark.slow
def test_run_does_everything(bayesinn, tmp_path) -> None:
    folder = tmp_path / "run"
    options = ["--steps", 60, "--batch-size", 32, "--draws", 200, "--simulations", 100]
    answer = bayesinn("run", "linear", "--output", folder, "--exact", *options)
    assert answer.status == 0
    assert "training: 60 of 60 steps" in answer.out
    assert "Diagnosis: " in answer.out
    assert "exact mean" in answer.out
    assert "no exact posterior" not in answer.out
    assert "how typical the observation is" in answer.out
    assert f"saved {folder}/report.html" in answer.out

    names = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert names >= {
        "posterior/manifest.json",
        "posterior/weights.h5",
        "checkpoint/state.h5",
        "checkpoint/settings.json",
        "history.csv",
        "posterior.nc",
        "posterior.csv",
        "diagnosis.csv",
        "report.html",
        "figures/loss.png",
        "figures/marginals.png",
        "figures/pairs.png",
        "figures/predictive_y.png",
    }
    assert not [name for name in names if "unfinished" in name]
    history = pd.read_csv(folder / "history.csv")
    assert history["step"].iloc[-1] == 60
    assert np.isfinite(history["loss"]).all()
    table = pd.read_csv(folder / "posterior.csv", index_col="parameter")
    assert table.index.tolist() == ["x1", "x2"]
    # The observation is y = 1.5: exact mean 2/3, by 20,000 draws.
    np.testing.assert_allclose(table["exact mean"], 2 / 3, atol=0.03)
    for figure in (folder / "figures").glob("*.png"):
        assert figure.read_bytes()[1:4] == b"PNG"
    report = (folder / "report.html").read_text()
    assert "Posterior of linear" in report
    assert "data:image/png;base64" in report
    tree = read_tree(folder)
    assert tree["posterior"]["x1"].shape == (1, 200)
    assert az.summary(tree).index.tolist() == ["x1", "x2"]

    again = bayesinn("run", "linear", "--output", folder, *options)
    assert again.status == 2
    assert "got:      a trained posterior" in again.err
    assert "Traceback" not in again.err
    # As the demo does, which may be run a second time.
    resumed = bayesinn("run", "linear", "--output", folder, "--resume", *options)
    assert resumed.status == 0, resumed.err


def test_train_leaves_a_posterior(trained: Path) -> None:
    assert bi.load(trained / "posterior").simulator.name == "growth"
    assert (trained / "history.csv").is_file()
    assert (trained / "figures" / "loss.png").is_file()


def write_csv(path: Path) -> None:
    path.write_text("cases,days\n1.0,2.0\n2.5,\n2.0,\n")


def write_json(path: Path) -> None:
    path.write_text(json.dumps({"cases": [1.0, 2.5, 2.0], "days": 2.0}))


def write_npz(path: Path) -> None:
    np.savez(path, cases=np.array([1.0, 2.5, 2.0]), days=np.array(2.0))


@pytest.mark.parametrize("write", [write_csv, write_json, write_npz])
def test_infer_from_a_file(
    bayesinn, trained: Path, tmp_path, write: Callable[[Path], None]
) -> None:
    file = tmp_path / f"data.{write.__name__[6:]}"
    write(file)
    answer = bayesinn("infer", trained, "--data", file, "--draws", 50)
    assert answer.status == 0, answer.err
    assert "1/day" in answer.out
    tree = read_tree(trained)
    assert tree["posterior"]["rate"].shape == (1, 50)
    assert tree["posterior"]["rate"].attrs["units"] == "1/day"
    assert tree["observed_data"]["cases"].values.tolist() == [1.0, 2.5, 2.0]
    assert float(tree["constant_data"]["days"]) == 2.0


def test_all_files_give_the_same_answer(trained: Path, tmp_path) -> None:
    from bayesinn.cli.data_files import read_data

    answers = []
    for write in (write_csv, write_json, write_npz):
        file = tmp_path / f"data.{write.__name__[6:]}"
        write(file)
        answers.append(
            bi.load(trained / "posterior").sample(read_data(file), draws=5, seed=1)["rate"]
        )
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])


def test_infer_with_a_posterior_that_was_saved_by_itself(
    bayesinn, trained: Path, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    alone = shutil.copytree(trained / "posterior", tmp_path / "posterior")
    files = sorted(alone.iterdir())
    file = tmp_path / "data.csv"
    write_csv(file)
    answer = bayesinn("infer", alone, "--data", file, "--draws", 20)
    assert answer.status == 0, answer.err
    (saved,) = (tmp_path / "runs").iterdir()
    assert f"saved runs/{saved.name}/posterior.nc" in answer.out
    assert (saved / "posterior.csv").is_file()
    assert sorted(alone.iterdir()) == files
    # That of a run folder is not by itself.
    run = shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("posterior.nc"))
    answer = bayesinn("infer", run / "posterior", "--data", file, "--draws", 20)
    assert f"saved {run}/posterior.nc" in answer.out


def test_nothing_is_written_into_the_run_folder_of_another_posterior(
    bayesinn, trained: Path, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "data.csv")
    own = shutil.copytree(trained / "posterior", tmp_path / "runs" / "growth" / "posterior")
    other = shutil.copytree(own, tmp_path / "other")
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["training"]["seed"] = 7
    (other / "manifest.json").write_text(json.dumps(manifest))
    for command in (["infer", other, "--draws", 20], ["diagnose", other, "--simulations", 20]):
        refused = bayesinn(*command, "--data", "data.csv")
        assert refused.status == 2
        assert "Run folder 'runs/growth'" in refused.err
        assert "got:      one with another posterior" in refused.err
        assert "--output FOLDER" in refused.err
    assert [path.name for path in own.parent.iterdir()] == ["posterior"]
    assert "The model 'growth'" in bayesinn("methods", other).out
    assert bayesinn("infer", own, "--data", "data.csv", "--draws", 20).status == 0


COMMANDS = """
import sys
from bayesinn.cli import main

run, data, simulator = sys.argv[1:]
for options in ([], ["--trust"], ["--simulator", simulator]):
    sys.argv = ["bayesinn", "infer", run, "--data", data, "--draws", "20", *options]
    try:
        main()
    except SystemExit as end:
        print("status", end.code or 0)
"""


def test_a_simulator_in_a_file_is_run_when_named_or_trusted(
    trained: Path, model: str, tmp_path, fresh_python
) -> None:
    write_csv(tmp_path / "data.csv")
    done = fresh_python(COMMANDS, trained, tmp_path / "data.csv", model)
    assert re.findall("status .", done.stdout) == ["status 2", "status 0", "status 0"]
    assert "error: Simulator 'growth' of a saved posterior" in done.stderr
    assert "--simulator FILE.py:NAME" in done.stderr
    assert "--trust" in done.stderr


def test_odd_data_are_warned_of(bayesinn, trained: Path, tmp_path) -> None:
    file = tmp_path / "data.json"
    file.write_text(json.dumps({"cases": [150.0, -60.0, 0.0], "days": 2.0}))
    answer = bayesinn("infer", trained, "--data", file, "--draws", 20, "--output", tmp_path / "odd")
    assert answer.status == 0
    assert "WARNING: it is out of distribution" in answer.out


def test_designs_are_ranked(bayesinn, trained: Path, model: str) -> None:
    told = bayesinn("designs", trained, "--design", "days=1,3,5", "--simulator", model)
    assert told.status == 0, told.err
    table = pd.read_csv(trained / "designs.csv", index_col="design")
    assert table["days"].sort_index().tolist() == [1.0, 3.0, 5.0]
    assert table["information"].is_monotonic_decreasing
    wrong = bayesinn("designs", trained, "--design", "dayz=1", "--simulator", model)
    assert wrong.status == 2
    assert "did you mean 'days'" in wrong.err


def test_context_beside_a_file_that_lacks_it(bayesinn, trained: Path, tmp_path: Path) -> None:
    file = tmp_path / "counts.csv"
    file.write_text("cases\n1.0\n2.0\n4.0\n")
    options = ["--draws", 20, "--no-predictive", "--output", tmp_path / "answer"]
    assert bayesinn("infer", trained, "--data", file, "--context", "days=2", *options).status == 0
    wrong = bayesinn("infer", trained, "--data", file, "--context", "dayz=2", *options)
    assert wrong.status == 2
    assert "'dayz'" in wrong.err
    alone = bayesinn("infer", trained, "--context", "days=2", *options)
    assert alone.status == 2
    assert "--data FILE" in alone.err


def test_diagnose_tells_its_grade_by_its_status(bayesinn, trained: Path) -> None:
    answer = bayesinn("diagnose", trained, "--simulations", 200)
    assert answer.status == (1 if "Diagnosis: OUTSIDE" in answer.out else 0)
    assert (trained / "diagnosis.csv").is_file()


@pytest.fixture
def overconfident(trained: Path, tmp_path) -> Path:
    """The same posterior, with draws at a third of their spread."""
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    posterior = bi.load(folder / "posterior")
    posterior.model.parameters.scale /= 3.0
    posterior.save(folder / "posterior")
    return folder


def test_diagnose_fails_a_broken_posterior(bayesinn, overconfident: Path) -> None:
    answer = bayesinn("diagnose", overconfident, "--simulations", 200)
    assert answer.status == 1
    assert "Diagnosis: OUTSIDE TOLERANCE" in answer.out


def test_report(bayesinn, trained: Path) -> None:
    answer = bayesinn("report", trained, "--simulations", 50)
    assert answer.status == ("\noutside: " in answer.out)
    said = " ".join(answer.out.split())
    # The sentence, and what to do: the grade alone sends people to the page for both.
    assert "50 simulated data sets with 200 posterior draws each" in said
    assert "--simulations" in said or "to do: " in said
    assert f"saved {trained}/report.html" in said
    page = (trained / "report.html").read_text()
    assert "growth" in page
    assert "The model: growth" in page
    assert "Normal" in page


def test_report_shows_the_exact_posterior_of_these_data_alone(
    bayesinn, model: str, trained: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run, ignore=shutil.ignore_patterns("posterior.nc"))
    first, second = (tmp_path / f"{name}.json" for name in ("first", "second"))
    observations = bi.get_simulator(model).draw(2, 1)
    for row, file in enumerate((first, second)):
        known = {**observations.context, **observations.observables}
        file.write_text(json.dumps({name: value[row].tolist() for name, value in known.items()}))
    bayesinn("infer", run, "--data", first, "--draws", 50)
    with az.from_netcdf(run / "posterior.nc", engine="h5netcdf") as tree:
        tree["exact_posterior"] = tree["posterior"].copy()
        tree.to_netcdf(run / "new.nc", engine="h5netcdf")
    (run / "new.nc").replace(run / "posterior.nc")
    bayesinn("report", run, "--data", first, "--simulations", 50)
    assert "exact mean" in (run / "report.html").read_text()
    bayesinn("report", run, "--data", second, "--simulations", 50)
    assert "exact mean" not in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["train", "nobody"], ["error: Simulator 'nobody'", "linear", "do this:"]),
        (["train", "nowhere.py:model"], ["error: Simulator file", "nowhere.py"]),
        (["infer", "nowhere"], ["error: Folder 'nowhere/posterior'", "no such folder"]),
        (["train", "linear", "--steps", "0"], ["--steps"]),
        (["train", "linear", "--setps", "5"], ["--setps"]),
        (["conquer"], ["conquer"]),
    ],
)
def test_mistakes_end_with_status_2_and_no_traceback(
    bayesinn, tmp_path, monkeypatch, arguments, fragments
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = bayesinn(*arguments)
    assert answer.status == 2
    assert "Traceback" not in answer.err
    for fragment in fragments:
        assert fragment in answer.err
    assert not list(tmp_path.iterdir())


def test_inferring_without_data_says_so(bayesinn, trained: Path) -> None:
    answer = bayesinn("infer", trained)
    assert answer.status == 2
    assert "give a file: --data FILE" in answer.err


def test_the_console_script(fresh_python) -> None:
    code = """
import runpy, sys
sys.argv = ["bayesinn", "train", "nobody"]
runpy.run_module("bayesinn.cli", run_name="__main__")
"""
    done = fresh_python(code, check=False)
    assert done.returncode == 2
    assert "error: Simulator 'nobody'" in done.stderr
    assert "Traceback" not in done.stderr
