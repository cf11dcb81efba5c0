"""The table of README.md, and its figure."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from bayesinn.plots.panels import CURVES, PAGE, legend_below, styled
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

#: Problems and variants of the figure: those with an exact density that isn't reached at once.
DRAWN = {"sir": "SIR", "two_moons": "two moons"}
BATCHES = ("batch 256", "batch 64")


@styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw nats above the exact density over the number of simulations, for two batch sizes."""
    figure = Figure(figsize=(PAGE, 3.0), layout="constrained")
    grid = figure.subplots(1, len(DRAWN), sharey=True)
    table = table[table["budget"] != "online"].astype({"budget": int})
    for ax, (problem, title) in zip(grid, DRAWN.items(), strict=True):
        for variant, (colour, marker, line) in zip(BATCHES, CURVES, strict=False):
            part = table[(table["problem"] == problem) & (table["variant"] == variant)]
            look = {"color": colour, "marker": marker, "linestyle": line, "label": variant}
            ax.errorbar(part["budget"], part["mean"], part["sem"].fillna(0.0), **look)
        ax.set(xscale="log", xlabel="simulations", title=title)
    grid[0].set(ylabel="nats above the exact density", ylim=(0.0, None))
    return legend_below(figure)


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
