"""What all tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Before any test imports TensorFlow; fresh interpreters inherit it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(scope="session")
def fresh_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code in a new interpreter, from the root of the repository; its output as text."""

    def run(code: str | Path, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *(["-c", code] if isinstance(code, str) else [str(code)]), *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        if check and done.returncode:
            pytest.fail(f"{done.args[1][:200]}\n{done.stdout}\n{done.stderr}")
        return done

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: not {"truth", "scripts", "tutorials"} & set(item.path.parts))
