"""Benchmarks and reproductions run in their quick mode."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "paper_results" / "covid19_germany"
SCRIPTS = sorted(
    [
        *ROOT.glob("benchmarks/*.py"),
        *ROOT.glob("paper_results/*/run.py"),
        FOLDER / "networks.py",
        FOLDER / "ablations.py",
    ]
)


@pytest.mark.slow
def test_quick_training_from_another_posterior(tmp_path):
    finished = subprocess.run(
        [sys.executable, FOLDER / "train.py", "covid19", "--quick"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert "held_out_nll" in finished.stdout


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_quick_mode(script, tmp_path):
    before = {file: file.stat().st_mtime_ns for file in script.parent.iterdir() if file.is_file()}
    finished = subprocess.run(
        [sys.executable, script, "--quick"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout
    # Rough numbers must not replace those that are committed.
    assert {file: file.stat().st_mtime_ns for file in script.parent.iterdir() if file.is_file()} == before
