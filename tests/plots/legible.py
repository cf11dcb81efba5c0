"""Whether texts of a figure can be read: where they are, which overlap, which leave the figure."""

from __future__ import annotations

import itertools

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

#: Pixels, at 100 to an inch, by which boxes of letters may touch: they hold room above and below
#: the letters.
SLACK = 1.5
#: Inches of a column of the documentation.
COLUMN = 7.0


def overlaps(figure: Figure) -> list[str]:
    """Return pairs of texts whose boxes overlap as drawn, and texts beyond the figure's edges."""
    figure.set_dpi(100)
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in drawn(figure)]
    found = [
        f"{first!r} over {second!r}"
        for (first, one), (second, other) in itertools.combinations(boxes, 2)
        if _shared(one, other) > SLACK
    ]
    edge = figure.bbox
    for text, box in boxes:
        beyond = max(edge.x0 - box.x0, box.x1 - edge.x1, edge.y0 - box.y0, box.y1 - edge.y1)
        if beyond > SLACK:
            found.append(f"{text!r} beyond the edge by {beyond:.0f} pixels")
    return found


def drawn(figure: Figure) -> list[Text]:
    """Return all texts with drawn letters: titles, labels, ticks in view, legends and notes."""
    ticks: set[int] = set()
    shown: list[Text] = []
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        ticks |= {id(text) for text in axis.findobj(Text)} - {id(axis.label)}
        if _visible(axis):
            own = [label for tick in axis._update_ticks() for label in (tick.label1, tick.label2)]
            shown += [*own, axis.offsetText]
    shown += [text for text in figure.findobj(Text) if id(text) not in ticks]
    hidden = [ax for ax in figure.axes if not ax.axison]
    return [
        text
        for text in shown
        if text.get_visible()
        and text.get_text().strip()
        and (text.axes not in hidden or text in text.axes.texts)
    ]


def smallest(figure: Figure) -> float:
    """Return the points of the smallest letters where the documentation shows a figure.

    Its column is 7 inches wide; wider figures are shown smaller. Exponents and indices don't count.
    """
    figure.draw_without_rendering()
    scale = min(1.0, COLUMN / figure.get_figwidth())
    return scale * min((text.get_fontsize() for text in drawn(figure)), default=10.0)


def _visible(axis: Axis) -> bool:
    ax: Axes = axis.axes
    return ax.get_visible() and ax.axison


def _shared(one: Bbox, other: Bbox) -> float:
    """The smaller side of what two boxes share; negative where they are apart."""
    return min(
        min(one.x1, other.x1) - max(one.x0, other.x0), min(one.y1, other.y1) - max(one.y0, other.y0)
    )


def shortest_axis(figure: Figure) -> float:
    """Return the smallest side of all panels in inches: layouts that find no room collapse them."""
    sides = [
        side
        for ax in figure.axes
        if ax.get_label() != "<colorbar>"
        for side in (ax.bbox.width, ax.bbox.height)
    ]
    return min(sides) / figure.dpi


def heading(ax: Axes) -> str:
    """Return what stands over a panel, or beside a row of a stack, in one line."""
    return " ".join(
        " ".join([ax.get_title(), ax.get_ylabel(), *(text.get_text() for text in ax.texts)]).split()
    )
