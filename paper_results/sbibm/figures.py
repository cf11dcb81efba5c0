"""Accuracy beside published methods: of the defaults, and of each kind of estimator.

``python -m docs.figures sbibm`` draws both.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tables import TASKS, first_seed, results

from bayesinn.plots.style import CURVES, LIGHT_GREY, curve_look, styled

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


@styled
def draw_kinds(budget: str = "10000") -> Figure:
    """Return the C2ST of estimators, a row for each task that several were tried on.

    Hollow marks are published methods of the same kind.
    """
    measured, published = (table[table["budget"] == budget] for table in results())
    measured = first_seed(measured)
    kinds = pd.read_csv(HERE / "kinds.csv", index_col="estimator")["published"]
    means = measured.groupby(["task", "method"])["c2st"].mean()
    known = published.set_index(["task", "method"])["c2st"]
    tried = {task: [name for name in kinds.index if (task, name) in means] for task in TASKS}
    tasks = [task for task in TASKS if len(tried[task]) > 1]
    names = [name for name in kinds.index if any(name in tried[task] for task in tasks)]
    figure = Figure(figsize=(9.0, 0.8 * len(tasks) + 1.4), layout="constrained")
    axis = figure.subplots()
    middle = (len(names) - 1) / 2
    for place, name in enumerate(names):
        color, mark, _ = curve_look(place)
        heights = [number + 0.8 / len(names) * (place - middle) for number in range(len(tasks))]
        own = [means.get((task, name), np.nan) for task in tasks]
        axis.plot(own, heights, mark, color=color, label=name)
        kind = kinds[name]
        if pd.notna(kind):
            # Without an own number, there is nothing to compare.
            same = [
                known.get((task, kind), np.nan) if (task, name) in means else np.nan
                for task in tasks
            ]
            label = f"published {kind}"
            axis.plot(same, heights, mark, color=color, fillstyle="none", label=label)
    axis.set_yticks(range(len(tasks)), tasks)
    axis.set_ylim(len(tasks) - 0.5, -0.5)
    for border in range(1, len(tasks)):
        axis.axhline(border - 0.5, color=LIGHT_GREY, linewidth=0.6)
    axis.set_xlim(0.48, 1.02)
    axis.set_xlabel(f"C2ST at {int(budget):,} simulations, ideal 0.5")
    axis.grid(axis="x", color=LIGHT_GREY, linewidth=0.6)
    figure.legend(loc="outside right upper", fontsize=9)
    return figure
