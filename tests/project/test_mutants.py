"""The mutation run: what it changes, that it tells caught from not caught, and what its table says of the library."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.mutations import mutants_of
from tests.conftest import ROOT

TABLE = ROOT / "scripts" / "mutants.csv"
CODE = '''"""Double what is large."""
import numpy as np

CHUNK = 128


def double(values: np.ndarray, least: float = 3.0, keep: bool = True) -> np.ndarray:
    """Return 2 * values where they are 1 or more."""
    if values.ndim != 1:
        got = f"{values.ndim + 1} axes"
        raise ValueError(got)
    large = values > least and not np.isnan(values)
    ordered = np.sort(values, axis=0, kind="stable")
    return np.where(large, -values[-1] ** 2, values) if keep else ordered
'''
CHANGES = {
    ("comparison", "values.ndim != 1", "(values.ndim == 1)"),
    ("statement removed", 'if values.ndim != 1: got = f"{values.ndim + 1} axes" raise '
                          'ValueError(got)', "pass"),
    ("boundary", "values > least", "(values >= least)"),
    ("comparison", "values > least", "(values <= least)"),
    ("and/or", "values > least and not np.isnan(values)", "(values > least or not np.isnan(values))"),
    ("sign or not", "not np.isnan(values)", "(np.isnan(values))"),
    ("axis", "axis=0", "axis=-1"),
    ("arithmetic", "values[-1] ** 2", "(values[-1] * 2)"),
    ("constant", "2", "3"),
    ("constant", "1", "2"),
    ("constant", "True", "False"),
    ("argument dropped", 'kind="stable"', "**{}"),
}  # fmt: skip


def test_changes_are_those_that_a_test_should_see(tmp_path: Path) -> None:
    (tmp_path / "double.py").write_text(CODE)
    found = mutants_of(tmp_path, "double.py")
    changes = {(mutant.kind, mutant.before, mutant.after) for mutant in found}
    # Neither types, texts and errors, nor sizes of chunks and numbers in default values.
    assert changes >= CHANGES
    assert not [
        mutant for mutant in found if mutant.line in (1, 4, 8, 10, 11) or "3.0" in mutant.before
    ]
    for mutant in found:
        compile(mutant.text(CODE), "double.py", "exec")
    assert len({tuple(mutant.row().values()) for mutant in found}) == len(found)


def test_what_tests_see_is_caught_and_the_work_tree_left_alone(tmp_path: Path) -> None:
    file = ROOT / "bayesinn" / "diagnostics" / "two_samples.py"
    before = file.read_bytes(), TABLE.read_bytes()
    command = [sys.executable, "scripts/mutate.py", "--quick", "--folder", str(tmp_path)]
    environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "3 mutants, 2 caught (66.7%)" in done.stdout
    with (tmp_path / "mutants.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["outcome"] for row in rows] == ["killed", "killed", "survived"]
    assert rows[0]["test"].startswith(
        "tests/diagnostics/test_sliced_wasserstein.py::test_a_shift_gives"
    )
    assert rows[1]["test"].endswith("test_too_few_reference_points_give_no_expectation")
    assert (file.read_bytes(), TABLE.read_bytes()) == before


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with TABLE.open(newline="") as table:
        return list(csv.DictReader(table))


def test_nearly_all_are_caught_and_the_rest_is_argued(rows: list[dict[str, str]]) -> None:
    survivors = [row for row in rows if row["outcome"] == "survived"]
    assert len(rows) >= 150
    assert len(survivors) <= 0.05 * len(rows)
    assert not [
        (row["file"], row["source"], row["before"]) for row in survivors if not row["argument"]
    ]
