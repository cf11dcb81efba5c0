"""The tables of README.md, and of the documentation's page about diagnostics."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.numbers.tables import markdown

HERE = Path(__file__).resolve().parent
CORRECT = ["correct", "correct, two modes", "within tolerance"]
# The number of simulations at which the power of tests is told.
TOLD = 1_000
POSTERIORS = {
    "too wide": "sd x 1.15",
    "too narrow": "sd / 1.15",
    "shifted": "mean + 0.2 sd",
    "prior": "the prior",
    "flipped mode, two modes": "flipped mode",
    "too narrow, two modes": "sd / 1.15, two modes",
    "shifted, two modes": "mean + 0.2 sd, two modes",
}
TESTS = {
    "coverage": "coverage of intervals",
    "SBC of log likelihood": "SBC of the log likelihood",
    "L-C2ST": "L-C2ST, at one observation",
    "posterior SBC": "posterior SBC, at one observation",
}


def verdict() -> str:
    """Return shares of verdicts outside / within: a row a posterior, a column a size."""
    table = pd.read_csv(HERE / "grades.csv")
    verdicts = table[table["check"] == "verdict"].set_index(["posterior", "simulations"])
    sizes = sorted(table["simulations"].unique())
    rows = []
    for name in verdicts.index.unique("posterior"):
        found = verdicts.loc[name].reindex(sizes)
        cells = zip(found["outside"], found["within"], found["repetitions"], strict=True)
        told = [f"{outside:.3g} / {within:.3g} ({number:.0f})" for outside, within, number in cells]
        rows.append([POSTERIORS.get(name, name), *("" if "nan" in cell else cell for cell in told)])
    return markdown(["posterior", *(f"{size:,}" for size in sizes)], rows)


def checks() -> str:
    """Return how often each check is outside.

    For posteriors within tolerance the largest share, then that of each broken one.
    """
    table = pd.read_csv(HERE / "grades.csv")
    outside = table.set_index(["check", "posterior", "simulations"])["outside"]
    told = table[(table["simulations"] == TOLD) & ~table["posterior"].isin(CORRECT)]
    names = list(told["posterior"].unique())
    rows = []
    for check in table["check"].unique():
        most = outside[check].loc[CORRECT].max()
        rows.append(
            [check, f"{most:.2g}", *(f"{outside[check, name, TOLD]:.2f}" for name in names)]
        )
    return markdown(
        ["check", "correct, at most", *(POSTERIORS.get(name, name) for name in names)], rows
    )


def power() -> str:
    """Return how often each test rejects: a row a test, a column a posterior.

    Correct ones have more digits.
    """
    table = pd.read_csv(HERE / "results.csv").set_index("posterior")
    numbers = ["(repetitions)", *(str(number) for number in table.pop("repetitions"))]
    head = ["test", *(POSTERIORS.get(name, name) for name in table.index)]
    digits = [3 if name.startswith("correct") else 2 for name in table.index]
    rows = [numbers]
    for test in table.columns:
        cells = [f"{value:.{places}f}" for value, places in zip(table[test], digits, strict=True)]
        rows.append([TESTS.get(test, test), *cells])
    return markdown(head, rows)
