"""Numbers that somebody typed, and the reasons for those that are made from no table, ``typed.toml``.

What counts as a number that may have been measured: decimals, numbers with a comma between
thousands or five digits, percentages, whole numbers before a unit (nats, points, seconds, MB,
times, ...), and every number in a table that is typed. Code, links and comments are left out. An
exception is a phrase of a page with all its digits, so that another number in it is found.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

EXCEPTIONS = Path(__file__).with_name("typed.toml")
_UNITS = (
    "nats?|(?:percentage )?points|ms|s|seconds?|min|minutes?|hours?|days "
    "of|[kMG]i?B(?:/s)?|times|standard "
    "(?:deviations|errors)|sd|steps|draws|simulations|data sets|people|patients|weights"
)
_MEASURED = re.compile(
    r"(?<![\w.,/^-])[-+]?(?:"
    r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+|\d{5,}|\d+(?=e[-+]?\d)"
    # Whole numbers before a unit, and the first ones of "20 to 25 nats".
    rf"|\d+(?=(?:,\s\d+)*(?:\s(?:to|and|or)\s\d+)?(?:\s?%|\s(?:{_UNITS})\b))"
    r")(?:e[-+]?\d+)?(?:\s?%)?(?![\w/]|[.,]\d)"
)
_IN_TABLE = re.compile(
    r"(?<![\w.,/^-])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d+)?(?![\w/]|[.,]\d)"
)
_ROW = re.compile(r"^\|.*", re.MULTILINE)
_NO_ROW = re.compile(r"^(?!\|).*", re.MULTILINE)
#: What begins a tutorial, and code.
CODE = (
    re.compile(r"\A---\n.*?\n---\n", re.DOTALL),
    re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL),
    re.compile(r"(?<=\n\n)(?: {4}[^\n]*\n)+"),
)
_HIDDEN = (
    *CODE,
    re.compile(r"<!--= table: .*?<!-- end -->", re.DOTALL),
    re.compile(r"[-+]?\d[\d,.]*(?:e[-+]?\d+)?(?:\s?%)?<!--=.*?-->"),
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"(?<=\])\([^)\s]*\)|https?://[^\s)]+|arXiv:[\d.]+"),
    re.compile(r"`[^`\n]*`"),
)


def problems(text: str, place: str) -> list[str]:
    """Say which measured numbers of a page are typed, and which exceptions it doesn't need."""
    shown = visible(text)
    left = numbers(shown)
    wrong = []
    for key in ("every page", place):
        for phrase in exceptions().get(key, {}):
            spans = [found.span() for found in _pattern(phrase).finditer(shown)]
            excused = {number for number in left if any(_inside(number, span) for span in spans)}
            if key == place and not excused:
                wrong.append(f"1: no typed number {phrase!r}: take it out of {EXCEPTIONS.name}")
            left = [number for number in left if number not in excused]
    for number in left:
        line = text.count("\n", 0, number.start()) + 1
        around = " ".join(shown[max(number.start() - 40, 0) : number.end() + 25].split())
        wrong.append(
            f"{line}: {number[0].strip()!r} in {around!r} is typed: name its cell (docs/numbers), "
            f"or say in {EXCEPTIONS.name} what it is"
        )
    return wrong


def visible(text: str) -> str:
    """Return a page with blanks in place of what is made, code, links and comments."""
    for pattern in _HIDDEN:
        text = pattern.sub(_blank, text)
    return text


def numbers(text: str) -> list[re.Match[str]]:
    """Return what looks measured: more of it in the rows of tables than elsewhere."""
    inside = _ROW.sub(_blank, text)
    rows = _NO_ROW.sub(_blank, text)
    return sorted([*_MEASURED.finditer(inside), *_IN_TABLE.finditer(rows)], key=re.Match.start)


def _pattern(phrase: str) -> re.Pattern[str]:
    """Return a phrase, with any blanks between its words."""
    return re.compile(
        r"(?<![\w.])" + r"\s+".join(map(re.escape, phrase.split())) + r"(?!\w|[.,]\d)"
    )


def _blank(found: re.Match[str]) -> str:
    """Return as many blanks; lines and the bars of tables stay."""
    return re.sub(r"[^\n|]", " ", found[0])


def _inside(number: re.Match[str], span: tuple[int, int]) -> bool:
    return span[0] <= number.start() and number.end() <= span[1]


@cache
def exceptions() -> dict[str, dict[str, str]]:
    """Return the phrases of each page, and why their numbers are typed."""
    return tomllib.loads(EXCEPTIONS.read_text())
