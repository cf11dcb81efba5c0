"""Numbers that somebody typed: measured ones are made from cells, and ``typed.toml`` has the others,
with a reason.

What counts as a number that may have been measured: decimals, numbers with a comma between
thousands or five digits, percentages, whole numbers before a unit (nats, points, seconds, MB,
times, ...), and every number in a table that is typed. Code, links and comments are left out. An
exception is a phrase of a page with all its digits, so that another number in it is found.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

EXCEPTIONS = Path(__file__).with_name("typed.toml")
_UNITS = (
    "nats?|(?:percentage )?points|ms|s|seconds?|min|minutes?|hours?|days of|[kMG]i?B(?:/s)?|times|standard "
    "(?:deviations|errors)|sd|steps|draws|simulations|data sets|people|patients|weights"
)
_MEASURED = re.compile(
    r"(?<![\w.,/^-])[-+]?(?:"
    r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+|\d{5,}"  # thousands, decimals, long ones
    rf"|\d+(?= ?%| (?:{_UNITS})\b|(?:, \d+)* (?:to|and|or) \d+ ?(?:%|(?:{_UNITS})\b))"  # before a unit
    r"|\d+(?=e[-+]?\d)"
    r")(?:e[-+]?\d+)?(?: ?%)?(?![\w/]|[.,]\d)"
)
_IN_TABLE = re.compile(r"(?<![\w.,/^-])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w/]|[.,]\d)")
_HIDDEN = (
    re.compile(r"\A---\n.*?\n---\n", re.DOTALL),
    re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL),
    re.compile(r"(?<=\n\n)(?: {4}[^\n]*\n)+"),
    re.compile(r"<!--= table: .*?<!-- end -->", re.DOTALL),
    re.compile(r"[-+]?\d[\d,.]*(?:e[-+]?\d+)?(?: ?%)?<!--=.*?-->"),
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"(?<=\])\([^)\s]*\)|https?://[^\s)]+|arXiv:[\d.]+"),
    re.compile(r"`[^`\n]*`"),
)


def problems(text: str, place: str) -> list[str]:
    """Say which measured numbers of a page are typed, and which exceptions it doesn't need."""
    shown = visible(text)
    wrong = []
    for phrase in exceptions().get(place, {}):
        pattern = re.compile(r"(?<![\w.])" + r"\s+".join(map(re.escape, phrase.split())) + r"(?!\w|[.,]\d)")
        needed = any(any(_numbers(found[0], line_of(shown, found.start()))) for found in pattern.finditer(shown))
        if not needed:
            wrong.append(f"1: no typed number {phrase!r}: take it out of {EXCEPTIONS.name}")
        shown = pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), shown)
    for start, line in _lines(shown):
        for found in _numbers(line, line):
            number = text.count("\n", 0, start) + 1
            wrong.append(
                f"{number}: {found[0]!r} in {' '.join(line.split())[:60]!r} is typed: name its cell (docs/numbers), "
                f"or say in {EXCEPTIONS.name} what it is"
            )
    return wrong


def visible(text: str) -> str:
    """Return a page with blanks in place of what is made, code, links and comments."""
    for pattern in _HIDDEN:
        text = pattern.sub(lambda found: re.sub(r"[^\n|]", " ", found[0]), text)
    return text


def line_of(text: str, place: int) -> str:
    """Return the line around a place."""
    return text[text.rfind("\n", 0, place) + 1 :].partition("\n")[0]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1


def _numbers(text: str, line: str) -> Iterator[re.Match[str]]:
    return (_IN_TABLE if line.startswith("|") else _MEASURED).finditer(text)


@cache
def exceptions() -> dict[str, dict[str, str]]:
    """Return the phrases of each page, and why their numbers are typed."""
    return tomllib.loads(EXCEPTIONS.read_text())
