"""The tables of README.md."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.numbers.tables import markdown

HERE = Path(__file__).resolve().parent
TASKS = (
    "gaussian_linear",
    "gaussian_linear_uniform",
    "gaussian_mixture",
    "two_moons",
    "sir",
    "bernoulli_glm",
    "bernoulli_glm_raw",
    "slcp",
    "slcp_distractors",
    "lotka_volterra",
)
PUBLISHED = ("NPE", "NLE", "NRE", "best")


def accuracy() -> str:
    """Return C2ST by budget and task: of each method here, and published ones.

    Where several tasks are measured, their mean follows.
    """
    measured = pd.read_csv(HERE / "results.csv", dtype={"budget": str})
    published = pd.read_csv(HERE / "published.csv", dtype={"budget": str})
    methods = list(measured["method"].unique())
    table = pd.concat([measured, published]).pivot_table("c2st", ["budget", "task"], "method")
    table = table[[*methods, *PUBLISHED]]
    algorithms = published[published["method"] == "best"].set_index(["budget", "task"])["algorithm"]
    rows = []
    for budget in measured["budget"].unique():
        done = set(measured["task"][measured["budget"] == budget])
        tasks = [task for task in TASKS if task in done]
        for task in tasks:
            cells = [_number(value) for value in table.loc[(budget, task)]]
            if (budget, task) in algorithms:
                cells[-1] = f"{cells[-1]} ({algorithms[budget, task]})"
            rows.append([_size(budget), task, *cells])
        means = table.loc[[(budget, task) for task in tasks]].mean(skipna=False)
        rows.append([_size(budget), f"mean of {len(tasks)}", *map(_number, means)])
    return markdown(["simulations", "task", *methods, "NPE", "NLE", "NRE", "best published"], rows)


def cost() -> str:
    """Return MMD, nats and processor seconds, a row a run."""
    rows = []
    for row in pd.read_csv(HERE / "results.csv", dtype={"budget": str}).to_dict("records"):
        nats = f"{row['nats']:.2f} ± {row['nats_error']:.2f}"
        seconds = [f"{row['train_seconds']:.0f}", f"{row['draw_seconds']:.2f}"]
        names = [_size(row["budget"]), row["task"], row["method"], str(row["seed"])]
        rows.append([*names, f"{row['mmd']:.4f}", nats, _number(row["exact_nats"], 2), *seconds])
    head = ["simulations", "task", "method", "seed", "MMD²", "held-out nats", "exact nats"]
    return markdown([*head, "seconds of training", "seconds of 10,000 draws"], rows)


def _number(value: float, digits: int = 3) -> str:
    return "" if pd.isna(value) else f"{value:.{digits}f}"


def _size(budget: str) -> str:
    return budget if budget == "online" else f"{int(budget):,}"
