"""The verdict as a picture: each check's interval of error, in units of its tolerance."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bayesinn.core.labels import Labels
from bayesinn.diagnostics.deviation import TOGETHER
from bayesinn.plots.calibration import POINTS, SYMBOLS
from bayesinn.plots.panels import (
    BAND,
    BLACK,
    DASHED,
    GRADES,
    GREY,
    PLAIN,
    Canvas,
    canvas,
    styled,
    wrapped,
)

#: inches, narrow enough for a phone
_WIDTH = 4.8
_ROW = 0.36
# Least and largest range of the axis in tolerances; what lies beyond has an arrow.
_LEAST = 1.6
_MOST = 3.0
# Inches of text beside the panel, and points of its second line.
_BESIDE = 1.9
_SMALL = 7.5
_UNBOUNDED = "no upper bound"


class Judged(Protocol):
    """The parts of a diagnosis that are drawn."""

    @property
    def verdict(self) -> pd.DataFrame:
        """One row for each check, see :attr:`bayesinn.diagnosis.Diagnosis.verdict`."""

    @property
    def decides(self) -> str:
        """What would decide the undecided checks; empty if there are none."""


@styled
def verdict(diagnosis: Judged, *, labels: Labels = PLAIN, figure: Canvas | None = None) -> Canvas:
    """Draw a row for each check that was judged: its largest error, in units of its tolerance.

    A check is within tolerance if its interval lies between the lines at -1 and 1, outside if it
    certainly lies beyond, else undecided; colour, marker and the sign before its name show which.
    Intervals that leave the panel, or have no upper bound, end in arrows. The text below says what
    would decide the undecided checks. A check without a size of error shows its result in words.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.diagnosis import Evidence, diagnose_arrays
    >>> generator = np.random.default_rng(1)
    >>> values = generator.normal(size=(300, 100))
    >>> evidence = Evidence({"mean": values[:, 0]}, {"mean": values[:, 1:]}, {"mean": values[:, 0]})
    >>> figure = verdict(diagnose_arrays(evidence))
    >>> figure.axes[0].get_yticklabels()[0].get_text()
    '? SBC'
    """
    table = diagnosis.verdict
    table = table[table["grade"].ne("")]
    ends = shares(table)
    known = np.abs(ends[np.isfinite(ends)])
    reach = float(np.clip(1.1 * np.max(known, initial=1.0), _LEAST, _MOST))
    note = wrapped(diagnosis.decides, _WIDTH - 0.2, 8.5)
    height = 1.0 + _ROW * len(table) + 0.14 * (1 + note.count("\n")) * bool(note)
    figure = canvas(figure, _WIDTH, height)
    ax = figure.add_subplot()
    ax.axvspan(-1.0, 1.0, **BAND)
    for end in (-1.0, 1.0):
        ax.axvline(end, color=BLACK, linewidth=1.2)
    ax.axvline(0.0, **DASHED | {"color": GREY})
    for place, (row, interval) in enumerate(zip(table.to_dict("records"), ends, strict=True)):
        if np.isfinite(interval[0]):
            _draw(ax, place, interval, row["grade"], reach)
            size = write_size(row)
            what = write_what(row, labels)
            if row["grade"] == _UNBOUNDED:
                what = f"{row['measure']}, {_UNBOUNDED}"
            what = _one_line(what, _SMALL)
        else:
            size = _one_line(row["found"].partition(";")[0], 8.5)
            what = ""
        side: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center"}
        ax.text(1.03, place - 0.18 * bool(what), size, fontsize=8.5, **side)
        ax.text(1.03, place + 0.24, what, fontsize=_SMALL, color="#595959", **side)
    names = [f"{SYMBOLS[grade]} {name}".strip() for name, grade in table["grade"].items()]
    ax.set_yticks(range(len(names)), names, fontsize=9.5)
    ax.set_xticks([-1.0, 0.0, 1.0])
    ax.set(xlim=(-reach, reach), ylim=(len(names) - 0.4, -0.6))
    ax.set_xlabel("largest error / tolerance\n✓ within   ? can't be told   ✗ outside", fontsize=9.0)
    ax.tick_params(axis="y", length=0)
    if note:
        figure.supxlabel(note, fontsize=8.5)
    return figure


def shares(table: pd.DataFrame) -> np.ndarray:
    """Return estimate and interval (checks, 3) over the tolerance; NaN without size of error."""
    numbers = table[["estimate", "lower", "upper"]].to_numpy(float)
    return np.asarray(numbers / table["tolerance"].to_numpy(float)[:, None])


def write_size(row: Mapping[str, Any]) -> str:
    """Write the size of an error, beside what is allowed."""
    low, high = sorted((abs(row["lower"]), abs(row["upper"])))
    low = 0.0 if row["lower"] < 0.0 < row["upper"] else low
    between = f"{low:.2g} to {high:.2g}" if np.isfinite(high) else f"at least {low:.2g}"
    sizes = {"within": f"at most {high:.2g}", "outside": f"at least {low:.2g}"}
    unit = "points" if row["unit"] == POINTS else row["unit"]
    size = sizes.get(row["grade"], between)
    return f"{size} of {row['tolerance']:g} {unit}".rstrip()


def write_what(row: Mapping[str, Any], labels: Labels) -> str:
    """Write the kind of an error, and its column."""
    column = str(row["column"])
    pair = " x ".join(map(labels.label, column.split(" x ")))
    return str(row["measure"]) if column in TOGETHER else f"{row['measure']}, {pair}"


def _one_line(text: str, points: float) -> str:
    """Return the first line of what fits beside the panel."""
    first, *more = wrapped(text, _BESIDE, points).split("\n")
    return f"{first} \N{HORIZONTAL ELLIPSIS}" if more else first


def _draw(ax: Axes, place: int, interval: np.ndarray, grade: str, reach: float) -> None:
    colour, marker, line = GRADES[grade]
    low, high = np.clip(interval[1:], -reach, reach)
    ax.hlines(place, low, high, color=colour, linewidth=2.6, linestyle=line)
    inner = 0.97 * reach
    for end, arrow, beyond in ((low, "<", interval[1] < -reach), (high, ">", interval[2] > reach)):
        style = arrow if beyond else "|"
        ax.plot(np.clip(end, -inner, inner), place, style, color=colour, markersize=7.0)
    look: dict[str, Any] = {"markersize": 7.0, "markeredgecolor": BLACK, "markeredgewidth": 0.6}
    middle = np.clip(interval[0], -0.88 * reach, 0.88 * reach)
    ax.plot(middle, place, marker, color=colour, **look)
