"""Write a figure to a file or to bytes."""

import io
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import SubFigure
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text
from PIL import Image

from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_path
from bayesinn.plots.style import Canvas

RESOLUTION = 150  #: dots per inch of every picture that bayesinn writes
_FORMATS = {".png": "Software", ".pdf": "Creator", ".svg": "Creator"}


def save(figure: Canvas, path: str | Path, *, metadata: Mapping[str, str] | None = None) -> Path:
    """Save a figure at 150 dots per inch and return its path; the ending decides the format (png, pdf, svg).

    ``metadata`` is written into the file. PNG takes any key; PDF and SVG only those of their standards ("Title", ...).
    """
    path = check_path("Argument 'path' of a figure", path, "recovery.png")
    if path.suffix not in _FORMATS:
        expected, do = f"a name that ends in one of {', '.join(_FORMATS)}", "name the file for example 'recovery.png'"
        raise InputError(f"figure file {path.name!r}", expected=expected, got=repr(path.suffix), do=do)
    _write(figure, path, {_FORMATS[path.suffix]: "bayesinn"} | dict(metadata or {}))
    return path


def png(figure: Canvas) -> bytes:
    """Return the figure as a PNG picture at 150 dots per inch, of 256 colours: a third of the size."""
    buffer, small = io.BytesIO(), io.BytesIO()
    _write(figure, buffer, {})
    with Image.open(buffer) as picture:
        colours = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    colours.save(small, "PNG", dpi=(RESOLUTION, RESOLUTION), optimize=True)
    return small.getvalue()


def _write(figure: Canvas, target: Path | io.BytesIO, metadata: Mapping[str, str]) -> None:
    # Only whole figures can be written.
    while isinstance(figure, SubFigure):
        figure = figure.figure
    # Labels that are no proper formulas appear as written, so that no typo costs a report.
    parser = MathTextParser("path")
    for text in figure.findobj(Text):
        try:
            for line in text.get_text().splitlines():
                if "$" in line:
                    parser.parse(line)
        except ValueError:
            text.set_parse_math(False)
    figure.savefig(target, dpi=RESOLUTION, facecolor="auto", metadata=metadata)
