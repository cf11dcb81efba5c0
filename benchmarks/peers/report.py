"""What the runs amount to: results.csv, figure.svg, and tables here and in the project's README.

python benchmarks/peers/report.py    # write the figure again, from results.csv; make numbers: the
tables
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HERE = Path(__file__).parent
TOLERANCES = (0.05, 0.02)
COLUMNS = {
    "bayesinn": "bayesinn",
    "bayesflow_jax": "BayesFlow, JAX",
    "bayesflow_tensorflow": "BayesFlow, TensorFlow",
    "sbi": "sbi",
}
#: Tasks in which bayesinn has a time in each row, by which the others are divided in the figure.
RELATIVE = ("step", "short", "sample")
HEADINGS = {
    "step": "Training: step over that of bayesinn (in brackets: ms)",
    "short": "The same in fits of 500 steps, not compiled by bayesinn",
    "first": "First fit of a process beyond its steps, s",
    "sample": "Sampling: time over that of bayesinn (in brackets: s)",
    "accuracy": "Time to accuracy, s (missing: not reached, or not measured)",
}
#: Tasks that are drawn; tables have the others, too.
DRAWN = ("step", "sample", "accuracy")
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)
KEYS = ["task", "problem", "settings", "size", "library", "quantity"]


def aggregate(runs: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return median and range over rounds of each quantity; unreached accuracy is infinite."""
    rows = []
    ladders = {}
    for run in runs:
        case = run["case"]
        result = dict(run["result"])
        shared = {
            "weights": result.pop("weights"),
            "threads": run["threads"],
            "versions": result.pop("versions"),
        }
        key = {name: case[name] for name in ("task", "problem", "settings")} | {
            "library": run["library"]
        }
        if case["task"] == "accuracy":
            result["gap_nats"] = result.pop("nll") - case["exact"]
            ladder = ladders.setdefault((*key.values(), case["seed"]), [])
            ladder.append((result["seconds"], result["gap_nats"], key, shared))
        size = case.get("batch", case.get("budget"))
        rows += [
            {**key, "size": size, "quantity": name, "value": value, **shared}
            for name, value in result.items()
        ]
    for ladder in ladders.values():
        for tolerance in TOLERANCES:
            # The first budget that is enough: what a user who knew it would wait.
            times = [seconds for seconds, gap, *_ in ladder if gap <= tolerance]
            value = times[0] if times else np.inf
            *_, key, shared = ladder[0]
            rows.append(
                {**key, "size": 0, "quantity": f"seconds_to_{tolerance}", "value": value, **shared}
            )
    groups = pd.DataFrame(rows).groupby(KEYS, sort=False)
    table = groups["value"].agg(runs="size", min="min", median="median", max="max")
    return table.join(groups[["weights", "threads", "versions"]].last()).reset_index()


def lines(results: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """The rows of the table: task, what is timed, and its results, one for each library."""
    found = []
    for (task, problem, settings, size, quantity), group in results.groupby(
        KEYS[:-2] + KEYS[-1:], sort=False
    ):
        label = problem.replace("_", " ")
        if (task, quantity) == ("step", "ms_per_step"):
            label += f", batch {size}" + ("" if settings == "equal" else ", own networks")
        elif (task, quantity) == ("first", "ms_per_step"):
            label += f", batch {size}, in a fit of 500 steps"
            task = "short"
        elif quantity == "beyond_steps_s" and (size, settings) == (64, "equal"):
            label += f", fit of {'2,000' if task == 'step' else '500'} steps beyond them"
            task = "first"
        elif (
            task == "sample"
            and quantity.endswith("_s")
            and not quantity.endswith(("_first_s", "import_s"))
        ):
            label += f", {quantity[:-2].replace('x', ' x ')} draws"
        elif task == "accuracy" and quantity.startswith("seconds_to"):
            label += (
                ", stored simulations" if settings == "offline" else ""
            ) + f", to {quantity[11:]} nats"
        else:
            continue
        found.append((task, label, group.set_index("library")))
    return sorted(
        found, key=lambda row: (list(HEADINGS).index(row[0]), row[0] == "accuracy" and row[1])
    )


def all_tables() -> str:
    """Return the tables of everything that was measured."""
    return tables(HERE / "results.csv")


def tables(results_file: Path) -> str:
    """Return a table of speed and one of time to accuracy, a column for each library."""
    if not results_file.exists():
        return ""
    results = pd.read_csv(results_file)
    texts = []
    for part in (results[results["task"].ne("accuracy")], results[results["task"].eq("accuracy")]):
        libraries = [library for library in COLUMNS if library in set(part["library"])]
        head = [
            f"| | {' | '.join(COLUMNS[library] for library in libraries)} |",
            "|---" * (1 + len(libraries)) + "|",
        ]
        rows = [
            f"| {label}, {'ms/step' if task in ('step', 'short') else 's'} | "
            f"{' | '.join(cell(group, library) for library in libraries)} |"
            for task, label, group in lines(part)
        ]
        texts += ["\n".join([*head, *rows])] if rows else []
    versions = results.drop_duplicates("versions")["versions"]
    threads = ", ".join(str(count) for count in sorted(set(results["threads"])))
    return "\n\n".join([*texts, f"Threads: {threads}. Versions: {'; '.join(versions)}."])


def cell(group: pd.DataFrame, library: str) -> str:
    """Median and range of a library, or a dash."""
    if library not in group.index:
        return "—"
    low, middle, high = (short(group.loc[library, name]) for name in ("min", "median", "max"))
    return middle if low == high else f"{middle} ({low} to {high})"


def short(value: float) -> str:
    """A number with three digits that count; infinite is not reached."""
    if np.isinf(value):
        return "not reached"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def draw(results: pd.DataFrame) -> Figure:
    """Draw medians and ranges of all libraries, a panel for each of three tasks; left is better.

    Where bayesinn was measured in each row, times are those of the others over its own.
    """
    from matplotlib.figure import Figure

    from bayesinn.plots.panels import styled

    @styled
    def drawn() -> Figure:
        reached = [row for row in lines(results) if np.isfinite(row[2]["median"]).any()]
        panels = {task: [row[1:] for row in reached if row[0] == task] for task in DRAWN}
        panels = {task: rows for task, rows in panels.items() if rows}
        heights = [len(rows) + 1.2 for rows in panels.values()]
        figure = Figure(figsize=(7.4, 1.0 + 0.27 * sum(heights)), layout="constrained")
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for ax, (task, rows) in zip(axes, panels.items(), strict=True):
            _panel(ax, task, rows)
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=len(names))
        return figure

    return drawn()


def _panel(ax: Axes, task: str, rows: list[tuple[str, pd.DataFrame]]) -> None:
    """Draw the rows of a task: as ratios to bayesinn, or in seconds."""
    from matplotlib.ticker import NullFormatter

    from bayesinn.plots.panels import CURVES, GREY

    relative = task in RELATIVE
    labels = []
    for row, (label, group) in enumerate(rows):
        own = group.loc["bayesinn", "median"] if relative else 1.0
        labels.append(f"{label} ({short(own)})" if relative else label)
        for place, library in enumerate(COLUMNS):
            if library not in group.index or np.isinf(group.loc[library, "median"]):
                continue
            colour, marker, _ = CURVES[place]
            ends = group.loc[library, ["min", "median", "max"]].to_numpy(float) / own
            low, middle, high = np.where(np.isfinite(ends), ends, ends[1])
            y = row + 0.16 * (place - 1.5)
            name = COLUMNS[library] if row == 0 else None
            ax.plot([low, high], [y, y], color=colour, linewidth=1.5)
            ax.plot(middle, y, marker, color=colour, markersize=5, label=name)
    ax.set_yticks(range(len(rows)), labels)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", linewidth=0.5, alpha=0.5)
    if relative or task == "first":
        ax.axvline(1.0 if relative else 0.0, color=GREY, linewidth=1.0)
    if task != "first":
        ax.set_xscale("log")
        low, high = ax.get_xlim()
        ticks = [value for value in TICKS if low <= value <= high]
        ax.set_xticks(ticks, [f"{value:g}{' x' * relative}" for value in ticks])
        ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_title(HEADINGS[task], loc="left")
    ax.set_xlabel("times bayesinn" if relative else "seconds")


def save_figure(results: pd.DataFrame, file: Path) -> None:
    """Draw, and write a file."""
    from bayesinn.plots import save

    save(draw(results), file)


def main() -> None:
    """Write the figure again."""
    save_figure(pd.read_csv(HERE / "results.csv"), HERE / "figure.svg")


if __name__ == "__main__":
    main()
