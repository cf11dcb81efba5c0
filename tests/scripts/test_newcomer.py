"""The tasks of a newcomer run as they stand, each in a fresh process, and their table is right."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pandas as pd
import pytest

from scripts.newcomer import TABLE, TASKS
from tests.helpers.interpreter import ROOT


@pytest.mark.parametrize("task", TASKS)
def test_a_task_runs_from_an_empty_folder(task: str) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "newcomer.py"), task, "--quick"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=400, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search("KS distance|largest error|report missing", done.stdout)


def test_each_answer_was_near_enough_and_in_time() -> None:
    table = pd.read_csv(TABLE)
    assert set(table["task"]) == set(TASKS)
    assert (table["value"] <= table["at most"]).all()
