"""A page with its numbers filled in from their cells."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from docs.numbers import typed
from docs.numbers.cells import COMPARED, GRADES, NUMBER, CellError, read, show
from docs.numbers.tables import find, table

ROOT = Path(__file__).resolve().parents[2]
#: Pages that are covered.
PATTERNS = (
    "README.md",
    "docs/**/*.md",
    "tutorials/*.md",
    "paper_results/**/README.md",
    "benchmarks/*/README.md",
    "paper/paper.md",
)
# Folders of docs that are made when the documentation is built, from these pages and from tables.
MADE = {"_build", "executed", "gallery", "generated", "reference", "tutorials"}

# Words that are made as numbers are: grades and comparisons.
_WORDS = "|".join(words.replace(" ", r"\s+") for words in (*GRADES.values(), *COMPARED))
MARK = re.compile(
    rf"(?P<number>(?<![\w.,])(?:{NUMBER}(?:\s?%)?|{_WORDS}))?<!--=\s*(?P<name>\w+)\s*-->"
)
# A sentence ends before a blank; numbers have points, too.
_SENTENCE = re.compile(r"\S.*?(?:[.?!](?=\s)|\n\n|\n(?=[*|#] )|\Z)", re.DOTALL)
_TYPED = re.compile(
    rf"(?<![\w`*])(?:{'|'.join(GRADES.values())}|(?:behind|ahead of|level with) the default)"
    r"(?![\w`*]|<!--)".replace(" ", r"\s+")
)
DECLARED = re.compile(r"<!-- numbers\n(?P<lines>.*?)-->", re.DOTALL)
TABLE = re.compile(r"(?P<head><!--= table: (?P<spec>.*?)-->\n).*?(?P<end><!-- end -->)", re.DOTALL)
_FUNCTIONS: dict[str, Callable[..., float]] = {"abs": abs, "min": min, "max": max}
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


@dataclass(frozen=True)
class Declared:
    """A number that a page declares: a cell of a file, or a calculation from others."""

    name: str
    file: str
    said: str

    def __str__(self) -> str:
        return f"{self.name}: {self.said}" + (f" of {self.file}" if self.file else "")


@dataclass
class Numbers:
    """The numbers that a page declares, and which of them it uses."""

    folder: Path
    root: Path
    declared: dict[str, Declared] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def text(self, name: str) -> str:
        """Return a number as it is printed."""
        declared = self._find(name)
        *place, form = (part.strip() for part in declared.said.split("|"))
        if form == "grade" and declared.file:
            self.used.add(name)
            return read(find(declared.file, self.folder, self.root)).grade(*place)
        return show(self.value(name), form)

    def value(self, name: str) -> float:
        """Return a number."""
        declared = self._find(name)
        self.used.add(name)
        if not declared.file:
            return self._calculate(ast.parse(declared.said.split("|")[0].strip(), mode="eval").body)
        row, column, _ = (part.strip() for part in declared.said.split("|"))
        return read(find(declared.file, self.folder, self.root)).value(row, column)

    def _find(self, name: str) -> Declared:
        if name not in self.declared:
            raise CellError("no such number is declared in the page")
        return self.declared[name]

    def _calculate(self, node: ast.expr) -> float:
        match node:
            case ast.Name(name):
                return self.value(name)
            case ast.Constant(int() | float() as value):
                return value
            case ast.UnaryOp(ast.USub(), operand):
                return -self._calculate(operand)
            case ast.BinOp(left, sign, right) if type(sign) in _OPERATORS:
                return _OPERATORS[type(sign)](self._calculate(left), self._calculate(right))
            case ast.Call(ast.Name(function), arguments, []) if function in _FUNCTIONS:
                return _FUNCTIONS[function](*map(self._calculate, arguments))
        raise CellError(f"can't calculate {ast.unparse(node)!r}")


def pages(root: Path = ROOT) -> list[Path]:
    """Return the pages that are covered."""
    found = {page for pattern in PATTERNS for page in root.glob(pattern)}
    return sorted(page for page in found if not MADE & set(page.relative_to(root).parts[1:-1]))


def fill(text: str, page: Path, root: Path = ROOT) -> tuple[str, list[str]]:
    """Return a page with the numbers of its cells, and what is wrong with those that it names."""
    numbers, wrong = declarations(text, page.parent, root)

    def mark(match: re.Match[str]) -> str:
        try:
            shown = numbers.text(match["name"])
        except CellError as error:
            wrong.append(f"{match['name']}: {error}")
            return match[0]
        return f"{shown}<!--={match['name']}-->"

    def block(match: re.Match[str]) -> str:
        try:
            made = table(match["spec"], page.parent, root)
        except CellError as error:
            wrong.append(f"table {match['spec'].split()[0]}: {error}")
            return match[0]
        return f"{match['head']}\n{made}\n\n{match['end']}"

    filled = MARK.sub(mark, TABLE.sub(block, text))
    wrong += [
        f"{name}: declared, but not used" for name in numbers.declared if name not in numbers.used
    ]
    return filled, wrong


def declarations(text: str, folder: Path, root: Path) -> tuple[Numbers, list[str]]:
    """Return the numbers that a page declares, and what is wrong in their declarations."""
    numbers = Numbers(folder, root)
    wrong = []
    for block in DECLARED.finditer(text):
        file = ""
        for line in filter(None, map(str.strip, block["lines"].splitlines())):
            if "=" not in line:
                file = line
                continue
            calculated = ":=" in line
            name, _, said = (part.strip() for part in line.partition(":=" if calculated else "="))
            if said.count("|") != (1 if calculated else 2) or not name.isidentifier():
                wrong.append(
                    f"{line}: neither name = row | column | format nor name := calculation | format"
                )
            elif name in numbers.declared:
                wrong.append(f"{name}: declared twice")
            else:
                numbers.declared[name] = Declared(name, "" if calculated else file, said)
    return numbers, wrong


def problems(page: Path, root: Path = ROOT, text: str | None = None) -> list[str]:
    """Say what is wrong with the numbers of a page: stale ones, cells that aren't there, typed ones."""
    text = page.read_text() if text is None else text
    filled, wrong = fill(text, page, root)
    place = str(page.relative_to(root))
    found = [f"{place}: {what}" for what in wrong]
    if filled != text:
        found += [
            f"{place}:{what}; run make numbers" for what in _stale(text, filled, page.parent, root)
        ]
    wrong = [*typed.problems(text, place), *_typed_words(text)]
    return found + [f"{place}:{what}" for what in wrong]


def _typed_words(text: str) -> Iterator[str]:
    """Say which grades and comparisons are typed in a sentence that has numbers of cells."""
    hidden = (DECLARED, TABLE, *typed.CODE)
    for pattern in hidden:
        text = pattern.sub(lambda found: re.sub(r"\S", " ", found[0]), text)
    for sentence in _SENTENCE.finditer(text):
        if not MARK.search(sentence[0]):
            continue
        for words in _TYPED.finditer(sentence[0]):
            line = text.count("\n", 0, sentence.start() + words.start()) + 1
            yield f"{line}: {words[0]!r} is typed: name its cell (docs/numbers)"


def _stale(text: str, filled: str, folder: Path, root: Path) -> Iterator[str]:
    """Say, line by line, which numbers and rows of tables are not those of their cells."""
    declared = declarations(text, folder, root)[0].declared
    shown = False
    for old, new in zip(MARK.finditer(text), MARK.finditer(filled), strict=False):
        if old[0] != new[0]:
            shown = True
            line = text.count("\n", 0, old.start()) + 1
            yield (
                f"{line}: {old['number']} should be {new['number']} "
                f"({declared.get(old['name'], old['name'])})"
            )
    for old, new in zip(TABLE.finditer(text), TABLE.finditer(filled), strict=False):
        if old[0] != new[0]:
            shown = True
            before = old[0].splitlines()
            after = new[0].splitlines()
            pairs = [*zip(before, after, strict=False), ("", "another number of rows")]
            place, (row, other) = next(
                (at, pair) for at, pair in enumerate(pairs) if pair[0] != pair[1]
            )
            line = text.count("\n", 0, old.start()) + 1 + place
            different = (
                at for at, pair in enumerate(zip(row, other, strict=False)) if pair[0] != pair[1]
            )
            start = max(next(different, 0) - 30, 0)
            here = f"{row[start : start + 60]!r} should be {other[start : start + 60]!r}"
            yield f"{line}: {here} (table {old['spec'].split()[0]})"
    if not shown:
        yield "1: not as it is filled"
