"""The diagnosis as a whole: verdict, table, files; and what it costs to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from bayesinn.diagnostics import Diagnosis, diagnose_arrays
from bayesinn.naming import Labels
from tests.diagnostics.conjugate import normal


def diagnosis(event: tuple[int, ...] = (), width: float = 1.0) -> Diagnosis:
    truth, draws, prior = normal(size=300, draws=100, event=event, width=width)
    labels = Labels({"mean": r"$\mu$"}, {"mean": "mm"})
    return diagnose_arrays(truth, draws, prior, labels, {"simulator": "conjugate"}, seed=4)


def test_a_right_posterior_passes_and_a_wide_one_fails() -> None:
    right, wide = diagnosis(event=(3,)), diagnosis(event=(3,), width=1.4)
    assert right.passed
    assert not wide.passed
    assert "Diagnosis: passed (300 simulations, 100 draws, seed 4)" in repr(right)
    assert "Diagnosis: FAILED" in repr(wide)
    assert "posterior too wide" in repr(wide)
    assert list(wide.verdict["verdict"]) == ["FAILED", "FAILED", ""]


def test_equal_inputs_give_equal_numbers() -> None:
    pd.testing.assert_frame_equal(diagnosis().to_dataframe(), diagnosis().to_dataframe())


def test_table_has_one_row_a_column_and_no_name_twice() -> None:
    table = diagnosis(event=(2, 2)).to_dataframe()
    assert list(table.index) == ["mean[0,0]", "mean[0,1]", "mean[1,0]", "mean[1,1]"]
    assert table.columns.is_unique
    assert {"sbc_p_value", "coverage_calibration_error", "r_squared", "contraction"} <= set(table)


def test_figures_are_written(tmp_path: Path) -> None:
    written = diagnosis().plot(tmp_path / "new" / "figures")
    assert [path.name for path in written] == ["sbc_ecdf.png", "sbc_histogram.png", "coverage.png", "recovery.png"]
    assert all(path.stat().st_size > 5_000 for path in written)


def test_diagnostics_import_neither_tensorflow_nor_matplotlib() -> None:
    program = (
        "import sys; import bayesinn.diagnostics;"
        "print([name for name in ('tensorflow', 'keras', 'matplotlib', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_integers_and_single_precision_are_accepted() -> None:
    truth, draws, prior = normal(size=100, draws=50)
    as_single = [{name: value.astype(np.float32) for name, value in arrays.items()} for arrays in (truth, draws, prior)]
    assert diagnose_arrays(*as_single, Labels(), {}, seed=1).recovery.truth.dtype == np.float64
