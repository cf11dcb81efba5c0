"""The table of README.md."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.numbers.tables import markdown

HERE = Path(__file__).resolve().parent
HEAD = [
    "problem",
    "simulations",
    "how",
    "C2ST, mean (range)",
    "share of the prior",
    "plain simulations for the same",
]


def rounds() -> str:
    """Return C2ST of rounds and of plain training, and how many plain simulations match."""
    rows = []
    for row in pd.read_csv(HERE / "table.csv").to_dict("records"):
        in_rounds = row["method"] == "rounds"
        bound = "more than " if row["at least"] else ""
        rows.append(
            [
                row["problem"],
                f"{row['simulations']:,}",
                "truncated rounds" if in_rounds else "once, from the prior",
                f"{row['mean']:.3f} ({row['min']:.3f} to {row['max']:.3f})",
                f"{row['prior share']:.3f}" if in_rounds else "",
                f"{bound}{row['plain simulations']:,.0f}" if in_rounds else "",
            ]
        )
    return markdown(HEAD, rows)
