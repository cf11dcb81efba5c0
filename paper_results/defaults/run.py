"""One set of defaults for all problems: held-out densities by problem, number of simulations and variant.

    python paper_results/defaults/run.py [--problems NAME ...] [--budgets N ...] [--variants NAME ...] [--seeds N ...]
                                         [--steps N] [--quick] [--table]

A budget is a number of simulations, trained on as arrays, or ``online`` for new ones at each step. Appends a row to
``results.csv`` beside this file after each training, skips those that are there, and writes the table of README.md;
``--table`` does only that. ``--steps`` changes the length of all trainings, and marks their variants with it.
``--quick`` trains two rows briefly into a temporary folder, to check that it runs. ``sir`` needs the exact posteriors
that sir_exact.py writes.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from problems import PROBLEMS, HeldOut, Problem
from scipy.special import logsumexp
from variants import VARIANTS, Choice

import bayesinn as bi
from bayesinn.core.errors import TrainingError
from bayesinn.training.progress import StepClock

HERE = Path(__file__).parent
BUDGETS = ("1000", "10000", "100000", "online")
KEYS = ["problem", "budget", "variant", "seed"]


def train(
    problem: Problem, choice: Choice, budget: int | None, seed: int, steps: int | None, member: int
) -> tuple[Any, dict]:
    """Train one member of an ensemble, all of which see the same simulations; return it, and what it took."""
    clock, started = StepClock(time.process_time), time.process_time()
    fit, optimization = choice.settings(problem, budget, steps)
    posterior = choice.posterior(problem)
    data = None if budget is None else problem.simulator.sample(budget, seed=1_000 + seed)
    failed = False
    try:
        posterior.fit(
            data,
            seed=seed + 100 * member,
            optimization=bi.Optimization(**optimization, callbacks=[clock]),
            progress=False,
            **fit,
        )
    except TrainingError:
        failed = True
    seconds, steps = time.process_time() - started, int(posterior.history["step"].iloc[-1])
    took = {"steps": steps, "seconds": round(seconds, 1), "ms_per_step": 1e3 * clock.seconds_per_step}
    return posterior, {**took, "failed": failed}


def score(posteriors: list[bi.AmortizedPosterior], held_out: HeldOut) -> dict[str, float]:
    """Return negative log densities, of the average of all posteriors and of the exact one."""
    log_probs = [posterior.log_prob(held_out.parameters, held_out.data) for posterior in posteriors]
    log_prob = logsumexp(log_probs, axis=0) - np.log(len(log_probs))
    found = {"nll": -log_prob.mean(), "exact_nll": np.nan, "nats_above": np.nan}
    short = -log_prob.mean(axis=1)
    if held_out.exact is not None:
        short = np.mean(held_out.exact - log_prob, axis=1)
        found |= {"exact_nll": -held_out.exact.mean(), "nats_above": short.mean()}
    return {**found, "standard_error": short.std() / np.sqrt(len(short))}


def study(given: argparse.Namespace, file: Path) -> None:
    """Train what is asked for and isn't in the file, row by row."""
    done = set(pd.read_csv(file, dtype=str)[KEYS].itertuples(index=False, name=None)) if file.is_file() else set()
    for name in given.problems:
        problem = PROBLEMS[name]
        held_out = problem.sample_held_out()
        for budget in given.budgets:
            for variant in given.variants:
                label = variant if given.steps is None or given.quick else f"{variant}, {given.steps} steps"
                for seed in given.seeds:
                    if (name, budget, label, str(seed)) in done:
                        continue
                    size, choice = None if budget == "online" else int(budget), VARIANTS[variant](problem)
                    if given.quick:
                        choice = replace(choice, optimization={"xla": False})
                    members = [
                        train(problem, choice, size, seed, given.steps, member) for member in range(choice.members)
                    ]
                    took = pd.DataFrame([took for _, took in members])
                    row = {"problem": name, "budget": budget, "variant": label, "seed": seed}
                    row |= score([posterior for posterior, _ in members], held_out)
                    row |= {"steps": took["steps"].sum(), "seconds": took["seconds"].sum()}
                    row |= {"ms_per_step": took["ms_per_step"].mean(), "failed": took["failed"].sum()}
                    frame = pd.DataFrame([row])
                    frame.to_csv(file, mode="a", header=not file.is_file(), index=False, float_format="%.5g")
                    print(frame.to_string(index=False, header=False), flush=True)


def table(file: Path) -> str:
    """Write table.csv, and return it as Markdown: nats above the exact density, or else above the best variant."""
    rows = pd.read_csv(file)
    value = rows["nats_above"]
    best = rows.groupby(["problem", "budget"])["nll"].transform("min")
    rows["value"] = value.where(value.notna(), rows["nll"] - best)
    order = [problem for problem in PROBLEMS if problem in set(rows["problem"])]
    means = rows.groupby(["budget", "variant", "problem"])["value"].agg(["mean", "sem", "count"])
    means.to_csv(file.with_name("table.csv"), float_format="%.5g")
    lines = []
    for budget in BUDGETS:
        if budget not in means.index:
            continue
        cells = means.loc[budget].reset_index()
        cells["text"] = [
            f"{mean:.3f}" + (f" ± {error:.3f}" if count > 1 else "")
            for mean, error, count in zip(cells["mean"], cells["sem"], cells["count"], strict=True)
        ]
        wide = cells.pivot_table(index="variant", columns="problem", values="text", aggfunc="first").reindex(
            columns=order
        )
        title = "online" if budget == "online" else f"{int(budget):,} simulations"
        lines += [f"**{title}**", "", "| variant | " + " | ".join(order) + " |", "|" + "---|" * (len(order) + 1)]
        lines += [f"| {name} | " + " | ".join(row.fillna("")) + " |" for name, row in wide.iterrows()]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Train, score, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS), metavar="NAME")
    parser.add_argument("--budgets", nargs="+", choices=BUDGETS, default=list(BUDGETS), metavar="N")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["batch 64"], metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], metavar="N")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.quick:
        given.problems, given.budgets, given.variants = ["linear", "sir"], ["1000", "online"], ["batch 64"]
        given.seeds, given.steps = [1], 30
    with tempfile.TemporaryDirectory() as folder:
        file = (Path(folder) if given.quick else HERE) / "results.csv"
        if not given.table:
            study(given, file)
        if given.quick:
            print(table(file))
            return
    readme = HERE / "README.md"
    text = re.sub(r"(?s)(<!-- table -->\n).*(<!-- end -->)", lambda m: m[1] + table(file) + m[2], readme.read_text())
    readme.write_text(text)


if __name__ == "__main__":
    main()
