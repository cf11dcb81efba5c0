"""The parts of a report: sections with text, table and figures."""

import base64
import struct
from collections.abc import Iterable, Sequence
from dataclasses import InitVar, dataclass, field
from pathlib import Path

import pandas as pd

from bayesinn.core.atomic_write import atomic_write
from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.core.validation import check_path
from bayesinn.plots.save import check_own, png
from bayesinn.plots.style import Canvas

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, eq=False)
class Figure:
    """A picture with a caption, which says what is shown and how to tell good from bad."""

    #: drawn at once, so that later changes of the figure don't show; or a PNG file
    picture: InitVar[Canvas | bytes]
    caption: str
    alternative: str = ""  #: text for readers who can't see the picture; the caption if left empty
    png: bytes = field(init=False)  #: the bytes of the PNG file

    def __post_init__(self, picture: Canvas | bytes) -> None:
        drawn = picture if isinstance(picture, bytes) else png(picture)
        if not drawn.startswith(_SIGNATURE):
            raise InputError(
                "picture of a report",
                expected="a matplotlib figure or the bytes of a PNG file",
                got=f"{len(drawn)} bytes that start with {drawn[:8]!r}",
                do="pass the figure itself",
            )
        object.__setattr__(self, "png", drawn)

    @property
    def data(self) -> str:
        """The PNG in base64, as HTML embeds it."""
        return base64.b64encode(self.png).decode("ascii")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels: bytes 16 to 23 of a PNG."""
        width, height = struct.unpack(">II", self.png[16:24])
        return width, height


def save_all(figures: Iterable[tuple[str, Figure]], folder: str | Path) -> list[Path]:
    """Write figures by name as PNG into a folder, which is made if need be, and return their paths.

    Pictures of an earlier call are replaced. If a file of somebody else has the name of a picture,
    an InputError says so before any picture is written.
    """
    folder = check_path("Argument 'folder'", folder, "figures")
    paths = {Path(folder, f"{name}.png"): figure.png for name, figure in figures}
    for path in paths:
        check_own(path)
    folder.mkdir(parents=True, exist_ok=True)
    for path, picture in paths.items():
        with atomic_write(path) as file:
            file.write_bytes(picture)
    return list(paths)


@dataclass(frozen=True, eq=False)
class Section:
    """A part of a report, in this order: title, text, table, figures."""

    title: str
    text: str  #: plain text; an empty line starts a new paragraph
    #: Its index is the first column. Cells of just a grade, such as ``within``, stand out.
    table: pd.DataFrame | None = None
    figures: Sequence[Figure] = ()
    #: if given, names in the table's index are written with label and unit
    labels: Labels | None = None
    #: whether only the title is shown until the reader opens it; paper shows the title alone
    folded: bool = False
