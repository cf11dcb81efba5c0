"""Links and figures of files of the repository, as they read on a page of the documentation."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
RESULTS = ROOT / "paper_results"
#: Option of a figure, which is then a link to the same figure in its own size.
FULL_WIDTH = ":width: 100%"
_LINK = re.compile(r"(?P<figure>!?)\[(?P<text>[^\]\[]*)\]\((?P<path>[^)#: ]+)\)")


def relinked(text: str, file: Path) -> str:
    """Return the Markdown of a repository file with links that lead from a page one folder deep.

    Other pages are linked, figures are shown in full width with their text as caption, files can be
    downloaded.
    """

    def replaced(link: re.Match[str]) -> str:
        words = link["text"]
        target = (file.parent / link["path"]).resolve()
        if link["figure"]:
            return (
                f"```{{figure}} ../../{target.relative_to(ROOT)}\n:alt: "
                f"{words}\n{FULL_WIDTH}\n\n{words}\n```"
            )
        if page := _page(target):
            return f"[{words}]({page})"
        # A folder can't be downloaded.
        return (
            f"{{download}}`{words.strip('`')} <../../{target.relative_to(ROOT)}>`"
            if target.is_file()
            else words
        )

    return _LINK.sub(replaced, text)


def _page(target: Path) -> str:
    """Return the path of the page that shows a file of the repository; empty if none does."""
    if target.parent == ROOT / "tutorials":
        return f"/tutorials/{target.name}"
    if target.parent == DOCS / "how_to":
        return f"/how_to/{target.name}"
    if target.name == "README.md" and target.is_relative_to(RESULTS):
        return f"/gallery/{gallery_name(target)}.md"
    if target == ROOT / "benchmarks" / "peers" / "README.md":
        return "/gallery/peers.md"
    if target.parent == DOCS and target.suffix == ".md":
        return f"/{target.name}"
    return ""


def gallery_name(file: Path) -> str:
    """Return the name of the page of a result: ``sbibm``, or ``sbibm_training`` of a part of it."""
    return "_".join(file.parent.relative_to(RESULTS).parts)
