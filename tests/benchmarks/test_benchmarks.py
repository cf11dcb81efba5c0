"""Each benchmark runs in its quick mode."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = sorted(Path(__file__).parents[2].joinpath("benchmarks").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda path: path.stem)
def test_quick_mode(script):
    finished = subprocess.run([sys.executable, script, "--quick"], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "simulations/s" in finished.stdout
