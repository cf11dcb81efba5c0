"""The grid of panels that most figures are: their layout, titles, shared labels and common legend."""

import math
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesinn.core.labels import Labels
from bayesinn.plots.save import png
from bayesinn.plots.style import PLAIN, Canvas

LETTERS, _LEGEND_LETTERS = 13.0, 13.9  #: to an inch, in a title and in a legend


class _Figure(Figure):
    """A figure that notebooks show by themselves, without pyplot."""

    def _repr_png_(self) -> bytes:
        return png(self)


def canvas(figure: Canvas | None, width: float, height: float) -> Canvas:
    """Return the caller's figure, or a new one of this size in inches."""
    return _Figure(figsize=(width, height), layout="constrained") if figure is None else figure


class Panels:
    """A grid of equal panels, one for each column, of this size in inches if there are few and the figure is new."""

    def __init__(
        self,
        figure: Canvas | None,
        columns: Sequence[str],
        labels: Labels = PLAIN,
        width: float = 3.0,
        height: float = 2.6,
    ) -> None:
        count = len(columns)
        # At most five across, and smaller panels with the same letters: legible on a page or a laptop screen.
        self.across = count if count <= 4 else min(5, math.ceil(math.sqrt(1.3 * count)))
        down = math.ceil(count / self.across)
        if self.across > 3:
            width, height = 0.87 * width, 0.87 * height
        # A single small panel would cut its own legend and title short.
        self.figure = canvas(figure, max(width * self.across, 4.6), height * down + (0.9 if down == 1 else 0.5))
        self.axes = [self.figure.add_subplot(down, self.across, index + 1) for index in range(count)]
        self._columns, self._labels = columns, labels
        self._letters = LETTERS * float(self.figure.bbox.width / self.figure.dpi) / self.across

    def title(self, index: int, note: str, *, unit: bool = False) -> None:
        """Write the column's label and a note over a panel: in one line if it fits, otherwise in several."""
        name = (self._labels.axis if unit else self._labels.label)(self._columns[index])
        text = f"{name}   {note}"
        if unit or _count(text) > self._letters:
            text = f"{wrapped(name, self._letters)}\n{note}"
        self.axes[index].set_title(text)

    def name(self, index: int) -> None:
        """Write the column's label and unit under a panel."""
        self.axes[index].set_xlabel(wrapped(self._labels.axis(self._columns[index]), self._letters))

    def finish(self, across: str = "", upwards: str = "") -> Canvas:
        """Label the outer panels' axes, add the legend and return the figure."""
        for ax in self.axes[-self.across :]:
            ax.set_xlabel(across or ax.get_xlabel())
        for ax in self.axes[:: self.across]:
            ax.set_ylabel(upwards or ax.get_ylabel())
        return legend_below(self.figure)


def bare(ax: Axes, edges: Sequence[float] | np.ndarray | None = None) -> None:
    """Take the vertical axis away from a finished histogram, and cut it to its bins."""
    if edges is not None:
        ax.set_xlim(edges[0], edges[-1])
    ax.set(ylim=(0.0, None), yticks=[])
    ax.spines["left"].set_visible(False)


def wrapped(text: str, most: float) -> str:
    r"""Break a text at spaces, outside of formulas, into lines of about so many letters.

    >>> wrapped("growth of the second wave", 15)
    'growth of the\nsecond wave'
    """
    lines = textwrap.wrap(text, max(int(most), 8), break_long_words=False, break_on_hyphens=False)
    return text if _count(text) <= most or any(line.count("$") % 2 for line in lines) else "\n".join(lines)


def _count(text: str) -> int:
    r"""Count letters as drawn: a command such as ``\lambda`` is one."""
    return len(re.sub(r"\\[a-zA-Z]+", "x", re.sub(r"[${}_^]", "", text)))


def legend_below(figure: Canvas) -> Canvas:
    """Add one legend of all panels, each entry once, below them, where it covers nothing; return the figure."""
    entries: dict[str, Any] = {}
    for ax in figure.axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(name, handle)
    # A handle with its gaps takes 0.65 inches.
    widths = [0.65 + len(name) / _LEGEND_LETTERS for name in entries]
    inches = figure.bbox.width / figure.dpi
    across = len(widths) if sum(widths) <= inches else max(1, int(inches / max(widths)))
    if entries:
        figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=across)
    return figure
