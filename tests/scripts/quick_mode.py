"""Run a script in its quick mode.

The tests are in several files, as each file runs in one process.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.interpreter import ROOT, Interpreter
from tests.scripts.truths import check_numbers


def by_path(scripts: list[Path]) -> pytest.MarkDecorator:
    """A test for each script, named by its path."""
    return pytest.mark.parametrize(
        "script", sorted(scripts), ids=lambda path: str(path.relative_to(ROOT))
    )


def check_quick_mode(interpreter: Interpreter, script: Path, folder: Path, *arguments: str) -> None:
    """Check that it succeeds, prints numbers that can be true, and leaves the files beside it alone."""
    before = {file: file.stat().st_mtime_ns for file in script.parent.iterdir() if file.is_file()}
    finished = interpreter.run(script, *arguments, "--quick", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    check_numbers(str(script.relative_to(ROOT)), finished.stdout)
    # Rough numbers must not replace those that are committed.
    assert {
        file: file.stat().st_mtime_ns for file in script.parent.iterdir() if file.is_file()
    } == before
