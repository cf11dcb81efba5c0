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
    """Return C2ST by budget and task: of couplings here, and published methods.

    Where several tasks are measured, their mean follows.
    """
    measured, published = results()
    others = [name for name in pd.read_csv(HERE / "kinds.csv")["estimator"] if name != "default"]
    measured = measured[~measured["method"].isin(others)]
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
        if len(tasks) == 1:
            continue
        means = table.loc[[(budget, task) for task in tasks]].mean(skipna=False)
        rows.append([_size(budget), f"mean of {len(tasks)}", *map(_number, means)])
    return markdown(["simulations", "task", *methods, "NPE", "NLE", "NRE", "best published"], rows)


def kinds() -> str:
    """Return C2ST of estimators beside that of published ones of the same kind, and their cost.

    A row for each estimator of a task that more than one was tried on.
    """
    measured, published = results()
    known = published.set_index(["budget", "task", "method"])["c2st"]
    same = pd.read_csv(HERE / "kinds.csv", index_col="estimator")["published"]
    columns = ["c2st", "train_seconds", "draw_seconds"]
    means = measured.groupby(["budget", "task", "method"], sort=False)[columns].mean()
    rows = []
    for budget in measured["budget"].unique():
        for task in TASKS:
            own = [name for name in same.index if (budget, task, name) in means.index]
            for name in own if len(own) > 1 else []:
                c2st, training, drawing = means.loc[(budget, task, name)]
                beside = known.get((budget, task, same[name]))
                cells = ["" if beside is None else f"{beside:.3f} ({same[name]})"]
                cells += [f"{training / 60.0:.1f}", f"{drawing:.2f}"]
                rows.append([_size(budget), task, name, f"{c2st:.3f}", *cells])
    head = ["simulations", "task", "estimator", "C2ST", "published, of its kind"]
    return markdown([*head, "minutes of training", "seconds of 10,000 draws"], rows)


def results() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what was measured here, and what is published."""
    measured, published = (
        pd.read_csv(HERE / name, dtype={"budget": str}) for name in ("results.csv", "published.csv")
    )
    return measured, published


def cost() -> str:
    """Return MMD, nats and processor seconds, a row a run."""
    rows = []
    for row in results()[0].to_dict("records"):
        nats = _number(row["nats"], 2)
        nats += f" ± {row['nats_error']:.2f}" if nats else ""
        seconds = [f"{row['train_seconds']:.0f}", f"{row['draw_seconds']:.2f}"]
        names = [_size(row["budget"]), row["task"], row["method"], str(row["seed"])]
        rows.append([*names, f"{row['mmd']:.4f}", nats, _number(row["exact_nats"], 2), *seconds])
    head = ["simulations", "task", "method", "seed", "MMD²", "held-out nats", "exact nats"]
    return markdown([*head, "seconds of training", "seconds of 10,000 draws"], rows)


def _number(value: float, digits: int = 3) -> str:
    return "" if pd.isna(value) else f"{value:.{digits}f}"


def _size(budget: str) -> str:
    return budget if budget == "online" else f"{int(budget):,}"
