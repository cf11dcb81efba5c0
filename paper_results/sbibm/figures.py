"""Accuracy beside published methods: of the defaults, and of each kind of estimator.

``python -m docs.figures sbibm`` draws both.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tables import TASKS, first_seed, results

from bayesinn.plots.panels import BLACK, CURVES, LIGHT_GREY, PAGE, SMALL, styled, wrapped

HERE = Path(__file__).parent
METHODS = {"default": "bayesinn, defaults", "NPE": "NPE, published", "best": "best published"}
MEAN = "mean of all tasks"


def accuracies() -> pd.DataFrame:
    """Return C2ST, a row for each task, method and number of simulations, mean of seeds."""
    columns = ["task", "method", "budget", "c2st"]
    table = pd.concat(results())[columns]
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
    figure = Figure(figsize=(PAGE, 6.2), layout="constrained")
    axes = figure.subplots(3, 4, sharex=True, sharey=True)
    for axis, (name, rows) in zip(axes.flat, panels.items(), strict=False):
        for (method, label), (colour, marker, line) in zip(METHODS.items(), CURVES, strict=False):
            own = rows[rows["method"] == method].sort_values("budget")
            axis.plot(
                own["budget"],
                own["c2st"],
                line,
                color=colour,
                marker=marker,
                markersize=4,
                label=label,
            )
        axis.set_title(
            name.replace("_", " "), fontsize=9, fontweight="bold" if name == MEAN else "normal"
        )
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
    last.legend(*axes.flat[0].get_legend_handles_labels(), loc="center")
    return figure


@styled
def draw_kinds(budget: str = "10000") -> Figure:
    """Return C2ST as numbers and shades, a row for each estimator, a column for each task.

    Below an estimator stands the published method of the same kind, on the same tasks.
    """
    measured, published = (table[table["budget"] == budget] for table in results())
    means = first_seed(measured).groupby(["method", "task"])["c2st"].mean().unstack()
    known = published.set_index(["method", "task"])["c2st"].unstack()
    kinds = pd.read_csv(HERE / "kinds.csv", index_col="estimator")["published"]
    rows = {}
    for name, kind in kinds.items():
        if name in means.index:
            rows[str(name)] = means.loc[name]
            if pd.notna(kind):
                # Without an own number, there is nothing to compare.
                rows[f"published {kind}"] = known.loc[kind].where(means.loc[name].notna())
    table = pd.DataFrame(rows).T.reindex(columns=TASKS)
    figure = Figure(figsize=(PAGE, 0.29 * len(table) + 1.6), layout="constrained")
    ax = figure.subplots()
    image = ax.imshow(table, cmap="Blues", vmin=0.5, vmax=1.0, aspect="auto")
    best = table.min()
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        if np.isfinite(value):
            ax.text(
                column,
                row,
                f"{value:.2f}",
                ha="center",
                va="center",
                fontsize=SMALL,
                color="white" if value > 0.78 else BLACK,
                fontweight="bold" if value == best.iloc[column] else "normal",
            )
    names = [wrapped(task.replace("_", " "), 0.6, SMALL) for task in table.columns]
    ax.set_xticks(range(len(names)), names, fontsize=SMALL)
    ax.set_yticks(range(len(table)), table.index)
    ax.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    label = f"C2ST at {int(budget):,} simulations, ideal 0.5; bold: the best of a task"
    figure.colorbar(image, ax=ax, location="bottom", aspect=50, label=label)
    return figure
