"""The scripts of the Covid-19 case study run in their quick mode."""

from pathlib import Path

import pytest

from tests.helpers.interpreter import ROOT, Interpreter
from tests.scripts.quick_mode import by_path, check_quick_mode

FOLDER = ROOT / "paper_results" / "covid19_germany"


@by_path([FOLDER / f"{name}.py" for name in ("run", "networks", "ablations")])
def test_script(interpreter: Interpreter, script: Path, tmp_path: Path) -> None:
    check_quick_mode(interpreter, script, tmp_path)


def test_training(interpreter: Interpreter, tmp_path: Path) -> None:
    check_quick_mode(interpreter, FOLDER / "train.py", tmp_path, "covid19")


@pytest.mark.parametrize("network", ["plain", "published"])
def test_training_from_simulations_only(
    interpreter: Interpreter, network: str, tmp_path: Path
) -> None:
    check_quick_mode(interpreter, FOLDER / "simulations_only.py", tmp_path, network)
