"""Mistakes at the command line: each is named, with the remedy, before anything long begins."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import bayesinn as bi
from bayesinn.core.errors import TrainingError
from tests.conftest import ROOT

HEAD = "import bayesinn as bi\nimport tensorflow_probability as tfp\ntfd = tfp.distributions\n"
SIMULATOR = """
@bi.simulator(prior={"rate": tfd.Normal(0.0, 1.0)})
def growth(parameters, seed):
    return {"cases": parameters["rate"]}
"""
FILES = {
    "two.py": f"{HEAD}{SIMULATOR}\nother = bi.simulator(prior={{'a': tfd.Normal(0.0, "
    f"1.0)}})(lambda p, s: p)",
    "wrong.py": f"{HEAD}{SIMULATOR}\n@bi.simulator(prior={{'a': 3}})\ndef other(p, s):\n    ...",
    "broken.py": "def growth(:\n",
    "raises.py": "growth = 1 / 0",
    "exits.py": "import sys\ngrowth = sys.exit(3)",
    "lacks.py": "import nobody\ngrowth = nobody.growth",
    "number.py": f"{HEAD}{SIMULATOR}\nnumber = 3",
    "trains.py": f"{HEAD}{SIMULATOR}\nbi.AmortizedPosterior(growth).fit(steps=5)",
    "empty.py": "",
    "notes.txt": "",
    "column.json": json.dumps({"casses": [1.0, 2.5, 2.0], "days": 2.0}),
    "short.json": json.dumps({"cases": [1.0, 2.5], "days": 2.0}),
    "many.json": json.dumps({"cases": [[1.0, 2.5, 2.0]] * 2, "days": [2.0] * 2}),
    "outside.json": json.dumps({"cases": [1.0, 2.5, 2.0], "days": 200.0}),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    shutil.copy(model.rpartition(":")[0], tmp_path / "model.py")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "fragments"),
    [
        ("train", ["Missing argument"]),
        (f"train linear --bank {'b' * 5_000}.npz", ["File name too long", "'bbb"]),
        ("train nobody", ["Simulator 'nobody'", "'linear'", "check the spelling"]),
        ("train sirr", ["did you mean 'sir'?"]),
        ("check lineer", ["did you mean 'linear'?"]),
        ("check linear --output folder", ["--output", "'folder' doesn't end in .html"]),
        ("run nowhere.py:growth", ["Simulator file", "nowhere.py"]),
        ("run two.py", ["'two.py'", "the file alone", "growth, other", "two.py:growth"]),
        ("run two.py:nope", ["'nope'", "growth, other"]),
        ("run two.py:grwth", ["'grwth'", "two.py:growth"]),
        ("run two.py:", ["the file alone", "growth, other"]),
        ("run wrong.py:growth", ["Simulator 'other': Entry 'a' of the prior"]),
        ("run empty.py", ["declares no simulator", "@bi.simulator"]),
        ("run broken.py:growth", ["'broken.py'", "SyntaxError", "line 1"]),
        ("run raises.py:growth", ["'raises.py'", "ZeroDivisionError", "python raises.py"]),
        ("run exits.py:growth", ["'exits.py'", "SystemExit"]),
        ("run lacks.py:growth", ["'lacks.py'", "ModuleNotFoundError", "nobody"]),
        ("run number.py:number", ["'number'", "number.py:growth"]),
        ("run trains.py:growth", ["'trains.py'", "one that also trains", "if __name__"]),
        ("check trains.py:growth", ["'trains.py'", "one that also trains", "if __name__"]),
        (
            "train linear --summary conv-lstn",
            ["Summary", "'conv-lstn'", "did you mean 'conv-lstm'?"],
        ),
        ("train linear --summary mlp:unit=3", ["'unit'", "did you mean 'units'?"]),
        ("train linear --summary mlp:units", ["an option and its value", "'units'"]),
        ("train linear --summary mlp --summary identity", ["OBSERVABLE=NETWORK"]),
        ("train linear --summary nobody=mlp", ["observables ['y']", "nobody"]),
        ("train linear --flow cupling", ["Flow", "did you mean 'coupling'?"]),
        ("train linear --flow coupling:block=3", ["did you mean 'blocks'?"]),
        ("train linear --flow coupling:transform=splines", ["did you mean 'spline'?"]),
        ("train linear --flow coupling:blocks", ["an option and its value"]),
        ("train linear --steps 0", ["--steps"]),
        ("train linear --steps 1,5", ["'1,5' is no whole number"]),
        ("train linear --setps 5", ["--setps"]),
        ("train linear --batch-size many", ["--batch-size"]),
        ("train linear --seed -1", ["--seed"]),
        ("train linear --steps 5 --minutes 1", ["either minutes"]),
        ("train linear --minutes 1 --resume", ["either minutes"]),
        ("train linear --minutes inf", ["--minutes", "'inf'", "0.01 to 525,600"]),
        ("run linear --minutes nan", ["--minutes", "'nan'"]),
        ("train linear --minutes 1e400", ["--minutes", "'1e400'"]),
        ("train linear --minutes -1", ["--minutes", "'-1'"]),
        ("train linear --minutes 0", ["--minutes", "'0'"]),
        ("train linear --minutes 1_0", ["--minutes", "'1_0'"]),
        ("train linear --minutes soon", ["--minutes", "'soon'"]),
        ("simulate linear --out bank --n 1,5", ["--n", "'1,5' is no whole number"]),
        ("simulate linear --out bank --n 1.000", ["--n", "'1.000' is no whole number"]),
        ("simulate linear --out bank --n nan", ["--n", "'nan' is no whole number"]),
        ("train linear --output=", ["--output", "an empty text", "name a folder"]),
        ("train linear --output notes.txt", ["'notes.txt'", "choose another folder"]),
        ("infer nowhere", ["Folder 'nowhere/posterior'", "no such folder"]),
        ("infer .", ["Folder 'posterior'", "no such folder"]),
        ("diagnose notes.txt", ["Folder 'notes.txt/posterior'", "no such folder"]),
        ("report nowhere --simulations 3", ["--simulations"]),
        ("run model.py:growth --data nofile.json", ["nofile.json"]),
        ("run model.py:growth --data notes.txt", [".csv, .json or .npz"]),
        ("run model.py:growth --data column.json", ["cases", "casses"]),
        ("run model.py:growth --data short.json", ["'cases'", "shape"]),
        ("run model.py:growth --data many.json", ["one observation"]),
        ("run model.py:growth --data outside.json", ["'days'", "200"]),
        ("conquer", ["conquer"]),
    ],
)
def test_a_mistake_is_named_before_training(
    bayesinn, here: Path, monkeypatch, command: str, fragments
) -> None:
    monkeypatch.setattr(bi.AmortizedPosterior, "fit", lambda *_, **__: pytest.fail("it trains"))
    # The file that trains calls it by another name.
    if "trains.py" in command:
        monkeypatch.undo()
        monkeypatch.chdir(here)
    answer = bayesinn(*command.split())
    text = " ".join(answer.err.replace("│", " ").split())
    assert answer.status == 2, answer
    assert "Traceback" not in answer.err
    for fragment in fragments:
        assert fragment in text
    assert not (here / "runs").exists() or not any((here / "runs").rglob("*.h5"))


def test_an_answer_is_never_written_over_another(bayesinn, trained: Path, here: Path) -> None:
    run = shutil.copytree(
        trained, here / "run", ignore=shutil.ignore_patterns("posterior.nc", "figures")
    )
    first = here / "first.json"
    second = here / "second.json"
    for file, value in ((first, 2.0), (second, 3.0)):
        file.write_text(json.dumps({"cases": [1.0, value, 2.0], "days": 2.0}))
    options = ["--draws", 20, "--no-predictive"]
    answer = bayesinn("infer", run, "--data", first, "--exact", *options)
    assert answer.status == 0
    assert "note: no exact posterior" in answer.out  # the model has no likelihood
    table = (run / "posterior.csv").read_bytes()
    assert not (run / "figures" / "predictive_cases.png").exists()
    refused = bayesinn("infer", run, "--data", second, *options)
    assert refused.status == 2
    assert "--output FOLDER" in refused.err
    assert (run / "posterior.csv").read_bytes() == table
    # The same data again, other data elsewhere, and there those of another posterior.
    assert bayesinn("infer", run, "--data", first, *options).status == 0
    assert bayesinn("infer", run, "--data", second, "--output", here / "b", *options).status == 0
    assert bayesinn("infer", run, "--data", second, "--output", here / "b", *options).status == 0
    posterior = bi.load(run / "posterior")
    posterior.model.parameters.scale /= 2.0
    posterior.model.network.variables[0].assign(posterior.model.network.variables[0] * 1.01)
    posterior.save(here / "other" / "posterior")
    refused = bayesinn("infer", here / "other", "--data", second, "--output", here / "b", *options)
    assert refused.status == 2
    assert "one of this posterior" in refused.err
    (here / "b" / "posterior.nc").write_text("something else")
    assert bayesinn("infer", run, "--data", second, "--output", here / "b", *options).status == 2


def test_the_folder_of_an_answer_alone_has_no_posterior(bayesinn, here: Path) -> None:
    (here / "answered").mkdir()
    (here / "answered" / "posterior.nc").touch()
    answer = bayesinn("report", "answered")
    assert answer.status == 2
    assert "POSTERIOR --output RUN" in answer.err


def test_networks_are_chosen_and_trained_longer(bayesinn, here: Path, capsys) -> None:
    networks = [
        "--summary",
        "y=mlp:units=5,hidden=[7]",
        "--flow",
        "coupling:blocks=2,hidden=[8],transform=spline",
    ]
    options = ["--steps", 10, "--batch-size", 32, "--output", here / "run"]
    assert bayesinn("train", "linear", *networks, *options).status == 0
    first = bi.load(here / "run" / "posterior")
    assert repr(first.summaries["y"]) == "MLP(units=5, hidden=(7,))"
    again = bayesinn("train", "linear", "--output", here / "run")
    assert again.status == 2
    assert "--steps MORE" in again.err
    longer = bayesinn(
        "train", "linear", "--output", here / "run", "--steps", 15, "--batch-size", 32
    )
    assert longer.status == 0, longer.err
    assert "longer: 15 steps" in longer.out
    second = bi.load(here / "run" / "posterior")
    assert second.training["start_from"] == first.fingerprint
    assert second.training["settings"]["steps"] == 15
    assert second.fingerprint != first.fingerprint
    # A resumed run that has ended changes nothing.
    resumed = bayesinn("train", "linear", "--output", here / "run", "--resume")
    assert resumed.status == 0, resumed.err
    assert bi.load(here / "run" / "posterior").fingerprint == second.fingerprint


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(bayesinn, here: Path, monkeypatch) -> None:
    from bayesinn.training.callbacks import History

    end_of_epoch = History.on_epoch_end

    def interrupted(self, epoch, logs=None):
        end_of_epoch(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt

    options = ["train", "linear", "--steps", 20, "--batch-size", 32, "--output", "a run"]
    with monkeypatch.context() as patch:
        patch.setattr(History, "on_epoch_end", interrupted)
        answer = bayesinn(*options)
    assert answer.status == 130
    assert "interrupted; a run keeps the state after step 1 of 20" in answer.err
    assert (
        "to go on: bayesinn train linear --steps 20 --batch-size 32 --output 'a run' --resume"
        in answer.err
    )
    assert "Traceback" not in answer.err
    resumed = bayesinn(*options, "--resume")
    assert resumed.status == 0
    assert bi.load(here / "a run" / "posterior").training["settings"]["steps"] == 20
    more = bayesinn(*options[:3], 30, *options[4:], "--resume")
    assert more.status == 2
    assert "without --resume: bayesinn train NAME --output RUN --steps 30" in more.err


def planned_for_20_steps(minutes, started, posterior, batch_size, options):
    return 20, batch_size, replace(options, minutes=5.0)


def test_a_run_for_some_minutes_is_resumed_as_it_is_told(bayesinn, here, monkeypatch) -> None:
    def interrupted(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bayesinn.cli.training._plan", planned_for_20_steps)
        patch.setattr("bayesinn.training.train.ProgressReport.on_epoch_end", interrupted)
        options = ["--minutes", 0.5, "--batch-size", 32, "--output", "timed"]
        answer = bayesinn("train", "linear", *options)
    told = "bayesinn train linear --batch-size 32 --output timed --resume"
    assert f"to go on: {told}\n" in answer.err
    resumed = bayesinn(*told.split()[1:])
    assert resumed.status == 0, resumed.err
    assert bi.load(here / "timed" / "posterior").training["settings"]["steps"] == 20


def test_a_run_that_was_interrupted_after_drawing_goes_on_as_it_is_told(
    bayesinn, here, monkeypatch
) -> None:
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    # Simulations of worker processes are kept if they cost more than a file.
    monkeypatch.setattr("bayesinn.simulation.engines.kept._WORTH_KEEPING", 0.0)
    model = "sir_numpy --summary deep-set --flow coupling:blocks=1 --passes 4 --batch-size 32"
    told = f"bayesinn train {model} --output drawn --resume"
    # The second time, the posterior of the first is trained longer.
    for steps_before in (0, 20):
        with monkeypatch.context() as patch:
            patch.setattr("bayesinn.cli.training._plan", planned_for_20_steps)
            patch.setattr("bayesinn.training.train.ProgressReport.on_train_begin", interrupted)
            answer = bayesinn("train", *model.split(), "--minutes", 0.5, "--output", "drawn")
        assert f"to go on: {told}\n" in answer.err
        resumed = bayesinn(*told.split()[1:])
        assert resumed.status == 0, resumed.err
        posterior = bi.load(here / "drawn" / "posterior")
        assert (posterior.steps_done, posterior.steps_before) == (20, steps_before)


def test_a_run_that_ended_by_time_is_not_resumed(bayesinn, here, monkeypatch) -> None:
    def stop(self, batch, logs=None):
        self.model.stop_training = self.model.steps_done >= 10

    monkeypatch.setattr("bayesinn.cli.training._plan", planned_for_20_steps)
    monkeypatch.setattr("bayesinn.training.callbacks.Deadline.on_train_batch_end", stop)
    options = ["--batch-size", 32, "--output", "few"]
    few = bayesinn("train", "linear", "--minutes", 0.5, *options)
    assert few.status == 2
    assert "Training for 0.5 minutes" in few.err
    assert "got:      10 steps" in few.err
    assert not (here / "few" / "posterior").exists()
    monkeypatch.setattr("bayesinn.cli.training.FEWEST_STEPS", 5)
    options = ["--batch-size", 32, "--output", "timed"]
    assert bayesinn("train", "linear", "--minutes", 0.5, *options).status == 0
    before = bi.load(here / "timed" / "posterior")
    assert before.steps_done == 10
    assert bayesinn("train", "linear", *options, "--resume").status == 0
    assert bi.load(here / "timed" / "posterior").fingerprint == before.fingerprint


def test_ctrl_c_at_the_start_of_a_longer_training_repeats_the_command(
    bayesinn, model: str, trained: Path, monkeypatch
) -> None:
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("bayesinn.cli.training._load_own", interrupted)
    # The checkpoint is that of the run which has ended: to resume it would train nothing.
    options = ["train", model, "--output", trained, "--minutes", 60]
    told = f"to go on: bayesinn {' '.join(map(str, options))}\n"
    assert told in bayesinn(*options).err


def test_a_training_that_breaks_says_what_is_kept(bayesinn, here: Path, monkeypatch) -> None:
    def broken(*arguments, **options):
        raise TrainingError("Training stopped", expected="a finite loss", got="NaN", do="mend it")

    monkeypatch.setattr(bi.AmortizedPosterior, "fit", broken)
    answer = bayesinn("train", "linear", "--steps", 5, "--output", "run")
    assert answer.status == 2
    assert "run has no new posterior; its checkpoint keeps nothing" in answer.err
    assert "error: Training stopped" in answer.err


def test_other_networks_cost_no_checkpoint(bayesinn, here) -> None:
    options = ["train", "linear", "--steps", 10, "--batch-size", 32, "--output", "kept"]
    assert bayesinn(*options).status == 0
    refused = bayesinn(*options, "--flow", "autoregressive")
    assert refused.status == 2
    assert (here / "kept" / "checkpoint" / "state.h5").is_file()


def test_ctrl_c_ends_any_command(bayesinn, monkeypatch) -> None:
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("bayesinn.cli.commands.descriptions", interrupted)
    answer = bayesinn("list")
    assert answer.status == 130
    assert answer.err.strip() == "interrupted"


def test_a_file_without_permission_is_told_with_a_status_of_its_own(
    bayesinn, tmp_path: Path, monkeypatch
) -> None:
    """Status 1 is that of a posterior outside tolerance."""

    def refuse(*arguments) -> None:
        raise PermissionError(13, "Permission denied", "data.csv")

    (tmp_path / "data.csv").write_text("y\n1.5\n")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        answer = bayesinn("infer", tmp_path, "--data", tmp_path / "data.csv")
    assert answer.status == 2
    assert "expected: a file that can be read" in answer.err
    monkeypatch.setattr("bayesinn.cli.commands.descriptions", refuse)
    answer = bayesinn("list")
    assert answer.status == 2
    assert answer.err == (
        "error: no permission to read or write: [Errno 13] Permission denied: 'data.csv'\n"
    )


def test_ctrl_c_after_the_training_of_a_run_says_how_to_go_on(bayesinn, here, monkeypatch) -> None:
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("bayesinn.cli.run.Run.diagnose", interrupted)
    options = ["--batch-size", 32, "--output", "a run"]
    answer = bayesinn("run", "linear", "--steps", 20, *options)
    assert answer.status == 130
    assert "interrupted; a run keeps the trained posterior" in answer.err
    told = "to go on: bayesinn run linear --steps 20 --batch-size 32 --output 'a run' --resume"
    assert told in answer.err
    before = bi.load(here / "a run" / "posterior")
    # It was told once: the same command again is the one to go on with.
    again = bayesinn("run", "linear", "--steps", 20, *options, "--resume")
    assert told in again.err
    assert bi.load(here / "a run" / "posterior").fingerprint == before.fingerprint


TERMINATED = """
import os, signal, sys, time
# Shells let what runs in the background ignore it.
signal.signal(signal.SIGINT, signal.HOW)
import bayesinn.cli.commands as commands

def wait():
    print("waits", flush=True)
    time.sleep(60)

commands.descriptions = wait
sys.argv = ["bayesinn", "list"]
commands.main()
"""


@pytest.mark.parametrize(
    ("how", "status", "told"),
    [("default_int_handler", 143, "\ninterrupted\n"), ("SIG_IGN", -signal.SIGTERM, "")],
)
def test_termination_ends_a_command_like_ctrl_c(how: str, status: int, told: str) -> None:
    code = TERMINATED.replace("HOW", how)
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "waits\n"
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (status, told)


def test_ctrl_c_in_a_destructor_is_not_lost() -> None:
    """Python ignores exceptions there, and once the command had ended, its status was 0."""
    code = TERMINATED.replace("HOW", "default_int_handler")
    code = code.replace("commands.descriptions", "commands.other").replace(
        "commands.main()",
        """
class Dying:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def die():
    Dying()
    time.sleep(60.0)

commands.descriptions = die
commands.main()
""",
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "\ninterrupted\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_told_without_a_traceback() -> None:
    command = [sys.executable, "-m", "bayesinn.cli", "list"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: output can't be written: [Errno 28] No space left on device\n"


JUNK = """import tensorflow as tf

@bi.simulator(prior={"rate": tfd.Normal(0.0, 1.0)})
def growth(parameters, seed):
    noise = tf.random.stateless_normal((tf.shape(parameters["rate"])[0], 2), seed)
    return {"cases": parameters["rate"] + noise[:, 0], "junk": noise[:, 1]}
"""


def test_check_has_a_status_for_outputs_that_depend_on_no_parameter(bayesinn, here: Path) -> None:
    (here / "junk.py").write_text(HEAD + JUNK)
    answer = bayesinn("check", "junk.py", "--simulations", 100)
    assert answer.status == 3, answer.err
    assert "Simulator 'growth': can be trained, but parameters and outputs are" in answer.out
    assert "networks have to learn to ignore it" in " ".join(answer.out.split())
