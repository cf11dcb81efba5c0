"""Reproductions run in their quick mode."""

from pathlib import Path

from tests.helpers.interpreter import ROOT, Interpreter
from tests.scripts.quick_mode import by_path, check_quick_mode

SCRIPTS = [
    script
    for script in ROOT.glob("paper_results/**/run.py")
    if script.parent.name != "covid19_germany"
]

MORE = [
    ROOT / "paper_results" / name
    for name in ("sbibm/training/sir_exact.py", "colorization/cifar10.py")
]


@by_path([*SCRIPTS, *MORE])
def test_reproduction(interpreter: Interpreter, script: Path, tmp_path: Path) -> None:
    check_quick_mode(interpreter, script, tmp_path)
