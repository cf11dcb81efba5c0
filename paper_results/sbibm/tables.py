"""The tables of README.md."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
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
PEERS = ("BayesFlow", "sbi")
BUDGETS = ("1000", "10000", "100000")
#: Methods that first select the elements of the data that depend on parameters, and without that.
SELECTED = {
    "selected": "default",
    "selected likelihood": "likelihood",
    "selected and refined": "refined",
}
VARIANTS = ("affine", "without linear map", "short batches")


def accuracy() -> str:
    """Return C2ST by budget and task: of the default, peers, and published methods.

    Where several tasks are measured, their mean follows.
    """
    measured, published = results()
    measured = measured[measured["method"].isin(("default", *PEERS))]
    methods = list(measured["method"].unique())
    table = pd.concat([measured, published]).pivot_table("c2st", ["budget", "task"], "method")
    table = table[[*methods, *PUBLISHED]]
    algorithms = published[published["method"] == "best"].set_index(["budget", "task"])["algorithm"]
    rows = []
    for budget in _budgets(measured):
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


def overview() -> str:
    """Return mean C2ST of all tasks: of the default, with its seconds of training, and published.

    Seconds are processor time, the median of tasks.
    """
    measured, published = results()
    own = measured[measured["method"] == "default"]
    table = pd.concat([own, published]).pivot_table("c2st", ["budget", "task"], "method")
    seconds = own.groupby(["budget", "task"])["train_seconds"].mean()
    rows = []
    for budget in BUDGETS:
        across = table.loc[budget][["default", *PUBLISHED]].mean(skipna=False)
        rows.append([_size(budget), *map(_number, across), f"{seconds[budget].median():.0f}"])
    names = ["default", "NPE", "NLE", "NRE", "best published"]
    return markdown(["simulations", *names, "processor seconds of training, default"], rows)


def peers() -> str:
    """Return mean C2ST of other libraries, with that of the default on the same tasks in brackets.

    Seconds of training are processor time, the median of these tasks.
    """
    measured, _ = results()
    columns = ["c2st", "train_seconds"]
    means = measured.groupby(["budget", "method", "task"])[columns].mean()
    rows = []
    for budget, name in itertools.product(BUDGETS, PEERS):
        if (budget, name) not in means.index.droplevel("task"):
            continue
        theirs = means.loc[(budget, name)]
        own = means.loc[(budget, "default")].loc[theirs.index]
        accuracies = [f"{part['c2st'].mean():.3f}" for part in (theirs, own)]
        seconds = [f"{part['train_seconds'].median():.0f}" for part in (theirs, own)]
        cells = [f"{value} ({ours})" for value, ours in (accuracies, seconds)]
        rows.append([_size(budget), name, str(len(theirs)), *cells])
    head = [
        "simulations",
        "library",
        "tasks",
        "mean C2ST (default)",
        "seconds of training (default)",
    ]
    return markdown(head, rows)


def seeds() -> str:
    """Return the default's mean C2ST of all tasks by seed, and how far seeds of a task differ.

    The last columns have the standard deviation between the seeds of a task: the mean over tasks,
    and the largest.
    """
    measured, _ = results()
    own = measured[measured["method"] == "default"]
    table = own.pivot_table("c2st", ["budget", "task"], "seed").dropna(axis="index")
    rows = []
    for budget in _budgets(own):
        if budget not in table.index:
            continue
        part = table.loc[budget]
        spread = part.std(axis=1)
        worst = spread.idxmax()
        cells = [f"{value:.3f}" for value in part.mean()]
        rows.append(
            [
                _size(budget),
                str(len(part)),
                *cells,
                f"{spread.mean():.3f}",
                f"{spread[worst]:.3f} ({worst})",
            ]
        )
    numbers = [f"seed {seed}" for seed in table.columns]
    return markdown(["simulations", "tasks", *numbers, "sd of a task", "largest"], rows)


def variants() -> str:
    """Return C2ST and seconds of training of other choices, beside the default's."""
    measured, _ = results()
    columns = ["c2st", "train_seconds"]
    means = measured.groupby(["method", "budget", "task"])[columns].mean()
    rows = []
    for name, budget, task in itertools.product(VARIANTS, _budgets(measured), TASKS):
        if not {(name, budget, task), ("default", budget, task)} <= set(means.index):
            continue
        then = means.loc[(name, budget, task)]
        now = means.loc[("default", budget, task)]
        accuracies = [f"{then['c2st']:.3f}", f"{now['c2st']:.3f}"]
        seconds = [f"{then['train_seconds']:.0f}", f"{now['train_seconds']:.0f}"]
        rows.append([name, _size(budget), task, *accuracies, *seconds])
    head = ["variant", "simulations", "task", "C2ST", "of the default", "seconds", "of the default"]
    return markdown(head, rows)


def kinds() -> str:
    """Return C2ST of estimators, in brackets that of the published one of the same kind.

    A row for each task and budget that more than one was tried on; the best is bold.
    """
    measured, published = results()
    measured = first_seed(measured)
    known = published.set_index(["budget", "task", "method"])["c2st"]
    same = _estimators(measured)
    means = measured.groupby(["budget", "task", "method"])["c2st"].mean()
    rows = []
    for budget in _budgets(measured):
        for task in TASKS:
            own = {name: means.get((budget, task, name)) for name in same.index}
            there = [value for value in own.values() if value is not None]
            if len(there) < 2:
                continue
            cells = []
            for name, value in own.items():
                cell = "" if value is None else f"{value:.3f}"
                cell = f"**{cell}**" if value == min(there) else cell
                beside = known.get((budget, task, same[name]))
                cells.append(cell if beside is None or not cell else f"{cell} ({beside:.3f})")
            rows.append([_size(budget), task, *cells])
    head = [name if pd.isna(kind) else f"{name} ({kind})" for name, kind in same.items()]
    return markdown(["simulations", "task", *head], rows)


def selections() -> str:
    """Return C2ST and held-out nats of estimators, of all elements and of those selected."""
    measured = first_seed(results()[0])
    means = measured.groupby(["budget", "task", "method"])[["c2st", "nats"]].mean()
    rows = []
    for budget, task, (name, whole) in itertools.product(
        _budgets(measured), TASKS, SELECTED.items()
    ):
        if (budget, task, name) not in means.index:
            continue
        cells = []
        for column, digits in (("c2st", 3), ("nats", 2)):
            known = means[column]
            cells += [
                _number(known.get((budget, task, key), np.nan), digits) for key in (whole, name)
            ]
        rows.append([_size(budget), task, whole, *cells])
    head = ["simulations", "task", "estimator", "C2ST", "selected", "held-out nats", "selected"]
    return markdown(head, rows)


def chosen() -> str:
    """Return, by budget and task, the estimator with the highest held-out density.

    Neither the choice nor the density uses references. Estimators without a density are left out.
    """
    measured = first_seed(results()[0])
    candidates = [*_estimators(measured).index, *SELECTED]
    known = measured["method"].isin(candidates) & measured["nats"].notna()
    keys = ["budget", "task", "method"]
    table = measured[known].groupby(keys)[["nats", "c2st"]].mean()
    rows = []
    for budget in ("10000", "100000"):
        reached = []
        for task in TASKS:
            own = table.loc[(budget, task)]
            best = own["nats"].idxmin()
            reached.append(own.loc[best, "c2st"])
            tried = ", ".join(f"{name} {value:.2f}" for name, value in own["nats"].items())
            rows.append([_size(budget), task, tried, best, _number(reached[-1])])
        rows.append([_size(budget), f"mean of {len(TASKS)}", "", "", _number(np.mean(reached))])
    return markdown(["simulations", "task", "held-out nats", "chosen", "its C2ST"], rows)


def kind_costs() -> str:
    """Return the median processor time of estimators over the tasks that each was tried on.

    Beside it, in brackets, that of the default over the same tasks.
    """
    measured = first_seed(results()[0])
    measured = measured[measured["budget"] == "10000"]
    columns = ["train_seconds", "draw_seconds"]
    seconds = measured.groupby(["method", "task"])[columns].mean()
    default = seconds.loc["default"]
    rows = []
    for name in _estimators(measured).index:
        own = seconds.loc[name]
        training, drawing = own.median()
        cells = [f"{training:.0f}", f"{drawing:.2f}"]
        if name != "default":
            training, drawing = default.loc[own.index].median()
            cells = [f"{cells[0]} ({training:.0f})", f"{cells[1]} ({drawing:.2f})"]
        rows.append([name, str(len(own)), *cells])
    return markdown(["estimator", "tasks", "seconds of training", "seconds of 10,000 draws"], rows)


def budgets() -> str:
    """Return C2ST and seconds of the default's training, by number of simulations.

    Over the tasks that were measured with each of these numbers.
    """
    measured, _ = results()
    own = measured[(measured["method"] == "default") & measured["budget"].isin(BUDGETS)]
    columns = ["c2st", "train_seconds"]
    means = own.groupby(["budget", "task"])[columns].mean().unstack("budget").dropna()
    rows = []
    for budget in BUDGETS:
        accuracies, seconds = (means[column][budget] for column in columns)
        across = [f"{accuracies.mean():.3f}", f"{accuracies.min():.3f} to {accuracies.max():.3f}"]
        times = [f"{seconds.median():.0f}", f"{seconds.max():,.0f}"]
        rows.append([_size(budget), str(len(means)), *across, *times])
    head = ["simulations", "tasks", "mean C2ST", "range", "median seconds of training", "longest"]
    return markdown(head, rows)


def _estimators(measured: pd.DataFrame) -> pd.Series:
    """Return the published method of the same kind as each estimator that was measured."""
    same = pd.read_csv(HERE / "kinds.csv", index_col="estimator")["published"]
    return same[same.index.isin(measured["method"])]


def _budgets(measured: pd.DataFrame) -> list[str]:
    """Return numbers of simulations, the fewest first."""
    most = float("inf")
    return sorted(
        measured["budget"].unique(),
        key=lambda budget: most if budget == "online" else float(budget),
    )


def results() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what was measured here, and what is published."""
    measured, published = (
        pd.read_csv(HERE / name, dtype={"budget": str}) for name in ("results.csv", "published.csv")
    )
    return measured, published


def first_seed(measured: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of seed 1, the only one of estimators other than the default."""
    return measured[measured["seed"] == 1]


def cost() -> str:
    """Return MMD, nats and processor seconds, a row a run."""
    rows = []
    measured = results()[0].sort_values(
        ["task", "budget", "method", "seed"],
        key=lambda column: column.map(TASKS.index) if column.name == "task" else column,
    )
    for row in measured.to_dict("records"):
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
