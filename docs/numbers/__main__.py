"""Fill numbers into pages, or say which of them are not those of their cells.

python -m docs.numbers [--check] [PAGE ...]    # all pages if none is named
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from docs.numbers.page import ROOT, fill, pages, problems


def main() -> None:
    """Fill, then say what is left."""
    parser = argparse.ArgumentParser(
        prog="python -m docs.numbers", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE")
    parser.add_argument("--check", action="store_true", help="write nothing")
    given = parser.parse_args()
    chosen = [page.resolve() for page in given.pages] or pages()
    for page in chosen:
        if not page.is_file() or not page.is_relative_to(ROOT):
            parser.error(f"{page} is no page of this repository")
    if not given.check:
        for page in chosen:
            text = page.read_text()
            filled, _ = fill(text, page)
            if filled != text:
                page.write_text(filled)
                print(f"filled {page}")
    wrong = [what for page in chosen for what in problems(page)]
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
