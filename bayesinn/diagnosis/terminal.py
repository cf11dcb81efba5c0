"""The verdict as text for a terminal: each error as a bar over its tolerance, in colour."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.text import Text

from bayesinn.diagnosis.tolerances import FLAGGED, OUTSIDE, UNBOUNDED, UNDECIDED, WITHIN
from bayesinn.plots.verdict import shares

# A letter stands for so many of the tolerance; the bar reaches twice as far as is allowed.
_HALF = 10
_PER_TOLERANCE = 5
_STYLES = {
    WITHIN: "blue",
    UNDECIDED: "yellow",
    UNBOUNDED: "yellow",
    OUTSIDE: "bold red",
    FLAGGED: "bold red",
    "": "dim",
}
_MARKS = {WITHIN: "\N{BLACK CIRCLE}", OUTSIDE: "\N{HEAVY BALLOT X}"}


def bar(interval: np.ndarray, grade: str) -> str:
    """Draw estimate, lower and upper end (3,), over the tolerance, in 21 letters.

    The two vertical lines mark the tolerance.

    >>> bar(np.array([0.2, -0.4, 0.6]), "within")
    '·····│··━━━●━━·│·····'
    """
    letters = ["\N{MIDDLE DOT}"] * (2 * _HALF + 1)
    if not np.isfinite(interval[0]):
        return " " * len(letters)
    places = _HALF + np.rint(_PER_TOLERANCE * np.clip(interval, -9.0, 9.0)).astype(int)
    middle, low, high = np.clip(places, 0, 2 * _HALF)
    letters[low : high + 1] = ["\N{BOX DRAWINGS HEAVY HORIZONTAL}"] * (high + 1 - low)
    for end in (-_PER_TOLERANCE, _PER_TOLERANCE):
        letters[_HALF + end] = "\N{BOX DRAWINGS LIGHT VERTICAL}"
    letters[middle] = _MARKS.get(grade, "\N{BLACK DIAMOND}")
    if places[1] < 0:
        letters[0] = "\N{BLACK LEFT-POINTING TRIANGLE}"
    if places[2] > 2 * _HALF:
        letters[-1] = "\N{BLACK RIGHT-POINTING TRIANGLE}"
    return "".join(letters)


def write_checks(verdict: pd.DataFrame) -> Sequence[Text]:
    """Write a line for each check: name, grade, bar, what was found and what is allowed."""
    width = max(map(len, verdict.index)) + 2
    longest = max(9, *map(len, verdict["grade"])) + 2
    bars = shares(verdict)
    lines = []
    for interval, (name, row) in zip(bars, verdict.iterrows(), strict=True):
        style = _STYLES[row["grade"]]
        line = Text(f"  {name:<{width}}")
        line.append(f"{row['grade']:<{longest}}", style)
        line.append(f"{bar(interval, row['grade'])}  ", style)
        line.append(str(row["found"]))
        line.append(f" (allowed: {row['allowed']})" if row["allowed"] else "", "dim")
        lines.append(line)
    return lines
