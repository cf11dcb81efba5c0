"""Texts as wide as they are drawn: measured, and broken into lines that fit."""

import re
from collections.abc import Iterator

from matplotlib.cbook import is_math_text
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path


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
