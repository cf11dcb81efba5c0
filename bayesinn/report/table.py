"""Write a DataFrame as rows of text for the report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Table:
    """Text of a table: header, rows, and which columns hold numbers (set flush right)."""

    header: list[str]
    rows: list[list[str]]
    numeric: list[bool]


def table(frame: pd.DataFrame) -> Table:
    """Format a DataFrame.

    Parameters
    ----------
    frame : DataFrame
        The index becomes the first column.

    Returns
    -------
    Table

    Examples
    --------
    >>> frame = pd.DataFrame({"p": [0.12345], "inside": [True]}, index=pd.Index(["rate"], name="parameter"))
    >>> table(frame).rows
    [['rate', '0.123', 'yes']]
    """
    index = [str(name) if name is not None else "" for name in frame.index.names]
    labels = [list(map(text, label if isinstance(label, tuple) else (label,))) for label in frame.index]
    numeric = [False] * len(index) + [
        pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype) for dtype in frame.dtypes
    ]
    columns = [[text(value) for value in frame.iloc[:, position]] for position in range(frame.shape[1])]
    return Table(
        header=index + [str(name) for name in frame.columns],
        rows=[[*label, *(column[row] for column in columns)] for row, label in enumerate(labels)],
        numeric=numeric,
    )


def text(value: object) -> str:
    """One cell: three decimals (three digits where that says nothing), yes or no, a dash for what is missing.

    Examples
    --------
    >>> [text(value) for value in (1234567, 0.00001234, -0.5, 12345.6, None, float("nan"))]
    ['1,234,567', '1.23e-05', '\u22120.500', '12,346', '\u2013', '\u2013']
    """
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return "\N{EN DASH}"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        written = f"{value:,}"
    elif isinstance(value, float | np.floating):
        size = abs(float(value))
        written = f"{value:.3f}" if 1e-3 <= size < 10 else f"{value:,.0f}" if 1e3 <= size < 1e9 else f"{value:.3g}"
    else:
        return str(value)
    return written.replace("-", "\N{MINUS SIGN}", 1) if written.startswith("-") else written
