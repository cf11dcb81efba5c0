"""Small HTML for notebooks: a heading, and tables whose cells are escaped text."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

_CELL = "text-align: left; vertical-align: top"


def facts_html(title: str, facts: Mapping[str, object]) -> str:
    """Write a heading, and a row for each fact that is not empty.

    >>> "<td" in facts_html("Run", {"steps": 5}), "verdict" in facts_html("Run", {"verdict": ""})
    (True, False)
    """
    rows = "".join(
        f'<tr><th style="{_CELL}">{escape(name)}</th><td style="{_CELL}">{_text(value)}</td></tr>'
        for name, value in facts.items()
        if str(value)
    )
    return f"<div><strong>{escape(title)}</strong><table>{rows}</table></div>"


def table_html(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a heading and a table; columns without any text are left out."""
    given = [list(row) for row in rows]
    kept = [place for place, _ in enumerate(heads) if any(str(row[place]) for row in given)]
    head = "".join(f'<th style="{_CELL}">{escape(heads[place])}</th>' for place in kept)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{_text(row[at])}</td>' for at in kept) + "</tr>"
        for row in given
    )
    return (
        f"<div><strong>{escape(title)}</strong><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _text(value: object) -> str:
    return escape(str(value)).replace("\n", "<br>")
