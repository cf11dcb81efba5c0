"""Write a figure to a file or to bytes."""

import contextlib
import io
import os
from collections.abc import Mapping
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import SubFigure
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bayesinn.core.atomic_write import atomic_write
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_path
from bayesinn.plots.style import Canvas

RESOLUTION = 150  #: dots per inch of every picture that bayesinn writes
WRITER = "bayesinn"  #: in every picture, as the software that made it
_FORMATS = {".png": "Software", ".pdf": "Creator", ".svg": "Creator"}
# The same picture gives the same file.
_NO_DATE: dict[str, dict[str, None]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def save(figure: Canvas, path: str | Path, *, metadata: Mapping[str, str] | None = None) -> Path:
    """Save a figure at 150 dots per inch and return its path.

    The ending decides the format (png, pdf, svg).

    ``metadata`` is written into the file. PNG takes any key; PDF and SVG only those of their
    standards ("Title", ...).
    """
    path = check_path("Argument 'path' of a figure", path, "recovery.png")
    if path.suffix not in _FORMATS:
        raise InputError(
            f"figure file {path.name!r}",
            expected=f"a name that ends in one of {', '.join(_FORMATS)}",
            got=repr(path.suffix),
            do="name the file for example 'recovery.png'",
        )
    with atomic_write(path) as file:
        known = {_FORMATS[path.suffix]: WRITER, **_NO_DATE.get(path.suffix, {})}
        _write(figure, file, known | dict(metadata or {}))
    return path


def png(figure: Canvas) -> bytes:
    """Return the figure as a PNG at 150 dots per inch, of 256 colours: a third of the size."""
    buffer = io.BytesIO()
    small = io.BytesIO()
    text = PngInfo()
    _write(figure, buffer, {})
    text.add_text(_FORMATS[".png"], WRITER)
    with Image.open(buffer) as picture:
        colours = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    colours.save(small, "PNG", dpi=(RESOLUTION, RESOLUTION), optimize=True, pnginfo=text)
    return small.getvalue()


def check_own(path: Path) -> None:
    """Raise unless there is no file yet, or it is a PNG picture that bayesinn wrote."""
    if not os.path.lexists(path):
        return
    # Pillow raises errors of many kinds where there is no picture.
    with contextlib.suppress(Exception), Image.open(path) as picture:
        if picture.info.get(_FORMATS[".png"]) == WRITER and not path.is_symlink():
            return
    raise InputError(
        f"Figure {str(path)!r}",
        expected="no such file, or a figure that bayesinn wrote",
        got="a file of something else",
        do="choose another folder, or move it away",
    )


def _write(figure: Canvas, target: Path | io.BytesIO, metadata: Mapping[str, str | None]) -> None:
    # Only whole figures can be written.
    while isinstance(figure, SubFigure):
        figure = figure.figure
    # Labels that are not valid formulas appear as written, so that no typo costs a report.
    parser = MathTextParser("path")
    for text in figure.findobj(Text):
        try:
            for line in text.get_text().splitlines():
                if "$" in line:
                    parser.parse(line)
        except ValueError:
            text.set_parse_math(False)
    with rc_context({"svg.hashsalt": WRITER}):
        figure.savefig(target, dpi=RESOLUTION, facecolor="auto", metadata=metadata)
