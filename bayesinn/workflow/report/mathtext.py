"""Draw LaTeX labels for HTML, which can't show them: as outlines in the line of text."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup, escape
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from bayesinn.plots.style import styled

_UNITS = 100  # Steps of the drawing in the height of a letter, one em.
_COMMANDS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}


def written(label: str, name: str) -> Markup:
    r"""Write a label in HTML as figures write it: escaped text, or a drawing if it has formulas between dollars.

    The drawing grows with the letters around it, stands on their line and takes their colour. It has no identifiers, so
    any number of them can share a page. ``name`` is read aloud in its place, and shown if it can't be drawn.

    Examples
    --------
    >>> written(r"$\lambda$", "rate")[:46]
    Markup('<svg class="formula" role="img" aria-label="ra')
    >>> written("rate & size", "rate"), written(r"$\unknown$", "rate")
    (Markup('rate &amp; size'), Markup('rate'))
    """
    if "$" not in label:
        return escape(label)
    outline = _outline(label)
    if outline is None:
        return escape(name)
    (left, low), (right, high) = outline.vertices.min(axis=0), outline.vertices.max(axis=0)
    # Letters beside it keep their distance; below the line hangs what is below zero.
    left, right, low, high = min(left, 0.0), right + 4.0, min(low, 0.0), max(high, 0.0)
    commands = " ".join(
        _COMMANDS[code] + ("" if code == Path.CLOSEPOLY else " ".join(f"{value:.4g}" for value in points))
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
    """Return the label's outline, its line at zero; None if there is nothing to draw, or it can't be drawn."""
    try:
        outline = TextPath((0.0, 0.0), label, size=_UNITS, usetex=False)
    # The formula is the user's: what the parser or a font makes of it must not cost the report.
    except Exception:
        return None
    return outline if len(outline.vertices) and np.isfinite(outline.vertices).all() else None
