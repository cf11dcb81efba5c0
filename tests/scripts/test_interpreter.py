"""Scripts in one interpreter get and give what they would in one of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.interpreter import PATIENCE, Interpreter

SCRIPT = """
import os, subprocess, sys
import beside
print(sys.modules["__main__"].__file__ == __file__, beside.NAME, "GIVEN" in os.environ)
print(*sys.argv[1:], os.getcwd())
sys.stdout.flush()
subprocess.run([sys.executable, "-c", "print('of a process')"], check=True)
print("aside", file=sys.stderr)
os.environ["GIVEN"] = "here"
os.chdir("/")
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def python(tmp_path: Path) -> Iterator[Interpreter]:
    one = Interpreter(tmp_path)
    yield one
    one.close()


def write(folder: Path, text: str, name: str) -> Path:
    """Write a script, and a module beside it that has the name of its folder."""
    folder.mkdir()
    script = folder / "script.py"
    script.write_text(text)
    (folder / "beside.py").write_text(f"NAME = {name!r}")
    return script


def test_each_script_begins_anew(python: Interpreter, tmp_path: Path) -> None:
    first = write(tmp_path / "first", SCRIPT, "first")
    second = write(tmp_path / "second", SCRIPT, "second")
    for script, name, status in ((first, "first", 3), (second, "second", 0)):
        done = python.run(script, status, "more", cwd=script.parent)
        assert done.stdout.splitlines() == [
            f"True {name} False",
            f"{status} more {script.parent}",
            "of a process",
        ]
        assert (done.returncode, done.stderr) == (status, "aside\n")


def test_modules_of_a_folder_that_a_script_adds_are_forgotten(
    python: Interpreter, tmp_path: Path
) -> None:
    write(tmp_path / "other", "", "other")
    other = write(
        tmp_path / "first",
        f"import sys; sys.path.insert(0, {str(tmp_path / 'other')!r})\nimport beside; print(beside.NAME)",
        "first",
    )
    own = write(tmp_path / "second", "import beside; print(beside.NAME)", "second")
    assert python.run(other, cwd=tmp_path).stdout == "other\n"
    assert python.run(own, cwd=tmp_path).stdout == "second\n"


def test_simulators_of_one_script_are_unknown_to_the_next(
    python: Interpreter, tmp_path: Path
) -> None:
    text = """
import bayesinn as bi, tensorflow_probability as tfp
@bi.simulator(prior={"a": tfp.distributions.Normal(0.0, 1.0)}, name="of_scripts")
def simulate(parameters, seed):
    return {"x": parameters["a"]}
assert "of_scripts" not in bi.list_simulators()
bi.register_simulator(simulate)
print("registered")
"""
    for name in ("first", "second"):
        done = python.run(write(tmp_path / name, text, name), cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, "registered\n"), done.stderr


def test_it_is_prepared(tmp_path: Path) -> None:
    python = Interpreter(tmp_path, "import os; os.environ['GIVEN'] = 'before'")
    try:
        script = write(tmp_path / "folder", "import os; print(os.environ['GIVEN'])", "beside")
        assert python.run(script, cwd=tmp_path).stdout == "before\n"
    finally:
        python.close()


def test_an_error_is_told(python: Interpreter, tmp_path: Path) -> None:
    script = write(tmp_path / "folder", "raise ValueError('told')", "beside")
    done = python.run(script, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("ValueError: told")


@pytest.mark.parametrize("text", ["import os; os._exit(7)", "while True: pass"])
def test_another_interpreter_runs_the_script_after_one_that_ends_or_hangs(
    python: Interpreter, text: str, tmp_path: Path
) -> None:
    python.patience = 1.0
    assert python.run(write(tmp_path / "bad", text, "bad"), cwd=tmp_path).returncode != 0
    python.patience = PATIENCE
    done = python.run(write(tmp_path / "good", "print(1)", "good"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "1\n")
