"""One set of defaults for all problems: held-out densities by problem, simulations and variant.

    python paper_results/sbibm/training/run.py [--problems NAME ...] [--budgets N ...]
                                         [--variants NAME ...] [--seeds N ...]
                                         [--steps N] [--quick] [--table]

A budget is a number of simulations, trained on as arrays, or ``online`` for new ones at each step.
Appends a row to ``results.csv`` beside this file after each training, skips those that are there,
and writes ``table.csv``; ``--table`` does only that. ``make numbers`` puts it into README.md.
``--steps`` changes the length of all trainings, and marks their variants with it. ``--quick``
trains two rows briefly into a temporary folder, to check that it runs. ``sir`` needs the exact
posteriors that sir_exact.py writes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from problems import PROBLEMS, HeldOut, Problem
from scipy.special import logsumexp
from variants import VARIANTS, Choice

import bayesinn as bi
from bayesinn.core.errors import TrainingError
from bayesinn.flows import coupling
from bayesinn.training.train import StepClock

HERE = Path(__file__).parent
BUDGETS = ("1000", "10000", "100000", "online")
KEYS = ["problem", "budget", "variant", "seed"]


def train(
    problem: Problem, choice: Choice, budget: int | None, seed: int, steps: int | None, member: int
) -> tuple[Any, dict]:
    """Train a member of an ensemble, all on the same simulations; return it, and its cost."""
    clock = StepClock(time.process_time)
    started = time.process_time()
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
    seconds = time.process_time() - started
    steps = int(posterior.history["step"].iloc[-1])
    took = {
        "steps": steps,
        "seconds": round(seconds, 1),
        "ms_per_step": 1e3 * clock.seconds_per_step,
    }
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


def study(given: argparse.Namespace, budgets: dict[str, list[str]], file: Path) -> None:
    """Train what is asked for, by problem and budget, and isn't in the file, row by row."""
    done = (
        set(pd.read_csv(file, dtype=str)[KEYS].itertuples(index=False, name=None))
        if file.is_file()
        else set()
    )
    for name, sizes in budgets.items():
        problem = PROBLEMS[name]
        held_out = problem.sample_held_out()
        for budget in sizes:
            for variant in given.variants:
                label = (
                    variant
                    if given.steps is None or given.quick
                    else f"{variant}, {given.steps} steps"
                )
                for seed in given.seeds:
                    if (name, budget, label, str(seed)) in done:
                        continue
                    size = None if budget == "online" else int(budget)
                    choice = VARIANTS[variant](problem)
                    if given.quick:
                        choice = replace(choice, flow=partial(coupling, 2, (16,)))
                    members = [
                        train(problem, choice, size, seed, given.steps, member)
                        for member in range(choice.members)
                    ]
                    took = pd.DataFrame([took for _, took in members])
                    row = {"problem": name, "budget": budget, "variant": label, "seed": seed}
                    row |= score([posterior for posterior, _ in members], held_out)
                    row |= {"steps": took["steps"].sum(), "seconds": took["seconds"].sum()}
                    row |= {
                        "ms_per_step": took["ms_per_step"].mean(),
                        "failed": took["failed"].sum(),
                    }
                    frame = pd.DataFrame([row])
                    frame.to_csv(
                        file, mode="a", header=not file.is_file(), index=False, float_format="%.5g"
                    )
                    print(frame.to_string(index=False, header=False), flush=True)


def summarise(file: Path) -> pd.DataFrame:
    """Write and return table.csv: nats above the exact density, or above the best variant."""
    rows = pd.read_csv(file)
    value = rows["nats_above"]
    best = rows.groupby(["problem", "budget"])["nll"].transform("min")
    rows["value"] = value.where(value.notna(), rows["nll"] - best)
    means = rows.groupby(["budget", "variant", "problem"])["value"].agg(["mean", "sem", "count"])
    means.to_csv(file.with_name("table.csv"), float_format="%.5g")
    return means


def main() -> None:
    """Train, score, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS), metavar="NAME"
    )
    parser.add_argument("--budgets", nargs="+", choices=BUDGETS, default=list(BUDGETS), metavar="N")
    parser.add_argument(
        "--variants", nargs="+", choices=VARIANTS, default=["batch 64"], metavar="NAME"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], metavar="N")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    budgets = dict.fromkeys(given.problems, given.budgets)
    if given.quick:
        budgets = {"linear": ["1000"], "sir": ["online"]}
        given.variants = ["batch 64"]
        given.seeds = [1]
        given.steps = 30
    with tempfile.TemporaryDirectory() as folder:
        file = (Path(folder) if given.quick else HERE) / "results.csv"
        if not given.table:
            study(given, budgets, file)
        print(summarise(file))


if __name__ == "__main__":
    main()
