"""Programs as simulators: their input and output, how they fail, that none outlives its draw."""

from __future__ import annotations

import inspect
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import BankError, InputError, SimulatorError
from bayesinn.simulation.bank import Bank
from bayesinn.simulation.engines.program import Program, _running, end_programs, run_program
from tests.conftest import ROOT
from tests.helpers.models import small_flow

tfd = tfp.distributions
PRIOR = {"rate": tfd.LogNormal(0.0, 0.5), "slopes": tfd.Normal([0.0, 0.0], 1.0)}
PYTHON = [sys.executable, "-I", "-S", "-c"]
GIVEN = {"rate": 0.1, "slopes": np.array([1.0, -2.5])}
#: All that a program is given, as observables.
ECHO = """
import json, sys
given = json.load(READ)
p, c = given["parameters"], given["context"]
json.dump({"rate_seen": p["rate"], "slopes_seen": p["slopes"], "seed_seen": given["seed"], **c}, WRITE)
"""


def generator() -> np.random.Generator:
    return np.random.default_rng([1, 2])


def call(command, output: str = "json", context=(), parameters=GIVEN):
    return Program(command, output)(parameters, *context, generator())


def declare(command, **options) -> bi.Simulator:
    return bi.command_simulator(
        command, **{"prior": PRIOR, "workers": 1, "time_limit": 60.0, **options}
    )


def sh(script: str) -> list[str]:
    return ["sh", "-c", script.replace("{", "{{").replace("}", "}}")]


# The protocol


@pytest.mark.parametrize(
    ("read", "write", "places"),
    [
        ("sys.stdin", "sys.stdout", []),
        ("open(sys.argv[1])", "sys.stdout", ["{input}"]),
        ("sys.stdin", 'open(sys.argv[1], "w")', ["{output}"]),
        ("open(sys.argv[2])", 'open(sys.argv[1], "w")', ["{output}", "{input}"]),
    ],
)
def test_json_by_streams_and_files(read: str, write: str, places: list[str]) -> None:
    code = ECHO.replace("READ", read).replace("WRITE", write).replace("{", "{{").replace("}", "}}")
    found = call([*PYTHON, code, *places], context=[{"dose": 3}])
    seed = generator().integers(2**31)
    for name, value in {
        "rate_seen": 0.1,
        "slopes_seen": [1.0, -2.5],
        "seed_seen": seed,
        "dose": 3,
    }.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_arguments() -> None:
    script = 'printf "{\\"x\\": [$1, $2, $3, $4], \\"y\\": $5}" "$1"'
    command = [*sh(script), "sh", "{rate}", "{slopes[1]}", "{rate:.3f}", "{seed}", "{slopes}"]
    found = call(command, parameters={**GIVEN, "rate": 0.1 + 0.2})
    np.testing.assert_array_equal(found["x"], [0.1 + 0.2, -2.5, 0.3, generator().integers(2**31)])
    np.testing.assert_array_equal(found["y"], [1.0, -2.5])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x,y\n1,5\n2.5,\n-3e2,\n", {"x": [1.0, 2.5, -300.0], "y": 5.0}),
        ("\n x , y\r\n1,NA\r\nnan,2\r\n\r\n", {"x": [1.0, np.nan], "y": [np.nan, 2.0]}),
        ('"x"\n7', {"x": 7.0}),
        ("x,y\n1,\n2,\n", {"x": [1.0, 2.0], "y": np.nan}),
        ("x,y\n1,3\n,\n2,4\n", {"x": [1.0, np.nan, 2.0], "y": [3.0, np.nan, 4.0]}),
    ],
)
@pytest.mark.parametrize("place", ["", "{output}"])
def test_csv(text: str, expected: dict, place: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(text)
    found = call(["cp" if place else "cat", str(tmp_path / "text"), *[place] * bool(place)], "csv")
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_numbers_keep_their_kind_and_null_is_nan() -> None:
    found = call(sh("""echo '{"n": 3, "x": [1.5, null], "grid": [[1, 2], [3, 4]]}'"""))
    assert found["n"].dtype.kind == "i"
    np.testing.assert_array_equal(found["x"], [1.5, np.nan])
    assert found["grid"].shape == (2, 2)


def test_a_program_runs_in_a_folder_of_its_own(tmp_path: Path, monkeypatch) -> None:
    """Nothing is left of it, and relative paths are those of the declaration."""
    monkeypatch.chdir(tmp_path)
    Path("model").write_text(
        '#!/bin/sh\nls > here; wc -l < here | tr -d " " > count; cat "$1" count\n'
    )
    Path("model").chmod(0o755)
    Path("header").write_text("files\n")
    program = Program(["./model", "header"], "csv")
    monkeypatch.chdir("/")
    # The list of files is in it.
    np.testing.assert_array_equal(program(GIVEN, generator())["files"], 1.0)
    assert sorted(os.listdir(tmp_path)) == ["header", "model"]


# As a simulator


def test_context_and_options_reach_the_simulator() -> None:
    command = ["printf", '{{"x": [{rate}, {dose}]}}']
    context = {"dose": tfd.Uniform(1.0, 2.0)}
    simulator = declare(command, context=context, name="echo", units={"rate": "1/day"})
    sample = simulator.sample(5, seed=1)
    np.testing.assert_allclose(
        sample["x"], np.stack([sample["rate"], sample["dose"]], axis=1), rtol=1e-6
    )
    assert simulator.name == "echo"
    assert declare(["printf", '{{"x": 1}}']).name == "printf"


def test_results_do_not_depend_on_the_number_of_workers() -> None:
    samples = [
        declare(["printf", '{{"x": [{rate}, {seed}]}}'], workers=n).sample(40, seed=1)
        for n in (1, 2)
    ]
    np.testing.assert_array_equal(samples[0]["x"], samples[1]["x"])
    seeds = samples[0]["x"][:, 1]
    assert len(np.unique(seeds)) == 40
    assert 0.0 <= seeds.min() < seeds.max() < 2**31


def test_workers_stay_light() -> None:
    simulator = declare(["printf", '{{"x": 1}}'])
    program = simulator.function

    def spy(parameters, generator):
        import sys

        return {**program(parameters, generator), "heavy": "tensorflow" in sys.modules}

    assert (
        not bi.simulator(prior=PRIOR, engine="python", workers=1)(spy)
        .sample(2, seed=1)["heavy"]
        .any()
    )


def test_all_options_of_simulator_but_two_are_those_of_the_function() -> None:
    options = inspect.signature(bi.simulator.__init__).parameters.keys() - {"self"}
    own = inspect.signature(bi.command_simulator).parameters.keys()
    assert own == options - {"engine", "batched"} | {"command", "output"}
    for wrong in ({"engine": "tensorflow"}, {"ouput": "csv"}):
        with pytest.raises(TypeError, match=repr(next(iter(wrong)))):
            declare(["true"], **wrong)


# Faults of the command


@pytest.mark.parametrize(
    ("command", "fragments"),
    [
        ("./model --dt 0.1", ["'./model --dt 0.1'", "['./model', '--dt', '0.1']"]),
        ([], ["a list of texts", "[]"]),
        (["ls", 0.1], ["numbers as texts"]),
        (["./missing"], ["Program './missing'", "no such program", "current folder"]),
        (["no-such-program"], ["no such program"]),
        (["./plain"], ["may not be run", "chmod +x ./plain", "['python', './plain']"]),
        (["runs"], ["'./runs'"]),
        (["ls", "{rate"], ["'{rate'", "{{ and }}"]),
        (["ls", "{rat}"], ["'rat'", "did you mean 'rate'?"]),
        (["ls", "{}"], ["got:      ''"]),
    ],
    ids=str,
)
def test_commands_that_can_not_run_are_refused_at_declaration(
    command, fragments, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain").touch()
    Path("runs").touch(0o755)
    with pytest.raises((InputError, SimulatorError)) as error:
        declare(command)
    for fragment in fragments:
        assert fragment in str(error.value)


def test_a_parameter_may_not_be_called_like_a_place() -> None:
    prior = {"seed": tfd.Normal(0.0, 1.0)}
    with pytest.raises(SimulatorError, match=r"(?s)'seed'.*rename the parameter"):
        declare(["printf", '{{"x": {seed}}}'], prior=prior)
    assert declare(["printf", '{{"x": 1}}'], prior=prior).observable_shapes == {"x": ()}


def test_a_bank_is_one_of_a_command_wherever_its_files_are(tmp_path: Path) -> None:
    banks = tmp_path / "bank"

    def simulate(folder: str, factor: int) -> Bank:
        script = tmp_path / folder / "model.py"
        script.parent.mkdir(exist_ok=True)
        script.write_text("import sys; print('x'); print(float(sys.argv[1]) * float(sys.argv[2]))")
        simulator = declare(
            [sys.executable, script, "{rate}", str(factor)], output="csv", name="model"
        )
        return bi.simulate_bank(simulator, 4, banks, seed=1, progress=False)

    simulate("here", 1)
    simulate("there", 1)
    with pytest.raises(BankError, match="the program's command is"):
        simulate("here", 100)


@pytest.mark.parametrize("folder", ["a{b}", "{rate}", "{"])
def test_programs_may_be_in_folders_with_braces(folder: str, tmp_path: Path, monkeypatch) -> None:
    place = tmp_path / folder
    place.mkdir()
    code = "import sys; print('x'); print(float(sys.argv[1]) * float(sys.argv[2]))"
    (place / "model.py").write_text(code)
    (place / "model{1}.py").write_text(code)
    (place / "model").write_text(f"#!{sys.executable}\n{code}\n")
    (place / "model").chmod(0o755)
    expected = None
    with monkeypatch.context() as patch:
        patch.chdir(place)
        # A file of such a name takes no placeholder's place.
        (place / "{rate}").write_text("mine")
        for command in (
            [sys.executable, "model.py"], [sys.executable, str(place / "model.py")],
            [sys.executable, Path("model{1}.py")], ["./model"],
        ):  # fmt: skip
            simulator = declare([*command, "{rate}", "2"], output="csv", name="model", workers=1)
            drawn = simulator.sample(3, seed=1)
            np.testing.assert_allclose(drawn["x"], 2.0 * drawn["rate"], rtol=1e-6)
            expected = drawn if expected is None else expected
            np.testing.assert_array_equal(drawn["x"], expected["x"])


def test_output_is_json_or_csv() -> None:
    with pytest.raises(InputError, match="'json' or 'csv'"):
        declare(["true"], output="xml")


# Faults of a draw

OTHER_TEXT = "let it write its result to the file {output}"
FAILURES = {
    "exit status 3, and the standard error ends with 'bad rate": (sh("echo bad rate >&2; exit 3"), "json"),
    "exit status 4, and no standard error": (sh("echo text; exit 4"), "json"),
    "killed by SIGSEGV": (sh("kill -SEGV $$"), "json"),
    "written no file {output}": (["true", "{output}"], "json"),
    "standard output is empty": (["true"], "json"),
    f"begins with 'starting', which is no JSON of numbers (Expecting value.*{OTHER_TEXT}": (
        sh("""echo starting; echo '{"x": 1}'"""), "json",
    ),
    "no object such as": (["echo", "[1.0]"], "json"),
    "'a' is no number": (["echo", '{{"x": "a"}}'], "json"),
    "inhomogeneous": (["echo", '{{"x": [[1], [1, 2]]}}'], "json"),
    f"begins with 'starting', which is no CSV of numbers.*{OTHER_TEXT}": (["echo", "starting"], "csv"),
    "a header of different names is needed": (["printf", "1.0\n2.0\n"], "csv"),
    "row 1 below the header has more cells": (["printf", "x\n1,2\n"], "csv"),
    "row 2 below the header has fewer cells": (["printf", "x,y\n1,2\n3\n"], "csv"),
    "could not convert string to float: '1_000'": (["printf", "x\n1_000\n"], "csv"),
    "'1_000' is no number": (["echo", '{{"x": "1_000"}}'], "json"),
    "'2' is no number": (["echo", '{{"x": [1, null, "2"]}}'], "json"),
    "'x' is there twice": (["echo", '{{"x": 1, "x": 2}}'], "json"),
    "could not convert string to float: 'b'": (["printf", "x\nb\n"], "csv"),
}  # fmt: skip


@pytest.mark.parametrize("got", FAILURES)
def test_what_fails_says_how_and_with_which_command_and_seed(got: str) -> None:
    command, output = FAILURES[got]
    with pytest.raises(ChildProcessError) as error:
        call(command, output)
    message = str(error.value)
    start = 0
    for fragment in got.split(".*"):
        start = message.index(fragment, start)
    assert f"with seed {generator().integers(2**31)}" in message
    assert f"run as {shutil.which(command[0])}" in message


def test_the_last_lines_of_the_standard_error_are_shown() -> None:
    with pytest.raises(ChildProcessError) as error:
        call(sh("seq 1000 >&2; exit 1"))
    assert "'996\\n997\\n998\\n999\\n1000'" in str(error.value)


#: Far from the centre, which no draw of the trial is, a program that fails.
FRAGILE = 'if [ "${rate%.*}" -ge 3 ]; then FAULT; fi; printf \'{"x": %s}\' "$rate"'


def fragile(fault: str, **options) -> bi.Simulator:
    script = sh('rate="$1"; ' + FRAGILE.replace("FAULT", fault))
    return declare(
        [*script, "sh", "{rate:.6f}"],
        prior={"rate": tfd.LogNormal(0.0, 0.5)},
        name="odd",
        **options,
    )


@pytest.mark.parametrize(
    ("fault", "got"),
    [
        (
            "echo too large >&2; exit 3",
            "exit status 3, and the standard error ends with 'too large'",
        ),
        ("kill -9 $$", "killed by SIGKILL"),
        ("sleep 600", "nothing after the time limit of 1.5 s"),
        ("rate=nan", None),
        ("exit 0", "standard output is empty"),
    ],
)
def test_a_draw_that_fails_follows_the_policy(fault: str, got: str | None) -> None:
    fault = fault.replace("rate=nan", "rate=NaN")
    with pytest.raises(SimulatorError) as error:
        fragile(fault, time_limit=1.5).sample(150, seed=1)
    for fragment in ("'odd'", *[got] * bool(got), "'rate': "):
        assert fragment in str(error.value)
    drawn = fragile(fault, time_limit=1.5, on_nonfinite="redraw").draw(150, seed=1)
    assert 1 <= drawn.failed < 30
    assert drawn.parameters["rate"].max() < 3.0
    np.testing.assert_allclose(drawn.observables["x"], drawn.parameters["rate"], atol=1e-6)


def test_other_names_are_an_error_with_the_parameters() -> None:
    with pytest.raises(SimulatorError, match=r"(?s)Names and shapes.*\{'y': \(\)\}.*'rate': "):
        fragile("""echo '{"y": 1}'; exit 0""").sample(150, seed=1)


# Ends


def lives(process: int) -> bool:
    """Whether a process runs; one that has ended may wait for its parent."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition) -> None:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < 60.0
        time.sleep(0.02)


def test_a_time_limit_ends_all_that_the_program_has_started(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = sh(f"sleep 600 & echo $! $$ >> {log}; wait")
    with pytest.raises(SimulatorError, match="time limit of 1 s"):
        declare(script, time_limit=1.0)
    started = [int(number) for number in log.read_text().split()]
    assert len(started) >= 2
    wait_for(lambda: not any(map(lives, started)))


def test_programs_end_with_the_process_that_started_them() -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(run_program(["sleep", "600"], "", "/")))
    thread.start()
    wait_for(lambda: _running)
    end_programs()
    thread.join(60.0)
    assert found[0].returncode == -signal.SIGKILL
    assert not _running


SCRIPT = """
import bayesinn as bi, sys
import tensorflow_probability as tfp
script = "if [ -e FILE ]; then echo $$ >> LOG; sleep 600; fi; echo '{{\\"x\\": 1}}'"
prior = {"rate": tfp.distributions.Normal(0.0, 1.0)}
model = bi.command_simulator(["sh", "-c", script], prior=prior, workers=2)
open("FILE", "w").close()
model.sample(8, seed=1)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_program_survives(number: int, tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = SCRIPT.replace("FILE", str(tmp_path / "hang")).replace("LOG", str(log))
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        wait_for(
            lambda: (
                process.poll() is not None or (log.exists() and len(log.read_text().split()) == 2)
            )
        )
        assert process.poll() is None
        process.send_signal(number)
        process.wait(60.0)
        wait_for(lambda: not any(lives(int(program)) for program in log.read_text().split()))
    finally:
        process.kill()


# The whole way

C = r"""
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t state;

static double uniform(void) { /* splitmix64 */
    uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return ((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static double normal(void) { return sqrt(-2.0 * log(1.0 - uniform())) * cos(2.0 * M_PI * uniform()); }

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    double offset = atof(argv[1]), slope = atof(argv[2]);
    state = strtoull(argv[3], NULL, 10);
    puts("y");
    for (int i = 0; i < 6; i++) printf("%.17g\n", offset + slope * (i / 5.0) + 0.5 * normal());
    return 0;
}
"""


@pytest.fixture(scope="module")
def line(tmp_path_factory) -> bi.Simulator:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("line")
    (folder / "line.c").write_text(C)
    subprocess.run([compiler, "-O2", "line.c", "-o", "line", "-lm"], cwd=folder, check=True)
    prior = {name: tfd.Normal(0.0, 1.0) for name in ("offset", "slope")}
    command = [folder / "line", "{offset}", "{slope}", "{seed}"]
    return bi.command_simulator(command, prior=prior, output="csv", workers=2, time_limit=60.0)


def exact(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (n, 2) and sd (2,) of posteriors of a line with noise sd 0.5, standard normal prior."""
    design = np.stack([np.ones(6), np.arange(6) / 5.0], axis=1)
    covariance = np.linalg.inv(np.eye(2) + design.T @ design / 0.25)
    return data @ design @ covariance / 0.25, np.sqrt(np.diag(covariance))


@pytest.mark.slow
def test_a_c_program_to_its_exact_posterior(line: bi.Simulator, tmp_path: Path) -> None:
    simulations = line.sample(3_000, seed=1)
    posterior = bi.AmortizedPosterior(
        line, flow=small_flow(blocks=3), summary=bi.summaries.Identity()
    )
    posterior.fit(simulations, steps=1_500, seed=1, progress=False)
    fresh = {"y": line.sample(100, seed=2)["y"]}
    mean, sd = exact(fresh["y"])
    draws = posterior.sample(fresh, draws=1_000, seed=3)
    for axis, name in enumerate(("offset", "slope")):
        # Monte Carlo error of a mean is 0.03 sd, and of an sd 0.02 sd.
        error = (draws[name].mean(axis=1) - mean[:, axis]) / sd[axis]
        assert np.sqrt(np.mean(error**2)) < 0.2
        assert np.mean(draws[name].std(axis=1)) / sd[axis] == pytest.approx(1.0, abs=0.1)
    diagnosis = bi.diagnose(posterior, simulations=200, draws=250, seed=4)
    assert diagnosis.grade != "outside"
    posterior.save(tmp_path / "saved")
    loaded = bi.load(tmp_path / "saved", line)
    equal = (each.sample(fresh, draws=10, seed=1)["slope"] for each in (posterior, loaded))
    np.testing.assert_array_equal(*equal)


def test_what_a_failed_program_leaves_is_ended(tmp_path) -> None:
    """The child writes its number, closes its pipes, and outlives the program."""
    script = "sleep 60 >/dev/null 2>&1 </dev/null & echo $!; exit 1"
    done = run_program(["sh", "-c", script], "", str(tmp_path))
    assert done.returncode == 1
    child = int(done.stdout)
    for _ in range(50):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        if "Z" in Path(f"/proc/{child}/stat").read_text().rpartition(")")[2]:
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("it still runs")


@pytest.mark.parametrize(
    "script",
    [
        """sleep 100 & echo '{"x": 1.0}'""",
        """(sleep 0.3; echo '{"x": 1.0}') & true""",
        """(sleep 0.3; echo '{"x": 1.0}'; sleep 100) & true""",
    ],
)
def test_children_that_hold_the_standard_output_hide_no_answer(script: str) -> None:
    begun = time.monotonic()
    assert call(sh(script))["x"] == 1.0
    assert time.monotonic() - begun < 10.0


def test_a_program_that_ends_its_worker_leaves_no_folder(tmp_path: Path) -> None:
    code = f"""
import tempfile
tempfile.tempdir = {str(tmp_path)!r}
import bayesinn as bi
import tensorflow_probability as tfp
prior = {{"rate": tfp.distributions.Normal(0.0, 1.0)}}
bi.command_simulator(["sh", "-c", "kill -9 $PPID; sleep 1"], prior=prior, workers=1)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "a worker process that ended twice" in done.stderr
    assert not list(tmp_path.iterdir())
