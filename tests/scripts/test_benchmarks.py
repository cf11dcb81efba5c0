"""Benchmarks run in their quick mode."""

from pathlib import Path

from tests.helpers.interpreter import ROOT, Interpreter
from tests.scripts.quick_mode import by_path, check_quick_mode

# Others are parts of scripts.
SCRIPTS = [script for script in ROOT.glob("benchmarks/*.py") if "__main__" in script.read_text()]


@by_path([*SCRIPTS, ROOT / "benchmarks" / "peers" / "run.py"])
def test_benchmark(interpreter: Interpreter, script: Path, tmp_path: Path) -> None:
    check_quick_mode(interpreter, script, tmp_path)
