"""The table of README.md."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.numbers.tables import markdown

HERE = Path(__file__).resolve().parent
BUDGETS = ("1000", "10000", "100000", "online")
PROBLEMS = (
    "linear",
    "gaussian",
    "sir",
    "two_moons",
    "slide_toy",
    "inverse_kinematics",
    "tissue",
    "covid19_regular",
)


def variants() -> str:
    """Return a table for each budget: a row a variant, a column a problem.

    Cells are mean ± standard error of several seeds.
    """
    table = pd.read_csv(HERE / "table.csv", dtype={"budget": str})
    mean = table["mean"].map("{:.3f}".format)
    several = table["count"] > 1
    table["text"] = mean.where(~several, mean + " ± " + table["sem"].map("{:.3f}".format))
    problems = [name for name in PROBLEMS if name in set(table["problem"])]
    parts = []
    for budget in BUDGETS:
        own = table[table["budget"] == budget]
        wide = own.pivot_table(index="variant", columns="problem", values="text", aggfunc="first")
        wide = wide.reindex(columns=problems).fillna("")
        title = "online" if budget == "online" else f"{int(budget):,} simulations"
        rows = [[name, *row] for name, row in zip(wide.index, wide.to_numpy(), strict=True)]
        parts += [f"**{title}**", markdown(["variant", *problems], rows)]
    return "\n\n".join(parts)
