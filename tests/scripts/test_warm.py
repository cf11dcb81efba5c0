"""Forks stand in for new interpreters: what a script gets and gives is the same."""

from pathlib import Path

import pytest

from tests.helpers.warm import run_script, run_warm

SCRIPT = """
import os, sys, tempfile
import beside
print("bayesinn" in sys.modules, sys.modules["__main__"].__file__ == __file__, beside.NAME)
print(*sys.argv[1:], os.getcwd(), os.environ["GIVEN"], tempfile.gettempdir())
print("aside", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize("status", [0, 3])
def test_a_script_in_a_warm_interpreter(status: int, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    (tmp_path / "beside.py").write_text("NAME = 'imported'")
    private = {"GIVEN": "given", "TMPDIR": str(tmp_path)}
    done = run_warm(run_script, script, [status, "more"], cwd=tmp_path, env=private)
    assert done.stdout.splitlines() == [
        "False True imported",
        f"{status} more {tmp_path} given {tmp_path}",
    ]
    assert (done.returncode, done.stderr) == (status, "aside\n")


def test_an_error_is_told(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("raise ValueError('told')")
    done = run_warm(run_script, script, [], cwd=tmp_path, env={})
    assert done.returncode == 1
    assert "ValueError: told" in done.stderr


def test_worker_processes_end_with_the_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import loky; print(loky.get_reusable_executor(1).submit(abs, -3).result())")
    done = run_warm(run_script, script, [], cwd=tmp_path, env={})
    assert (done.returncode, done.stdout) == (0, "3\n")
