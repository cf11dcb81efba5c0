"""Tutorials: their text, their code, and what each cell printed and drew when it was executed."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

from docs.pages.links import DOCS, FULL_WIDTH, ROOT, relinked

TUTORIALS = ROOT / "tutorials"
EXECUTED = DOCS / "executed"
#: Columns of code and of what it prints: as many as a page shows on a laptop.
WIDTH = 88
_HEADER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_CELL = re.compile(
    r"^```\{code-cell\}[^\n]*\n(?P<options>(?::\w+:[^\n]*\n)*)\n?(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_INDEX = """# Tutorials

In this order. Each runs as it stands; all but the seventh, which is there to look things up, end with two exercises,
whose answers are folded. Times are those of two processor cores.

{cards}

```{{toctree}}
:hidden:

{names}
```
"""
_CARD = """::::{{grid}} 1 1 2 2
:gutter: 3
:class-container: tutorial

:::{{grid-item}}
:columns: 12 12 4 4
{image}
:::
:::{{grid-item}}
:columns: 12 12 8 8
**[{title}](/tutorials/{name}.md)** ({minutes})

{sentence}
:::
::::
"""
#: The picture, how long it takes, and what it is about.
_SENTENCES = {
    "01_first_posterior": (
        "1.png",
        "2 minutes",
        "From nothing to a posterior that you have reason to trust: simulate, fit, infer, check, "
        "save. For people new to simulation-based inference.",
    ),
    "02_your_own_simulator": (
        "1.png",
        "2 minutes",
        "A model as it is usually written: in NumPy, as a program in another language, slow, or "
        "failing now and then.",
    ),
    "03_read_the_verdict": (
        "2.png",
        "2 minutes",
        "What each line and figure of a diagnosis says, of a good posterior and of a bad one, and "
        "what to do then.",
    ),
    "04_choosing_a_network": (
        "2.png",
        "2 minutes",
        "What the loss tells, when to leave the default flow, and what that gains and costs, "
        "measured.",
    ),
    "05_covid19_germany": (
        "5.png",
        "1 minute",
        "A case study with 34 parameters: the first wave of Covid-19 in Germany, and a forecast.",
    ),
    "06_multispectral_tissue": (
        "4.png",
        "1 minute",
        "A case study with thirteen parameters, of which some can't be known: oxygen in tissue, "
        "seen by a camera of few colours.",
    ),
    "07_which_test_sees_which_fault": (
        "3.png",
        "2 minutes",
        "To look things up: every diagnostic on a correct posterior, and on one that is broken in "
        "a known way.",
    ),
    "08_pictures": (
        "1.png",
        "2 minutes",
        "From a flow of vectors to one of pictures; and what a classifier by densities knows that "
        "a softmax doesn't.",
    ),
}


def pages(warn: Callable[[str], None]) -> dict[str, str]:
    """Return a page for each tutorial, and their index."""
    files = sorted(TUTORIALS.glob("[0-9]*.md"))
    cards = "\n".join(map(_card, files))
    names = "\n".join(file.stem for file in files)
    made = {"tutorials/index.md": _INDEX.format(cards=cards, names=names)}
    for file in files:
        text, wrong = page(file)
        made[f"tutorials/{file.name}"] = relinked(text, file)
        if wrong:
            warn(wrong)
    return made


def _card(file: Path) -> str:
    """Return the entry of a tutorial: picture, title, duration, sentence."""
    picture, minutes, sentence = _SENTENCES[file.stem]
    text = file.read_text()
    number = int(picture.removesuffix(".png"))
    alternatives = [_option(cell, "alt") for cell in _CELL.finditer(text)]
    alternative = [one for one in alternatives if one][number - 1 : number]
    image = f"[![{''.join(alternative)}](/executed/{file.stem}/{picture})](/tutorials/{file.name})"
    heading = re.search(r"^# (.+)$", text, re.MULTILINE)
    assert heading is not None
    return _CARD.format(
        # None before a new tutorial was executed, of which there is a warning.
        image=image if (EXECUTED / file.stem / picture).is_file() else "",
        title=heading[1],
        name=file.stem,
        minutes=minutes,
        sentence=sentence,
    )


def code_of(text: str) -> list[str]:
    """Return the code of each cell of a tutorial."""
    return [cell["code"] for cell in _CELL.finditer(text)]


def fingerprint(code: list[str]) -> str:
    """Return a number that changes with what the code does, not with its lines and comments."""
    meaning = (ast.unparse(ast.parse(cell)) for cell in code)
    return hashlib.sha256("\0".join(meaning).encode()).hexdigest()[:16]


def page(file: Path) -> tuple[str, str]:
    """Return a tutorial in MyST Markdown with outputs, and what is wrong with these (or empty)."""
    text = re.sub(r"^\+\+\+\n", "", _HEADER.sub("", file.read_text()), flags=re.MULTILINE)
    saved = EXECUTED / file.stem / "outputs.json"
    wrong = ""
    outputs = json.loads(saved.read_text()) if saved.is_file() else {"code": None}
    if outputs["code"] != fingerprint(code_of(text)):
        remedy = f"run python -m docs.pages.execute {file.stem[:2]}"
        wrong = f"tutorials/{file.name}: docs/executed has no outputs of its present code: {remedy}"
        outputs["cells"] = [{"text": "", "figures": []}] * len(code_of(text))
    found = list(_CELL.finditer(text))
    for cell, output in zip(found, outputs["cells"], strict=True):
        if output["figures"] and not _option(cell, "alt"):
            wrong = f"tutorials/{file.name}: a cell that draws needs a line ':alt: what is seen'"
    cells = iter(outputs["cells"])
    return _CELL.sub(lambda cell: _shown(cell, next(cells), f"/executed/{file.stem}"), text), wrong


def _option(cell: re.Match[str], name: str) -> str:
    """Return an option of a cell, such as ``:alt: text``; empty if it has none."""
    line = re.search(rf"^:{name}: (.*)$", cell["options"], re.MULTILINE)
    return line[1] if line else ""


def _wrapped(line: str) -> str:
    """Return a printed line as wide as the page, further indented where it goes on.

    Rows of numbers stay as they are.
    """
    if len(line.rpartition("  ")[2]) < WIDTH // 4:
        return line
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    lines = textwrap.wrap(
        line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)


def _shown(cell: re.Match[str], output: dict, folder: str) -> str:
    """Return a cell and what it printed and drew, in MyST Markdown.

    Checks of what the text says (``remove-cell``) are not shown; answers (``hide-cell``) are folded.
    """
    tags = _option(cell, "tags")
    if "remove-cell" in tags:
        return ""
    shown = f"```python\n{cell['code']}```\n"
    if output["text"]:
        text = "\n".join(map(_wrapped, output["text"].split("\n")))
        shown += f"\n```{{code-block}} text\n:class: output\n\n{text}\n```\n"
    if output.get("table"):
        shown += f"\n```{{raw}} html\n{output['table']}\n```\n"
    shown += "".join(
        f"\n```{{figure}} {folder}/{name}\n:alt: {_option(cell, 'alt')}\n{FULL_WIDTH}\n```\n"
        for name in output["figures"]
    )
    return f"::::{{dropdown}} Answer\n{shown}::::\n" if "hide-cell" in tags else shown
