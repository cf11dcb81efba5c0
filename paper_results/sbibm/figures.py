"""Accuracy against the number of simulations: the defaults here beside published methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tasks import TASKS

from bayesinn.plots.style import CURVES, LIGHT_GREY, styled

HERE = Path(__file__).parent
METHODS = {"default": "bayesinn, defaults", "NPE": "NPE, published", "best": "best published"}
MEAN = "mean of all tasks"


def accuracies() -> pd.DataFrame:
    """Return C2ST, a row for each task, method and number of simulations, mean of seeds."""
    columns = ["task", "method", "budget", "c2st"]
    tables = [
        pd.read_csv(HERE / name, dtype={"budget": str})[columns]
        for name in ("results.csv", "published.csv")
    ]
    table = pd.concat(tables)
    table = table[table["method"].isin(METHODS) & (table["budget"] != "online")]
    table["budget"] = table["budget"].astype(int)
    return table.groupby(columns[:-1], as_index=False).mean()


@styled
def draw() -> Figure:
    """Return a panel a task, and one of means where all tasks are measured."""
    table = accuracies()
    complete = table.groupby(["method", "budget"])["task"].nunique() == len(TASKS)
    means = table.groupby(["method", "budget"], as_index=False)["c2st"].mean()
    means = means[[complete[key] for key in zip(means["method"], means["budget"], strict=True)]]
    panels = {task: table[table["task"] == task] for task in TASKS}
    panels[MEAN] = means
    figure = Figure(figsize=(10.0, 7.2), layout="constrained")
    axes = figure.subplots(3, 4, sharex=True, sharey=True)
    for axis, (name, rows) in zip(axes.flat, panels.items(), strict=False):
        for (method, label), (colour, marker, line) in zip(METHODS.items(), CURVES, strict=False):
            own = rows[rows["method"] == method].sort_values("budget")
            axis.plot(own["budget"], own["c2st"], line, color=colour, marker=marker, label=label)
        axis.set_title(name, fontweight="bold" if name == MEAN else "normal")
        axis.set_xscale("log")
        axis.set_ylim(0.48, 1.02)
        axis.set_yticks(np.arange(0.5, 1.01, 0.1))
        axis.grid(axis="y", color=LIGHT_GREY, linewidth=0.6)
    for axis in axes[:, 0]:
        axis.set_ylabel("C2ST, ideal 0.5")
    for axis in axes[-1]:
        axis.set_xlabel("simulations")
    # No panel with numbers of simulations is below it.
    axes[-2, -1].tick_params(labelbottom=True)
    axes[-2, -1].set_xlabel("simulations")
    last = axes.flat[len(panels)]
    last.axis("off")
    last.legend(*axes.flat[0].get_legend_handles_labels(), loc="center", fontsize=10)
    return figure


def main() -> None:
    """Write the figure."""
    draw().savefig(HERE / "figure.png", dpi=180)


if __name__ == "__main__":
    main()
