"""What a run folder needs of a diagnosis, without the minutes that one takes."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd


def stub_diagnosis(
    table: pd.DataFrame,
    grade: str,
    methods: str = "",
    plot: Callable[[Path], None] = lambda folder: None,
) -> SimpleNamespace:
    """Return a diagnosis whose tables are all ``table``, and whose figures ``plot`` writes."""
    return SimpleNamespace(
        verdict=table,
        errors=table,
        grade=grade,
        methods=methods,
        left_out={},
        to_dataframe=lambda: table,
        plot=plot,
    )
