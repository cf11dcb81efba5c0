"""Draw LaTeX labels as SVG outlines, because HTML can't show LaTeX."""

import numpy as np
from markupsafe import Markup, escape
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from bayesinn.plots.style import styled

_UNITS = 100  # Units of the drawing in one em.
_COMMANDS = {
    Path.MOVETO: "M",
    Path.LINETO: "L",
    Path.CURVE3: "Q",
    Path.CURVE4: "C",
    Path.CLOSEPOLY: "Z",
}


def write_label(label: str, name: str) -> Markup:
    """Write a label in HTML: as escaped text, or as an SVG drawing if it has formulas in dollars.

    The drawing has size, baseline and colour of the text around it. It has no identifiers, so a
    page can hold many. Screen readers read ``name`` aloud; it is also shown if the label can't be
    drawn.
    """
    if "$" not in label:
        return escape(label)
    outline = _outline(label)
    if outline is None:
        return escape(name)
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
    return Markup(
        '<svg class="formula" role="img" aria-label="{}" viewBox="{:.1f} {:.1f} {:.1f} {:.1f}" '
        'style="width:{:.3f}em;height:{:.3f}em;vertical-align:{:.3f}em">'
        '<path fill="currentColor" transform="scale(1 -1)" d="{}"/></svg>'
    ).format(
        name, left, -high, right - left, high - low,
        (right - left) / _UNITS, (high - low) / _UNITS, low / _UNITS, commands,
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
