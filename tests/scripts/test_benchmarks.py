"""Benchmarks run in their quick mode."""

from pathlib import Path

import pytest

from tests.scripts.quick_mode import ROOT, by_path, check_quick_mode


@pytest.mark.slow
@by_path([*ROOT.glob("benchmarks/*.py"), ROOT / "benchmarks" / "peers" / "run.py"])
def test_benchmark(script: Path, tmp_path: Path) -> None:
    check_quick_mode(script, tmp_path)
