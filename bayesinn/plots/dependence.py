"""Dependence: which pairs of parameters are correlated otherwise in the posterior than in truth."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.patches import Rectangle

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import DependenceResult
from bayesinn.plots.style import BLACK, PLAIN, Canvas, canvas, styled

#: More parameters than this, and numbers in the cells are too small to read.
_MOST_NUMBERS = 12
#: Excesses, in standard errors, beyond which colours no longer change.
_REACH = 5.0


@styled
def dependence(result: DependenceResult, *, labels: Labels = PLAIN, figure: Canvas | None = None) -> Canvas:
    """Draw a matrix of pairs: blue where the posterior's correlation is too low, red where it is too high.

    Numbers are excesses in standard errors: of a right posterior, they lie between -2 and 2, 19 times in 20. A frame
    marks pairs that fail.

    Parameters
    ----------
    result : DependenceResult
    labels : Labels
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.diagnostics import dependence as measure
    >>> values = dict(zip(("rate", "size"), np.random.default_rng(1).normal(size=(2, 300, 100)), strict=True))
    >>> truth, draws = ({name: value[:, part] for name, value in values.items()} for part in (0, slice(1, None)))
    >>> len(dependence(measure(truth, draws, seed=1)).axes)  # with the scale of colours
    2
    """
    names = result.parameters
    size = len(names)
    inches = max(3.2, min(0.75 * size, 10.0))
    figure = canvas(figure, inches + 1.6, inches)
    ax = figure.add_subplot(1, 1, 1)
    matrix = np.full((size, size), np.nan)
    for pair, excess, inside in zip(result.pairs, result.excess, result.inside, strict=True):
        column, row = (names.index(name) for name in pair)
        matrix[row, column] = excess
        if not inside:
            ax.add_patch(_frame(column, row))
        if size <= _MOST_NUMBERS:
            pale = abs(excess) < 0.6 * _REACH
            text = f"{excess:+.1f}".replace("-", "\N{MINUS SIGN}")
            ax.text(column, row, text, ha="center", va="center", fontsize=9, color=BLACK if pale else "white")
    # The last parameter has no column of its own, the first no row.
    image = ax.imshow(matrix[:, :-1], cmap="RdBu", norm=TwoSlopeNorm(0.0, -_REACH, _REACH), aspect="auto")
    ax.set_ylim(size - 0.5, 0.5)
    letters = 7 if size > 20 else 9
    turn = 90 if size > 8 else 0
    ax.set_xticks(range(size - 1), [labels.label(name) for name in names[:-1]], rotation=turn, fontsize=letters)
    ax.set_yticks(range(1, size), [labels.label(name) for name in names[1:]], fontsize=letters)
    bar = figure.colorbar(image, ax=ax, extend="both", shrink=min(1.0, 4.0 / inches), aspect=18)
    bar.set_label("excess of true products [standard errors]")
    return figure


def _frame(column: int, row: int) -> Rectangle:
    return Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, edgecolor=BLACK, linewidth=1.6)
