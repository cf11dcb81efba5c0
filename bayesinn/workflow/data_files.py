"""Observations from files: CSV, JSON or NPZ."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from bayesinn.core.errors import InputError


def read_data(path: str | Path) -> dict[str, np.ndarray]:
    """Read an observation, or several, as a dict of name to array.

    ``.csv``: one observation, a column for each name, rows are steps; a column with a single value is a number.
    ``.json``: an object of name to number or (nested) list. ``.npz``: arrays under their names.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("Data file", expected="a file", got=f"no file {str(path)!r}", do="check the path")
    subject = f"Data file {str(path)!r}"
    try:
        if path.suffix == ".csv":
            return {str(name): _column(column) for name, column in pd.read_csv(path).items()}
        if path.suffix == ".json":
            return {name: np.asarray(value) for name, value in json.loads(path.read_text()).items()}
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
    except (ValueError, AttributeError, OSError, pd.errors.ParserError) as error:
        expected = f"well-formed {path.suffix[1:].upper()} with a name for each array"
        got = f"{type(error).__name__}: {error}"
        raise InputError(subject, expected=expected, got=got, do="correct the file") from error
    raise InputError(subject, expected=".csv, .json or .npz", got=repr(path.suffix), do="convert the file")


def _column(column: pd.Series) -> np.ndarray:
    """Return the values of a column without the empty cells at its end: other columns may be longer."""
    values = column.iloc[: (column.last_valid_index() or 0) + 1].to_numpy()
    return values[0] if len(values) == 1 else values
