"""Panels of figures: their layout, style, texts and files.

Figures are at most as wide as a printed page, so that their letters are printed in the size given
here.
"""

import contextlib
import inspect
import io
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from types import UnionType
from typing import Any, Protocol, get_args, get_origin, get_type_hints

import matplotlib
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cbook import is_math_text
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bayesinn.core.arrays import numbers
from bayesinn.core.errors import InputError, check_arguments, check_path
from bayesinn.core.files import atomic_write
from bayesinn.core.labels import Labels
from bayesinn.plots.arrays import choose

Canvas = Figure | SubFigure  #: what a figure function draws into
PLAIN = Labels()  #: no labels: names stand as they are

#: Colours that stay apart for colour-blind readers and in grey: Okabe & Ito 2008, "Color universal
#: design". The red is darker than theirs, which in grey is as light as the blue.
BLUE = "#0072B2"
ORANGE = "#E69F00"
RED = "#8C2D04"
BLACK = "#222222"
GREY = "#8A8A8A"
LIGHT_GREY = "#D9D9D9"

#: Colour, marker and line of several curves in one panel: they differ in grey as well.
CURVES = (
    (BLUE, "o", "-"),
    (ORANGE, "s", "--"),
    (RED, "^", "-."),
    (BLACK, "D", ":"),
    (GREY, "v", "-"),
)

_LINES = ("-", "--", "-.", ":")


def curve_look(number: int) -> tuple[str, str, str]:
    """Return colour, marker and line of a curve: those of ``CURVES``, and of further curves.

    Where a colour comes again, marker and line are others: 25 curves differ.

    >>> curve_look(0), curve_look(5)
    (('#0072B2', 'o', '-'), ('#0072B2', 's', '-.'))
    """
    again, place = divmod(number, len(CURVES))
    colour, marker, line = CURVES[place]
    if again:
        marker = CURVES[(place + again) % len(CURVES)][1]
        line = _LINES[(number + again) % len(_LINES)]
    return colour, marker, line


#: Colour, marker and line of each grade of an error; an empty grade is none.
GRADES = {
    "within": (BLUE, "o", "-"),
    "undecided": (ORANGE, "D", "--"),
    "no upper bound": (ORANGE, "D", "--"),
    "outside": (RED, "X", "-"),
    "flagged": (RED, "X", "-"),
    "": (GREY, "|", "-"),
}

DASHED: dict[str, Any] = {"color": BLACK, "linewidth": 1.0, "linestyle": "--"}
BAND: dict[str, Any] = {"color": LIGHT_GREY, "linewidth": 0}
BARS: dict[str, Any] = {"fill": True, "facecolor": LIGHT_GREY, "edgecolor": GREY, "linewidth": 0.8}
POINTS: dict[str, Any] = {"linestyle": "none", "marker": "o", "markeredgewidth": 0}

STYLE = Path(__file__).with_name("bayesinn.mplstyle")  #: settings of every figure, also for scripts
_SETTINGS = matplotlib.rc_params_from_file(STYLE, use_default_template=False)


def styled[**Arguments, Result](draw: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Run a figure function under the house settings; those of the caller come back afterwards."""

    @wraps(draw)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        # Scripts of studies use the style for figures of their own.
        if draw.__module__.startswith("bayesinn."):
            parameters = inspect.signature(draw).parameters
            values = {**dict(zip(parameters, args, strict=False)), **kwargs}
            check_arguments(f"bi.plots.{draw.__name__}", parameters, values)
            for name, value in values.items():
                _check_kind(draw, name, value)
        with matplotlib.rc_context(_SETTINGS):
            return draw(*args, **kwargs)

    return wrapper


def _check_kind(draw: Callable[..., Any], name: str, value: object) -> None:
    """Refuse an argument of a figure function that is of another class than it is annotated with.

    Whatever is numbers, or dates, may stand for an array.
    """
    hint = get_type_hints(draw).get(name, object)
    parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    kinds = tuple(get_origin(part) or part for part in parts)
    numeric = np.ndarray in kinds
    others = tuple(set(kinds) - {np.ndarray, Sequence}) if numeric else kinds
    # Protocols are not all for isinstance.
    classes = all(isinstance(kind, type) and Protocol not in kind.__mro__ for kind in kinds)
    if not classes or {int, float, bool, tuple} & set(kinds) or isinstance(value, others):
        return
    subject = f"Argument {name!r} of bi.plots.{draw.__name__}"
    if not numeric:
        raise InputError(
            subject,
            expected=" or ".join(kind.__name__ for kind in kinds),
            got=f"{value!r:.60}",
            do="see the examples of its documentation",
        )
    if isinstance(value, Mapping):
        key = next(iter(value), "x")
        do = f"pass one of its arrays: for example simulations[{key!r}]"
        raise InputError(subject, expected="an array", got=f"dict of {list(value)}", do=do)
    if getattr(getattr(value, "dtype", None), "kind", "") != "M":
        numbers(subject, value, missing=True)


def band_look(inside: bool, name: str, failing: str = ", outside the band") -> dict[str, Any]:
    """Return colour and label of a curve: red, with a note, where it fails."""
    return {"color": BLUE, "label": name} if inside else {"color": RED, "label": name + failing}


def tint(colour: str, strength: float) -> str:
    """Return an opaque colour: a share of ``colour`` on white; overlaid areas don't mix."""
    return to_hex([1.0 - strength * (1.0 - part) for part in to_rgb(colour)])


def inches(text: str, points: float) -> float:
    """Return the width of the longest line of a text, in inches, in letters of this size."""
    font = FontProperties(size=points)

    def one(line: str) -> float:
        try:
            return text_to_path.get_text_width_height_descent(
                line, font, ismath=is_math_text(line)
            )[0]
        except ValueError:  # no proper formula: drawn as it stands
            return text_to_path.get_text_width_height_descent(line, font, ismath=False)[0]

    return max(map(one, text.split("\n"))) / 72.0


def wrapped(text: str, room: float, points: float) -> str:
    r"""Break a text into lines of at most ``room`` inches: at spaces or within long words.

    A line never ends within a formula.

    >>> wrapped("growth of the second wave", 1.2, 10.0)
    'growth of the\nsecond wave'
    >>> wrapped("growth_of_the_second_wave", 1.2, 10.0)
    'growth_of_the_\nsecond_wave'
    """
    return "\n".join(line for given in text.split("\n") for line in _lines(given, room, points))


def shortened(text: str, room: float, points: float) -> str:
    """Cut a text that is wider than ``room`` inches in its middle: names often differ in the end.

    >>> shortened("patient 17 of the hospital, visit 3", 1.4, 10.0)
    'patient 17\N{HORIZONTAL ELLIPSIS}l, visit 3'
    """
    for cut in range(len(text)):
        kept = len(text) - cut
        end = kept // 2
        middle = "\N{HORIZONTAL ELLIPSIS}" if cut else ""
        short = f"{text[: kept - end]}{middle}{text[len(text) - end :]}"
        if inches(short, points) <= room:
            return short
    return text[:1]


def _lines(text: str, room: float, points: float) -> list[str]:
    lines = [""]
    for word in re.findall(r"(?:\$[^$]*\$|\S)+", text):
        for gap, part in _parts(word, room, points):
            longer = f"{lines[-1]}{gap if lines[-1] else ''}{part}"
            if not lines[-1] or inches(longer, points) <= room:
                lines[-1] = longer
            else:
                lines.append(part)
    return lines


def _parts(word: str, room: float, points: float) -> Iterator[tuple[str, str]]:
    """Yield a word, or the parts of one too long, each with its separator from the last."""
    if "$" in word or inches(word, points) <= room:
        yield " ", word
        return
    gap = " "
    for part in re.split(r"(?<=[_\-./:])|(?=\[)", word):
        while inches(part, points) > room and len(part) > 1:
            # As many letters as fit, at least one.
            count = next(
                (n for n in range(len(part) - 1, 1, -1) if inches(part[:n], points) <= room), 1
            )
            yield gap, part[:count]
            gap = ""
            part = part[count:]
        yield gap, part
        gap = ""


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


PAGE = 7.4  #: width of a printed page in inches
MANY = 12  #: from so many columns on, panels with a common axis become rows of one stacked figure
MOST_PANELS = 40  #: of one figure, so that it stays readable and is drawn in seconds
_MOST_COLUMNS = 100  # that are drawn if none are named: thousands of panels take minutes
SMALL = 8.0  #: points of letters where there are many panels
# How many panels lie side by side, for up to so many columns; four make a square.
_ACROSS = ((3, 3), (4, 2), (MANY - 1, 3), (20, 4))
_MOST_ACROSS = 5
_TITLE = 10.5
# Numbers from here on that vary by less than a part in as many; digits of those written in full.
_LATE = 1_000.0
_MOST_DIGITS = 12
_LEGEND = 9.0
# inches: the width of a single panel, and the height of a row in a stack
_LEAST = 4.6
_ROW = 0.34


class _Figure(Figure):
    """A figure that notebooks show by themselves, without pyplot."""

    def _repr_png_(self) -> bytes:
        return png(self)


def canvas(figure: Canvas | None, width: float, height: float) -> Canvas:
    """Return the caller's figure, or a new one of this size in inches."""
    return _Figure(figsize=(width, height), layout="constrained") if figure is None else figure


class Panels:
    """A grid of equal panels, one for each column, of a given size in inches.

    The size applies if there are few columns and the figure is new.

    Many columns lie in more and smaller panels or, with ``stack``, as rows below each other in two
    blocks. Of all columns, those that are ``shown`` are drawn, in this order; the first 100 if left
    out.
    """

    def __init__(
        self,
        figure: Canvas | None,
        columns: Sequence[str],
        labels: Labels = PLAIN,
        width: float = 2.8,
        height: float = 2.3,
        *,
        stack: bool = False,
        shown: Sequence[str] | None = None,
    ) -> None:
        chosen = choose(columns, shown)
        self._chosen = chosen[:_MOST_COLUMNS] if shown is None else chosen
        count = len(self._chosen)
        self.stacked = stack and count >= MANY
        most = next((across for limit, across in _ACROSS if count <= limit), _MOST_ACROSS)
        self.across = min(count, 2 if self.stacked else most)
        self.down = math.ceil(count / self.across)
        self._columns = columns
        self._labels = labels
        self._new = figure is None
        wide = PAGE if self.stacked else min(max(width * self.across, _LEAST), PAGE)
        self.figure = canvas(figure, wide, self.down * (height + 0.5))
        self._pitch = float(self.figure.bbox.width / self.figure.dpi) / self.across
        self.points = SMALL if self.stacked or self.across > 3 else _TITLE
        # without the ticks, and the label beside the first panel
        self._room = self._pitch - 0.5 - 0.5 / self.across
        share = 0.62 if self.points == SMALL else 0.75
        self._height = min(height, share * self._pitch) if self.across > 1 else height
        if self.stacked:
            self._height = _ROW
        # A block of a stack is filled from top to bottom, a grid from left to right.
        places = [
            divmod(index, self.down)[::-1] if self.stacked else divmod(index, self.across)
            for index in range(count)
        ]
        self.axes = [
            self.figure.add_subplot(self.down, self.across, row * self.across + column + 1)
            for row, column in places
        ]
        self._lowest = [
            index for index, (row, column) in enumerate(places) if (row + 1, column) not in places
        ]
        self._lines = {"title": 0, "name": 0}
        for index, ax in enumerate(self.axes):
            self._set_ticks(ax, lowest=index in self._lowest)

    def _set_ticks(self, ax: Axes, lowest: bool) -> None:
        plain_numbers(ax, short=self.points == SMALL)
        if self.points == SMALL:
            ax.tick_params(labelsize=SMALL - 0.5)
            ax.xaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
            ax.yaxis.set_major_locator(MaxNLocator(3))
        else:
            # Few enough for numbers of many digits, such as 4.03 x 10^-3.
            ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        if self.stacked:
            ax.tick_params(left=False, labelleft=False, bottom=lowest, labelbottom=lowest)
            ax.spines["left"].set_visible(False)

    def __iter__(self) -> Iterator[tuple[int, Axes]]:
        """Return the number of each column that is drawn, and its panel."""
        return zip(self._chosen, self.axes, strict=True)

    def title(self, index: int, note: str, *, unit: bool = False) -> None:
        """Write a column's label and a note over a panel, in one line if it fits.

        In a stack, they are written on its sides.
        """
        name = (self._labels.axis if unit else self._labels.label)(self._columns[index])
        ax = self._panel(index)
        room = self._room
        text = f"{name}   {note}".rstrip()
        if self.stacked:
            text = wrapped(name, 0.36 * self._pitch, SMALL)
            ax.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=SMALL)
            ax.text(1.02, 0.5, note, transform=ax.transAxes, va="center", fontsize=SMALL)
        else:
            if unit or inches(text, self.points) > room:
                lines = wrapped(name, room, self.points), wrapped(note, room, self.points)
                text = "\n".join(lines).rstrip()
            ax.set_title(text, fontsize=self.points)
        self._count("title", text)

    def name(self, index: int, text: str | None = None) -> None:
        """Write a text under a panel: the column's label and unit if left out."""
        text = self._labels.axis(self._columns[index]) if text is None else text
        text = wrapped(text, self._room, self.points)
        self._panel(index).set_xlabel(text, fontsize=self.points)
        self._count("name", text)

    def finish(self, across: str = "", upwards: str = "", left_out: int = 0) -> Canvas:
        """Label the outer panels' axes, add the legend and return the figure.

        The heading says how many columns are not drawn; ``left_out`` are those not given here.
        """
        points = min(self.points, 10.0)
        left_out += len(self._columns) - len(self._chosen)
        heading = f"{left_out} more are not drawn" if left_out else ""
        for index in self._lowest if across else ():
            self.axes[index].set_xlabel(wrapped(across, self._room, points), fontsize=points)
        if self.stacked:
            low, high = (
                f"{end:.2g}".replace("-", "\N{MINUS SIGN}") for end in self.axes[0].get_ylim()
            )
            name = " ".join(upwards.split())
            heading = "; ".join(filter(None, [f"{name}: {low} to {high} in each row", heading]))
        else:
            for ax in self.axes[:: self.across] if upwards else ():
                ax.set_ylabel(wrapped(upwards, max(self._height, 1.1), points), fontsize=points)
        if heading:
            self.figure.suptitle(heading, fontsize=points)
        rows = add_legend(self.figure)
        if self._new and isinstance(self.figure, Figure):
            self._resize(self.figure, rows, across)
        return self.figure

    def _resize(self, figure: Figure, legend_rows: int, across: str) -> None:
        """Make a new figure as high as its panels and texts need."""
        line = 1.25 / 72.0
        title, name = (line * self.points * self._lines[key] for key in ("title", "name"))
        below = line * min(self.points, 10.0) * (1 + across.count("\n")) if across else 0.0
        each = (
            max(self._height, title + 0.05) if self.stacked else self._height + title + name + 0.32
        )
        figure.set_size_inches(
            figure.get_figwidth(), self.down * each + below + 0.2 * legend_rows + 0.3
        )
        if self.stacked:
            figure.set_layout_engine("constrained", h_pad=0.015, hspace=0.0)

    def _panel(self, index: int) -> Axes:
        return self.axes[self._chosen.index(index)]

    def _count(self, key: str, text: str) -> None:
        self._lines[key] = max(self._lines[key], 1 + text.count("\n"))


class _Numbers(ScalarFormatter):
    """Numbers of an axis, each with the power of ten beside it.

    In the corner of the panel, the power would cover a label. Numbers that differ late, such as
    Julian dates, have all their digits and no power.
    """

    def __init__(self, short: bool, across: bool) -> None:
        super().__init__(useMathText=True)
        self.short = short  # 2e4 in small panels
        self._across = across  # beside each other, not above
        self._limits = matplotlib.rcParams["axes.formatter.limits"]

    def set_locs(self, locs: Any) -> None:
        low, high = self._limits
        self.set_powerlimits((low, _MOST_DIGITS if _differ_late(locs) else high))
        super().set_locs(locs)

    def __call__(self, x: float, pos: int | None = None) -> str:
        text = super().__call__(x, pos)
        power = super().get_offset()
        if self.short:
            power = re.sub(r".*10\^\{(.*?)\}.*", r"e\1", power)
        return text + power if x and text else text

    def format_ticks(self, values: Any) -> list[str]:
        texts = super().format_ticks(values)
        if self.axis is None or not (self._across and _differ_late(values)):
            return texts
        low, high = sorted(self.axis.get_view_interval())
        seen = [place for place, value in enumerate(values) if low <= value <= high]
        # All of them would cover each other.
        return [
            text if place in (*seen[:1], *seen[-1:]) else "" for place, text in enumerate(texts)
        ]

    def get_offset(self) -> str:
        return ""


def _differ_late(values: Any) -> bool:
    """Tell whether large numbers differ in their fourth digit at the earliest."""
    largest = np.max(np.abs(values), initial=0.0)
    return bool(largest >= _LATE and np.ptp(values) < largest / _LATE)


def plain_numbers(ax: Axes, *, short: bool = False) -> None:
    """Write powers of ten beside the numbers of both axes."""
    ax.xaxis.set_major_formatter(_Numbers(short, across=True))
    ax.yaxis.set_major_formatter(_Numbers(short, across=False))


def bare(ax: Axes, edges: Sequence[float] | np.ndarray | None = None) -> None:
    """Take the vertical axis away from a finished histogram, and cut it to its bins."""
    if edges is not None:
        ax.set_xlim(edges[0], edges[-1])
    ax.set(ylim=(0.0, None), yticks=[])
    ax.spines["left"].set_visible(False)


def legend_below(figure: Canvas) -> Canvas:
    """Add one legend of all panels, each entry once, and return the figure.

    The legend is below the panels, where it covers nothing.
    """
    add_legend(figure)
    return figure


def add_legend(figure: Canvas) -> int:
    """Add the legend of :func:`legend_below`, and return its number of rows."""
    entries: dict[str, Any] = {}
    for ax in figure.axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(name, handle)
    if not entries:
        return 0
    # A handle with its gaps takes 0.65 inches.
    room = float(figure.bbox.width / figure.dpi) - 0.1
    names = [wrapped(name, room - 0.65, _LEGEND) for name in entries]
    widths = [0.65 + inches(name, _LEGEND) for name in names]
    across = len(widths) if sum(widths) <= room else max(1, int(room / max(widths)))
    figure.legend(list(entries.values()), names, loc="outside lower center", ncols=across)
    return math.ceil(len(names) / across) + sum(name.count("\n") for name in names)
