"""What all figures share: colours, font sizes, and the grid of panels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from itertools import accumulate, pairwise
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from bayesinn.core.labels import Labels

#: Colours that stay apart for colour-blind readers and in grey: Okabe & Ito 2008, "Color universal design".
BLUE = "#0072B2"
ORANGE = "#E69F00"
RED = "#D55E00"
BLACK = "#222222"
GREY = "#8A8A8A"
LIGHT_GREY = "#D9D9D9"

#: No labels: names stand as they are.
PLAIN = Labels()

_SETTINGS = {
    "font.size": 10.0,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10.0,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.fontsize": 9.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": BLACK,
    "axes.grid": False,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "text.usetex": False,
    "text.parse_math": True,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.use_mathtext": True,
}

#: What a figure function draws into.
Canvas = Figure | SubFigure


class _Figure(Figure):
    """A figure that notebooks show by themselves, without pyplot."""

    def _repr_png_(self) -> bytes:
        from bayesinn.plots.save import png

        return png(self)


def styled[**Arguments, Result](draw: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Run a figure function under the house settings; those of the caller come back afterwards."""

    @wraps(draw)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with matplotlib.rc_context(_SETTINGS):
            return draw(*args, **kwargs)

    return wrapper


def canvas(figure: Canvas | None, width: float, height: float) -> Canvas:
    """The caller's figure, or a new one of this size in inches."""
    if figure is not None:
        return figure
    return _Figure(figsize=(width, height), layout="constrained")


def panels(
    figure: Canvas | None, count: int, *, width: float = 3.0, height: float = 2.6
) -> tuple[Canvas, list[Axes], int]:
    """A grid for ``count`` panels of ``width`` x ``height`` inches.

    Returns
    -------
    figure
    axes : list of ``count`` axes, row by row
    across : int, panels in a full row
    """
    # At most five across, and smaller panels with the same letters: legible on a page or a laptop screen.
    across = count if count <= 4 else min(5, math.ceil(math.sqrt(1.3 * count)))
    down = math.ceil(count / across)
    if across > 3:
        width, height = 0.87 * width, 0.87 * height
    # A single small panel would cut its own legend and title short.
    figure = canvas(figure, max(width * across, 4.6), height * down + (0.9 if down == 1 else 0.5))
    axes = [figure.add_subplot(down, across, index + 1) for index in range(count)]
    return figure, axes, across


def outer(index: int, count: int, across: int) -> tuple[bool, bool]:
    """Whether a panel stands at the left edge, and whether nothing stands below it."""
    return index % across == 0, index + across >= count


def legend_below(figure: Canvas, axes: Sequence[Axes]) -> None:
    """One legend of all panels, each entry once, below them, where it covers nothing."""
    entries: dict[str, Any] = {}
    for ax in axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(name, handle)
    names = list(entries)
    across = len(names)
    while across > 1 and _legend_width(names, across) > figure.bbox.width / figure.dpi:
        across -= 1
    figure.legend(list(entries.values()), names, loc="outside lower center", ncols=across)


def _legend_width(names: Sequence[str], across: int) -> float:
    """Width in inches: a letter takes about 0.072, a handle with its gaps 0.65. Columns are filled one by one."""
    down, longer = divmod(len(names), across)
    # As matplotlib does it: the first columns are those with one more.
    ends = list(accumulate(down + (column < longer) for column in range(across)))
    return sum(0.65 + 0.072 * max(map(len, names[start:end])) for start, end in pairwise([0, *ends]))
