"""Dependence: pairs of parameters whose posterior correlation differs from that of the truth."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.colors import TwoSlopeNorm
from matplotlib.patches import Rectangle

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import DependenceResult
from bayesinn.plots.arrays import choose
from bayesinn.plots.panels import PAGE, canvas
from bayesinn.plots.style import BLACK, PLAIN, Canvas, styled
from bayesinn.plots.text import inches, wrapped

_MOST_PARAMETERS = 30  # names of more would not fit on a page
_MOST_NUMBERS = 12  # numbers in the cells of more parameters would be too small to read
# Frame of a pair, by the grade of its error.
_FRAMES = {"outside": "-", "undecided": "--", "no upper bound": "--", "within": "", "": ""}
_OUTLINE: dict[str, Any] = {"fill": False, "edgecolor": BLACK, "linewidth": 1.6}
_REACH = 5.0  # excess, in standard errors, beyond which colours no longer change


@styled
def dependence(
    result: DependenceResult,
    *,
    labels: Labels = PLAIN,
    shown: Sequence[str] | None = None,
    errors: pd.DataFrame | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw a matrix of pairs: blue if the posterior's correlation is too low, red if too high.

    Failing pairs are framed. Of more than 30 parameters, those of the most extreme pairs are drawn,
    unless ``shown`` names others. Numbers are excesses in standard errors; for a correct posterior
    they lie between -2 and 2, 19 times in 20. With ``errors``, see :mod:`bayesinn.plots.allowed`,
    they are errors of the correlation. Lines in the colour bar then show what is allowed, and
    frames the grade: solid if a pair is outside tolerance, dashed if it is undecided.
    """
    names = _chosen(result, shown)
    size = len(names)
    points = 9.0 if size <= 20 else 7.5
    written = [wrapped(labels.label(name), 1.3, points) for name in names]
    cell = min(0.75, 5.2 / size)
    # Columns have numbers if their names would need too much room.
    numbered = max(inches(text, points) for text in written) > 0.95 * cell
    lines = max(text.count("\n") + 1 for text in written)
    height = max(3.6, 0.6 + max(cell, (1.25 * lines + 0.3) * points / 72.0) * (size - 1))
    figure = canvas(figure, PAGE if size > 4 else 5.2, height)
    ax = figure.add_subplot()
    matrix = np.full((size, size), np.nan)
    places = {name: place for place, name in enumerate(names)}
    found = _shown_errors(result, errors)
    for pair, value, frame in zip(result.pairs, found.values, found.frames, strict=True):
        if not places.keys() >= set(pair):
            continue
        column, row = sorted(places[name] for name in pair)
        matrix[row, column] = value
        if frame:
            corner = (column - 0.47, row - 0.47)
            ax.add_patch(Rectangle(corner, 0.94, 0.94, linestyle=frame, **_OUTLINE))
        if size <= _MOST_NUMBERS:
            text = f"{value:+.{found.digits}f}".replace("-", "\N{MINUS SIGN}")
            colour = BLACK if abs(value) < 0.6 * found.reach else "white"
            ax.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)
    # The last parameter has no column of its own, the first no row.
    colours = TwoSlopeNorm(0.0, -found.reach, found.reach)
    image = ax.imshow(matrix[:, :-1], cmap=found.colours, norm=colours, aspect="auto")
    ax.set_ylim(size - 0.5, 0.5)
    rows = [f"{text}  {index}" if numbered else text for index, text in enumerate(written, 1)]
    ax.set_xticks(
        range(size - 1), map(str, range(1, size)) if numbered else written[:-1], fontsize=points
    )
    ax.set_yticks(range(1, size), rows[1:], fontsize=points)
    if numbered:
        ax.set_xlabel(wrapped(f"1: {labels.label(names[0])}", 3.0, points), fontsize=points)
    bar = figure.colorbar(
        image, ax=ax, extend="both", shrink=min(1.0, 4.0 / height), aspect=18, label=found.title
    )
    for end in found.allowed:
        bar.ax.axhline(end, color=BLACK, linewidth=1.4)
    return figure


class _Errors(NamedTuple):
    """Value and frame of each pair, and their look."""

    values: np.ndarray
    frames: list[str]
    reach: float  # beyond which colours no longer change
    digits: int
    title: str
    colours: str  # red where the posterior's correlation is too high
    allowed: tuple[float, ...] = ()


def _shown_errors(result: DependenceResult, errors: pd.DataFrame | None) -> _Errors:
    """Return the errors of correlations if they are known, or the excess of each pair."""
    if errors is None or errors.empty:
        frames = ["" if inside else "-" for inside in result.inside]
        title = "excess of true products [standard errors]"
        return _Errors(result.excess, frames, _REACH, 1, title, "RdBu")
    found = errors.set_index("column").loc[list(result.columns)]
    values = found["estimate"].to_numpy(float)
    frames = [_FRAMES[grade] for grade in found["grade"]]
    allowed = float(found["tolerance"].iloc[0])
    title = f"error of correlation (lines: allowed, \N{PLUS-MINUS SIGN}{allowed:g})"
    return _Errors(values, frames, 2.0 * allowed, 2, title, "RdBu_r", (-allowed, allowed))


def _chosen(result: DependenceResult, shown: Sequence[str] | None) -> list[str]:
    """Return the parameters to draw; by default, if there are many, those of the worst pairs."""
    names = [result.parameters[index] for index in choose(result.parameters, shown)]
    if shown is not None or len(names) <= _MOST_PARAMETERS:
        return names
    worst = np.argsort(-np.abs(result.excess), kind="stable")
    ordered = dict.fromkeys(name for pair in worst for name in result.pairs[pair])
    kept = list(ordered)[:_MOST_PARAMETERS]
    return [name for name in names if name in kept]
