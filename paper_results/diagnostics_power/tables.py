"""The table of power in README.md."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.numbers.tables import markdown

HERE = Path(__file__).resolve().parent
POSTERIORS = {
    "too wide": "sd x 1.15",
    "too narrow": "sd / 1.15",
    "shifted": "mean + 0.2 sd",
    "prior": "the prior",
    "flipped mode, two modes": "flipped mode",
}
TESTS = {
    "coverage": "coverage of intervals",
    "SBC of log likelihood": "SBC of the log likelihood",
    "L-C2ST": "L-C2ST, at one observation",
    "posterior SBC": "posterior SBC, at one observation",
}


def power() -> str:
    """Return how often each test rejects: a row a test, a column a posterior, more digits for correct ones."""
    table = pd.read_csv(HERE / "results.csv").set_index("posterior").drop(columns="repetitions")
    head = ["test", *(POSTERIORS.get(name, name) for name in table.index)]
    digits = [3 if name.startswith("correct") else 2 for name in table.index]
    rows = []
    for test in table.columns:
        cells = [f"{value:.{places}f}" for value, places in zip(table[test], digits, strict=True)]
        rows.append([TESTS.get(test, test), *cells])
    return markdown(head, rows)
