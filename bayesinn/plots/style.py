"""Colours, line styles and matplotlib settings that all figures share."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure, SubFigure

from bayesinn.core.labels import Labels

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
        with matplotlib.rc_context(_SETTINGS):
            return draw(*args, **kwargs)

    return wrapper


def band_look(inside: bool, name: str, failing: str = ", outside the band") -> dict[str, Any]:
    """Return colour and label of a curve: red, with a note, where it fails."""
    return {"color": BLUE, "label": name} if inside else {"color": RED, "label": name + failing}


def tint(colour: str, strength: float) -> str:
    """Return an opaque colour: a share of ``colour`` on white; overlaid areas don't mix."""
    return to_hex([1.0 - strength * (1.0 - part) for part in to_rgb(colour)])
