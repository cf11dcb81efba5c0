"""What errors are allowed, in figures of calibration: lines at tolerances, colours by grade.

``errors`` is a table with the columns ``measure``, ``column``, ``estimate``, ``unit``,
``tolerance`` and ``grade``, the largest share of its tolerance first, as a finding has it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import special

from bayesinn.plots.style import BLACK, GRADES

#: The worst grade first.
WORST_FIRST = ("outside", "flagged", "undecided", "no upper bound", "within", "")
SYMBOLS = {
    "within": "✓",
    "undecided": "?",
    "no upper bound": "?",
    "outside": "✗",
    "flagged": "?",
    "": "",
}
POINTS = "percentage points"
# Over a panel there is little room.
_SHORT = {
    "error of spread": "spread",
    "error of correlation": "correlation",
    "coverage error": "error",
    "one-sided coverage error": "one-sided",
    "distance from uniform": "distance",
}


class Limits(NamedTuple):
    """Two curves between which an error is allowed, and what they are called."""

    name: str
    low: np.ndarray
    high: np.ndarray
    line: str


def column_error(errors: pd.DataFrame | None, column: str) -> pd.Series | None:
    """Return the error that decides a column's grade; None where nothing was judged."""
    rows = None if errors is None else errors[errors["column"] == column]
    if rows is None or rows.empty:
        return None
    return rows.loc[min(rows.index, key=lambda row: WORST_FIRST.index(rows.loc[row, "grade"]))]


def grade_look(grade: str) -> dict[str, Any]:
    """Return colour, line and label of a curve by its grade."""
    colour, _, line = GRADES[grade]
    names = {"": "not judged", "within": "within tolerance", "outside": "outside tolerance"}
    name = names.get(grade, grade)
    return {"color": colour, "linestyle": line, "label": name}


def write_error(error: pd.Series) -> str:
    """Write an error beside what is allowed.

    >>> write_error(
    ...     pd.Series(
    ...         {
    ...             "measure": "error of spread",
    ...             "estimate": -2.04,
    ...             "unit": "%",
    ...             "tolerance": 5.0,
    ...             "grade": "within",
    ...         }
    ...     )
    ... )
    '✓ spread −2 of 5 %'
    """
    name = _SHORT.get(error["measure"], error["measure"])
    size = f"{error['estimate']:.2g}".replace("-", "\N{MINUS SIGN}")
    unit = "points" if error["unit"] == POINTS else error["unit"]
    text = f"{SYMBOLS[error['grade']]} {name} {size} of {error['tolerance']:g} {unit}".strip()
    return f"{text}, no upper bound" if error["grade"] == "no upper bound" else text


def ecdf_limits(errors: pd.DataFrame | None, points: np.ndarray) -> list[Limits]:
    """Return allowed differences from a uniform ECDF at ``points`` (n,) from 0 to 1.

    A shift and an error of spread are drawn as the ECDF that normal posteriors with such errors
    have. Errors in nats have no place in such a figure.
    """
    if errors is None or errors.empty:
        return []
    name, curves = _ecdfs(errors, points)
    found = [_envelope(name, curves - points)] if name else []
    tolerances = errors.loc[errors["unit"] == POINTS, "tolerance"].unique()
    for tolerance in tolerances:
        ends = np.full(len(points), tolerance / 100.0)
        found.append(Limits(f"allowed: {tolerance:g} points", -ends, ends, ":"))
    return found


def histogram_limits(errors: pd.DataFrame | None, edges: np.ndarray) -> list[Limits]:
    """Return allowed heights (bins,) of a histogram of ranks, 1 if they are uniform."""
    if errors is None or errors.empty:
        return []
    name, curves = _ecdfs(errors, edges)
    return [_envelope(name, np.diff(curves) / np.diff(edges))] if name else []


def _ecdfs(errors: pd.DataFrame, points: np.ndarray) -> tuple[str, np.ndarray]:
    """Return a name, and ECDFs (4, n) of ranks with the allowed shift and spread, both ways."""
    tolerances = errors.drop_duplicates("measure").set_index("measure")["tolerance"]
    shift = tolerances.get("shift", 0.0)
    spread = tolerances.get("error of spread", 0.0) / 100.0
    parts = []
    if shift:
        parts.append(f"shift {shift:g} sd")
    if spread:
        parts.append(f"spread {100 * spread:g} %")
    written = ", ".join(parts)
    score = special.ndtri(points)
    # An error of 100 % or more allows truths that scatter as little as can be: a step.
    least = max(1.0 - spread, np.finfo(float).eps)
    most = 1.0 + spread
    curves = [special.ndtr((score - mean) / sd) for mean in (-shift, shift) for sd in (least, most)]
    return f"allowed: {written}" if written else "", np.stack(curves)


def _envelope(name: str, curves: np.ndarray) -> Limits:
    return Limits(name, np.min(curves, axis=0), np.max(curves, axis=0), "-.")


def draw_limits(ax: Axes, points: np.ndarray, limits: Sequence[Limits], scale: float = 1.0) -> None:
    """Draw the allowed differences into a panel."""
    for limit in limits:
        for curve in (limit.low, limit.high):
            ax.plot(points, scale * curve, limit.line, color=BLACK, linewidth=1.0, label=limit.name)


def reaches(limits: Sequence[Limits]) -> Iterator[float]:
    """Yield the largest allowed difference of each kind."""
    for limit in limits:
        yield float(np.max(limit.high))
