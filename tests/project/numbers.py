"""Numbers in a page, and whether a committed table has them.

A *block* is a paragraph, a list, or a table: lines up to the next blank one, without code. Its sources are the CSV
files that it names, those in the folders that it names, and those of scripts that it names (``benchmarks/x.py`` writes
``benchmarks/x.csv``). A block that names none has the sources of the block before it, as far as the last heading. The
tables beside a README are sources of all its blocks.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

# With a decimal point, or with commas between thousands; not within a version, a file name or a longer word.
_NUMBER = re.compile(r"(?<![\w.,/-])[-+]?(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+)(e[-+]?\d+)?(?![\w/]|[.,]\d)(\s?%)?")
_IN_TABLES = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?:e[-+]?\d+)?")
_FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_HEADER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"\]\([^)\s]*\)|https?://[^\s)]+|arXiv:[\d.]+")
_CODE = re.compile(r"`[^`\n]*`")
_PATH = re.compile(r"(?:\.\./)*(?:paper_results|benchmarks)/[\w/.-]*[\w-]|[\w-]+\.(?:csv|py)\b")

_SCRIPT = re.compile(r"[\w/]+\.(?:py|csv)\b")


class Number(NamedTuple):
    """A number as printed, its block, and the files that may have it."""

    text: str
    value: float
    tolerance: float
    percent: bool
    block: str
    sources: tuple[Path, ...]


def numbers(page: Path, root: Path) -> Iterator[Number]:
    """Every number of a page outside of code: decimals, and thousands unless they are round ones in a text."""
    beside = tuple(sorted(page.parent.glob("*.csv")))
    current: tuple[Path, ...] = ()
    for block in blocks(page.read_text()):
        named = named_sources(block, page, root)
        if block.startswith("#") or named or _SCRIPT.search(block):
            current = named
        for match in _NUMBER.finditer(_CODE.sub("``", _LINK.sub("]()", block))):
            digits, exponent, percent = match[1].replace(",", ""), match[2] or "", match[3]
            text = match[0].strip()
            # A setting, such as 10,000 draws.
            if "." not in digits and len(digits.rstrip("0")) == 1 and not block.startswith("|"):
                continue
            value, tolerance = float(digits + exponent), _tolerance(digits, exponent)
            yield Number(text, value, tolerance, bool(percent), block, (*current, *beside))


def blocks(text: str) -> list[str]:
    """Paragraphs, lists and tables, with the headings between them."""
    bare = _COMMENT.sub("", _FENCE.sub("", _HEADER.sub("", text)))
    return [part.strip() for part in re.split(r"\n\s*\n", bare) if part.strip()]


def named_sources(block: str, page: Path, root: Path) -> tuple[Path, ...]:
    """The tables that a block names, by file, by folder or by the script that writes them."""
    found: list[Path] = []
    for match in _PATH.finditer(block):
        name = match[0].lstrip("./")
        path = root / name if "/" in name else page.parent / name
        if path.name == "README.md":
            path = path.parent
        if path.suffix == ".csv" and path.is_file():
            found.append(path)
        elif path.is_dir():
            found += sorted(path.glob("*.csv"))
        elif path.suffix == ".py" and path.with_suffix(".csv").is_file():
            found.append(path.with_suffix(".csv"))
    return tuple(dict.fromkeys(found))


def has(number: Number) -> bool:
    """Whether one of its sources has the number, to the digits that are printed."""
    scales = (1.0, 0.01) if number.percent else (1.0,)
    return any(
        abs(abs(value) - number.value * scale) <= number.tolerance * scale
        for file in number.sources
        for value in values_in(file)
        for scale in scales
    )


@cache
def values_in(file: Path) -> frozenset[float]:
    """All numbers in the cells of a table, those within texts too."""
    with file.open(newline="") as lines:
        cells = [cell for row in csv.reader(lines) for cell in row]
    return frozenset(abs(float(text.replace(",", ""))) for cell in cells for text in _IN_TABLES.findall(cell))


def _tolerance(digits: str, exponent: str) -> float:
    """Half a unit of the last digit that is printed; zeros at the end of thousands are no digits."""
    whole, _, decimals = digits.partition(".")
    unit = 10.0 ** -len(decimals) if decimals else 10.0 ** (len(whole) - len(whole.rstrip("0")))
    # Tables are rounded themselves: what lies between two digits may have gone either way.
    return 0.5 * unit * float(f"1{exponent}") * (1.0 + 1e-2)
