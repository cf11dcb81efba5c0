"""Dependence: which pairs of parameters are correlated otherwise in the posterior than in truth."""

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.patches import Rectangle

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import DependenceResult
from bayesinn.plots.panels import canvas
from bayesinn.plots.style import BLACK, PLAIN, Canvas, styled

_MOST_NUMBERS = 12  # numbers in the cells of more parameters would be too small to read
_REACH = 5.0  # excess, in standard errors, beyond which colours no longer change


@styled
def dependence(result: DependenceResult, *, labels: Labels = PLAIN, figure: Canvas | None = None) -> Canvas:
    """Draw a matrix of pairs: blue where the posterior's correlation is too low, red where too high; framed if failing.

    Numbers are excesses in standard errors; those of a correct posterior lie between -2 and 2, 19 times in 20.
    """
    names = result.parameters
    size = len(names)
    inches = max(3.2, min(0.75 * size, 10.0))
    figure = canvas(figure, inches + 1.6, inches)
    ax = figure.add_subplot()
    matrix = np.full((size, size), np.nan)
    for pair, excess, inside in zip(result.pairs, result.excess, result.inside, strict=True):
        column, row = (names.index(name) for name in pair)
        matrix[row, column] = excess
        if not inside:
            ax.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, edgecolor=BLACK, linewidth=1.6))
        if size <= _MOST_NUMBERS:
            text = f"{excess:+.1f}".replace("-", "\N{MINUS SIGN}")
            colour = BLACK if abs(excess) < 0.6 * _REACH else "white"
            ax.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)
    # The last parameter has no column of its own, the first no row.
    image = ax.imshow(matrix[:, :-1], cmap="RdBu", norm=TwoSlopeNorm(0.0, -_REACH, _REACH), aspect="auto")
    ax.set_ylim(size - 0.5, 0.5)
    written = [labels.label(name) for name in names]
    letters = 7 if size > 20 else 9
    turn = 90 if size > 8 or max(map(len, written)) > 10 else 0
    ax.set_xticks(range(size - 1), written[:-1], rotation=turn, fontsize=letters)
    ax.set_yticks(range(1, size), written[1:], fontsize=letters)
    name = "excess of true products [standard errors]"
    figure.colorbar(image, ax=ax, extend="both", shrink=min(1.0, 4.0 / inches), aspect=18, label=name)
    return figure
