"""Gallery: the README of each reproduced result, with its tables and figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from docs.pages.links import ROOT, relinked

_INDEX = """# Gallery of results

Each folder of `paper_results` reproduces a published result, or measures something that this library decides by. Every
table comes from a CSV file beside it, and `run.py` makes it anew.

::::{{grid}} 1 2 2 2
:gutter: 3

{cards}
::::

```{{toctree}}
:hidden:

{names}
```
"""
_CARD = """:::{{grid-item-card}} {title}
:link: {name}
:link-type: doc
{image}
{text}
:::
"""


def pages(_: Callable[[str], None]) -> dict[str, str]:
    """Return a page for each result, and their index."""
    files = {file.parent.name: file for file in sorted(ROOT.glob("paper_results/*/README.md"))}
    files["peers"] = ROOT / "benchmarks" / "peers" / "README.md"
    made = {f"gallery/{name}.md": relinked(file.read_text(), file) for name, file in files.items()}
    cards = "\n".join(_card(name, file) for name, file in files.items())
    return made | {"gallery/index.md": _INDEX.format(cards=cards, names="\n".join(files))}


def _card(name: str, file: Path) -> str:
    """Return the card of a result: title, first figure, first sentence."""
    text = file.read_text()
    title, _, body = text.removeprefix("# ").partition("\n")
    figure = re.search(r"!\[[^\]]*\]\(([^)]+)\)", text)
    path = file.parent / (figure[1] if figure else "figure.png")
    image = f":img-bottom: ../../{path.relative_to(ROOT)}\n" if path.is_file() else ""
    # Links in a card that is a link itself lead nowhere.
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", body.strip().partition("\n\n")[0].replace("\n", " "))
    sentence = re.match(r".*?[^A-Z]\w[.:](?= |$)", plain)
    return _CARD.format(title=title, name=name, image=image, text=sentence[0].rstrip(":") if sentence else plain)
