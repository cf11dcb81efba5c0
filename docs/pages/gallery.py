"""Gallery: the README of each study, with its tables and figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from docs.pages.links import RESULTS, ROOT, gallery_name, relinked

_INDEX = """# Gallery of results

Each folder of `paper_results` repeats a published study, or measures something that this library decides by. Not every
published result is reached; each page says which. Tables come from CSV files beside the page, which also says which
programs measured them.

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
{image}:::
"""
#: The figure on a card, where it isn't the first one of the page.
_FIGURES = {
    "covid19_germany": "forecast.png",
    "densities_2d": "densities.png",
    "multispectral": "map.png",
    "peers": "figure.svg",
    "sir_germany": "predictive_cases.png",
}


def pages(_: Callable[[str], None]) -> dict[str, str]:
    """Return a page for each result, and their index."""
    files = {gallery_name(file): file for file in sorted(RESULTS.glob("**/README.md"))}
    files["peers"] = ROOT / "benchmarks" / "peers" / "README.md"
    made = {f"gallery/{name}.md": relinked(file.read_text(), file) for name, file in files.items()}
    cards = "\n".join(_card(name, file) for name, file in files.items())
    return made | {"gallery/index.md": _INDEX.format(cards=cards, names="\n".join(files))}


def _card(name: str, file: Path) -> str:
    """Return the card of a result: its title, and one figure if there is any."""
    text = file.read_text()
    title = text.removeprefix("# ").partition("\n")[0]
    first = re.search(r"!\[[^\]]*\]\(([^)]+)\)", text)
    figure = _FIGURES.get(name) or (first[1] if first else "")
    image = ""
    if figure:
        alternative = re.search(rf"!\[([^\]]+)\]\({re.escape(figure)}\)", text)
        image = f":img-top: ../../{file.parent.relative_to(ROOT) / figure}\n"
        image += f":img-alt: {' '.join(alternative[1].split()) if alternative else title}\n"
    return _CARD.format(title=title, name=name, image=image)
