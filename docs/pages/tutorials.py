"""Tutorials: their text, their code, and what each cell printed and drew when it was executed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

from docs.pages.links import DOCS, FULL_WIDTH, ROOT, relinked

TUTORIALS = ROOT / "tutorials"
EXECUTED = DOCS / "executed"
_HEADER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_CELL = re.compile(
    r"^```\{code-cell\}[^\n]*\n(?P<tags>:tags:[^\n]*\n\n?)?(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_INDEX = """# Tutorials

Each runs as it stands, in about a minute; the tests run them all. What they print and draw here was made by
`python -m docs.pages.execute`.

```{toctree}
:glob:

*
```
"""


def pages(warn: Callable[[str], None]) -> dict[str, str]:
    """Return a page for each tutorial, and their index."""
    made = {"tutorials/index.md": _INDEX}
    for file in sorted(TUTORIALS.glob("[0-9]*.md")):
        text, wrong = page(file)
        made[f"tutorials/{file.name}"] = relinked(text, file)
        if wrong:
            warn(wrong)
    return made


def code_of(text: str) -> list[str]:
    """Return the code of each cell of a tutorial."""
    return [cell["code"] for cell in _CELL.finditer(text)]


def fingerprint(code: list[str]) -> str:
    """Return a number that changes with the code."""
    return hashlib.sha256("\0".join(code).encode()).hexdigest()[:16]


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
    cells = iter(outputs["cells"])
    return _CELL.sub(lambda cell: _shown(cell, next(cells), f"/executed/{file.stem}"), text), wrong


def _shown(cell: re.Match[str], output: dict, folder: str) -> str:
    """Return a cell and what it printed and drew, in MyST Markdown."""
    code = f"```python\n{cell['code']}```\n"
    if "hide-input" in (cell["tags"] or ""):
        return f"::::{{dropdown}} Checks of what the text says\n{code}::::\n"
    if output["text"]:
        code += f"\n```{{code-block}} text\n:class: output\n\n{output['text']}\n```\n"
    return code + "".join(
        f"\n```{{figure}} {folder}/{name}\n{FULL_WIDTH}\n```\n" for name in output["figures"]
    )
