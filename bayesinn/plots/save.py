"""Write a figure to a file or to bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure, SubFigure
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text

from bayesinn.core.errors import InputError
from bayesinn.plots.style import Canvas

#: Dots per inch of every picture that bayesinn writes.
RESOLUTION = 150


def save(figure: Canvas, path: str | Path, *, metadata: Mapping[str, str] | None = None) -> Path:
    """Save a figure at 150 dots per inch, with metadata that say where it comes from.

    Parameters
    ----------
    figure : Figure
    path : file name; its ending decides the format (png, pdf, svg)
    metadata : mapping of key to text, optional
        Written into the file beside the software's name. PNG takes any key; PDF and SVG only those of their standards
        ("Title", "Author", ...).

    Returns
    -------
    Path

    Raises
    ------
    InputError
        The ending names no format.

    Examples
    --------
    >>> import tempfile
    >>> from matplotlib.figure import Figure
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Figure(), f"{folder}/empty.png", metadata={"Title": "nothing"}).name
    'empty.png'
    """
    path = Path(path)
    formats = {".png": "Software", ".pdf": "Creator", ".svg": "Creator"}
    if path.suffix not in formats:
        raise InputError(
            f"figure file {path.name!r}",
            expected=f"a name that ends in one of {', '.join(formats)}",
            got=repr(path.suffix),
            do="name the file for example 'recovery.png'",
        )
    _readable(figure).savefig(path, dpi=RESOLUTION, metadata={formats[path.suffix]: "bayesinn"} | dict(metadata or {}))
    return path


def png(figure: Canvas) -> bytes:
    """The figure as a PNG picture at 150 dots per inch.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> png(Figure())[1:4]
    b'PNG'
    """
    buffer = io.BytesIO()
    _readable(figure).savefig(buffer, format="png", dpi=RESOLUTION, metadata={"Software": "bayesinn"})
    return buffer.getvalue()


def _readable(figure: Canvas) -> Figure:
    """The whole figure, with labels that are no proper formulas as they were written: no typo costs a report."""
    figure, parser = whole(figure), MathTextParser("path")
    for text in figure.findobj(Text):
        try:
            for line in text.get_text().splitlines():
                if "$" in line:
                    parser.parse(line)
        except ValueError:
            text.set_parse_math(False)
    return figure


def whole(figure: Canvas) -> Figure:
    """The figure itself, where a subfigure was given: only whole figures can be written."""
    while isinstance(figure, SubFigure):
        figure = figure.figure
    return figure
