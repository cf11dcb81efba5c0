"""Draw LaTeX labels as SVG outlines, because HTML can't show LaTeX."""

from typing import NamedTuple

import numpy as np
from markupsafe import Markup, escape
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from bayesinn.plots.panels import styled

_UNITS = 100  # Units of the drawing in one em.
_COMMANDS = {
    Path.MOVETO: "M",
    Path.LINETO: "L",
    Path.CURVE3: "Q",
    Path.CURVE4: "C",
    Path.CLOSEPOLY: "Z",
}


class Drawing(NamedTuple):
    """A label as an SVG path, with the box around it, in hundredths of the font's size.

    The path's vertical axis points upwards from the baseline, that of the box downwards.
    """

    path: str
    left: float
    top: float
    width: float
    height: float


def draw_label(label: str) -> Drawing | None:
    """Draw a label that has formulas in dollars; None if it has none, or they can't be drawn."""
    outline = _outline(label) if "$" in label else None
    if outline is None:
        return None
    left, low = outline.vertices.min(axis=0)
    right, high = outline.vertices.max(axis=0)
    # Leave a gap to the next letter; what is below zero hangs below the baseline.
    left = min(left, 0.0)
    right = right + 4.0
    low = min(low, 0.0)
    high = max(high, 0.0)
    commands = " ".join(
        _COMMANDS[code]
        + ("" if code == Path.CLOSEPOLY else " ".join(f"{value:.4g}" for value in points))
        for points, code in outline.iter_segments(simplify=False)
    )
    box = (round(float(value), 1) for value in (left, -high, right - left, high - low))
    return Drawing(commands, *box)


def write_label(label: str, name: str) -> Markup:
    """Write a label in HTML: as escaped text, or as an SVG drawing if it has formulas in dollars.

    The drawing has size, baseline and colour of the text around it. It has no identifiers, so a
    page can hold many. Screen readers read ``name`` aloud; it is also shown if the label can't be
    drawn.
    """
    if "$" not in label:
        return escape(label)
    drawing = draw_label(label)
    if drawing is None:
        return escape(name)
    path, left, top, width, height = drawing
    return Markup(
        '<svg class="formula" role="img" aria-label="{}" viewBox="{} {} {} {}" '
        'style="width:{:.3f}em;height:{:.3f}em;vertical-align:{:.3f}em">'
        '<path fill="currentColor" transform="scale(1 -1)" d="{}"/></svg>'
    ).format(
        name, left, top, width, height,
        width / _UNITS, height / _UNITS, -(top + height) / _UNITS, path,
    )  # fmt: skip


@styled
def _outline(label: str) -> TextPath | None:
    """Return the label's outline, baseline at zero; None if empty or impossible to draw."""
    try:
        outline = TextPath((0.0, 0.0), label, size=_UNITS, usetex=False)
    # The formula is the user's: an error of the parser or of a font must not prevent the report.
    except Exception:
        return None
    return outline if len(outline.vertices) and np.isfinite(outline.vertices).all() else None
