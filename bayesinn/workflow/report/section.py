"""The parts of a report: sections with text, table and figures."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.plots.save import png
from bayesinn.plots.style import Canvas

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, eq=False)
class Figure:
    """A picture with a caption.

    Parameters
    ----------
    picture : matplotlib Figure, or bytes of a PNG file
        Drawn at once, so that later changes to the figure do not change the report.
    caption : str
        What is shown and how to tell good from bad.
    alternative : str
        Text for readers who can't see the picture; the caption if left empty.

    Examples
    --------
    >>> from bayesinn.plots import loss
    >>> history = pd.DataFrame({"step": [1, 2], "loss": [3.0, 2.0]})
    >>> Figure(loss(history), "The loss falls.").width > 500
    True
    """

    picture: Canvas | bytes
    caption: str
    alternative: str = ""

    def __post_init__(self) -> None:
        picture = self.picture if isinstance(self.picture, bytes) else png(self.picture)
        if not picture.startswith(_SIGNATURE):
            raise InputError(
                "picture of a report",
                expected="a matplotlib figure or the bytes of a PNG file",
                got=f"{len(picture)} bytes that start with {picture[:8]!r}",
                do="pass the figure itself",
            )
        object.__setattr__(self, "picture", picture)

    @property
    def png(self) -> bytes:
        """The bytes of the PNG file."""
        assert isinstance(self.picture, bytes)
        return self.picture

    @property
    def data(self) -> str:
        """The PNG in base64, as HTML embeds it."""
        return base64.b64encode(self.png).decode("ascii")

    @property
    def width(self) -> int:
        """Width in pixels: bytes 16 to 19 of a PNG."""
        return int.from_bytes(self.png[16:20], "big")

    @property
    def height(self) -> int:
        """Height in pixels: bytes 20 to 23 of a PNG."""
        return int.from_bytes(self.png[20:24], "big")


def save_all(figures: Iterable[tuple[str, Figure]], folder: str | Path) -> list[Path]:
    """Write figures by name as PNG into a folder, which is made if need be, and return their paths."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = {Path(folder, f"{name}.png"): figure.png for name, figure in figures}
    for path, picture in paths.items():
        path.write_bytes(picture)
    return list(paths)


@dataclass(frozen=True, eq=False)
class Section:
    """A part of a report, in this order: title, text, table, figures.

    Parameters
    ----------
    title : str
    text : str
        Plain text; an empty line starts a new paragraph.
    table : DataFrame, optional
        Its index is the first column. Cells of just ``passed``, ``doubtful`` or ``failed``, in any case, stand out.
    figures : sequence of Figure
    labels : Labels, optional
        If given, the names in the table's index are written with label and unit, as figures write them.
    """

    title: str
    text: str
    table: pd.DataFrame | None = None
    figures: Sequence[Figure] = ()
    labels: Labels | None = None

    @property
    def paragraphs(self) -> list[str]:
        """The text by paragraphs."""
        return [part.strip() for part in self.text.split("\n\n") if part.strip()]
