"""The sbibm benchmark: accuracy of posteriors by task, simulations, method and seed.

    python paper_results/sbibm/run.py --data WHEEL [--tasks NAME ...] [--budgets N ...]
                                      [--methods NAME ...] [--seeds N ...] [--table]
    python paper_results/sbibm/run.py --download FOLDER
    python paper_results/sbibm/run.py --quick

A budget is a number of simulations, trained on as arrays, or ``online`` for new ones at each step.
After each training a row is appended to ``results.csv`` beside this file; rows that are there are
skipped. ``--data``, or the environment variable SBIBM, is the wheel of sbibm 1.1.0 or the folder
that it was unpacked into: observations and 10,000 reference draws for each come from there, and
nothing else of the package is used. ``--download`` fetches the wheel by pip. ``--table`` prints the
means that are there. ``--quick`` trains briefly on a task with an exact posterior, without the
package, into a temporary folder, to check that it runs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from classifier import c2st
from methods import METHODS, AnyMethod, Method, OfSelection, RefinedByLikelihood, SampledByNUTS
from scipy.spatial import distance
from tasks import OBSERVATIONS, TASKS, Arrays, Case, Package, Task

import bayesinn as bi
from bayesinn.diagnostics.two_samples import kernel_matrix

HERE = Path(__file__).resolve().parent
BUDGETS = ("1000", "10000", "100000", "online")
KEYS = ["task", "budget", "method", "seed"]
DRAWS = 10_000
HELD_OUT = 4_000
KERNEL_POINTS = 2_000
Trained = bi.AmortizedPosterior | SampledByNUTS | RefinedByLikelihood | OfSelection
QUICK_SIMULATIONS = 300


def train(
    task: Task, method: AnyMethod, budget: str, seed: int, *, quick: bool
) -> tuple[Trained, dict[str, float]]:
    """Train a posterior; return it, its weight updates and processor seconds."""
    simulator = task.simulator
    data = None
    if budget != "online":
        data = simulator.sample(QUICK_SIMULATIONS if quick else int(budget), seed=1_000 + seed)
    posterior = method.posterior(simulator)
    started = time.process_time()
    options = method.options if isinstance(method, Method) else {}
    posterior.fit(data, steps=20 if quick else None, seed=seed, progress=False, **options)
    seconds = time.process_time() - started
    return posterior, {"steps": posterior.steps_done, "train_seconds": seconds}


def draw(
    task: Task, posterior: Trained, cases: Sequence[Case], seed: int
) -> tuple[list[np.ndarray], float]:
    """Return draws (n, d) for each case, and the median processor seconds of as many."""
    drawn = []
    seconds = []
    for case in cases:
        started = time.process_time()
        draws = posterior.sample(case.data, draws=len(case.reference), seed=seed)
        seconds.append(time.process_time() - started)
        drawn.append(task.columns(draws))
    # The first call also compiles.
    return drawn, float(np.median(seconds))


def compare(drawn: Sequence[np.ndarray], cases: Sequence[Case], seed: int) -> dict[str, float]:
    """Return C2ST and MMD^2 of draws (n, d) for each case against its reference draws."""
    pairs = list(zip(drawn, cases, strict=True))
    accuracies = [c2st(draws, case.reference) for draws, case in pairs]
    distances = [mmd(draws, case.reference, seed) for draws, case in pairs]
    found = {"c2st": np.mean(accuracies), "mmd": np.mean(distances)}
    return found | {f"c2st_{number}": value for number, value in enumerate(accuracies, 1)}


def mmd(draws: np.ndarray, reference: np.ndarray, seed: int) -> float:
    """Return MMD^2 by the benchmark's kernel: as wide as the median distance of reference draws.

    Of 2,000 random points of each set, without bias.
    """
    generator = np.random.default_rng(seed)
    size = min(KERNEL_POINTS, len(draws))
    first = reference[generator.permutation(len(reference))[:size]]
    second = draws[generator.permutation(len(draws))[:size]]
    bandwidth = [float(np.median(distance.pdist(first)))]
    # The sums hold each point with itself, a kernel of one.
    within = kernel_matrix(first, first, bandwidth).sum() - size
    within += kernel_matrix(second, second, bandwidth).sum() - size
    between = kernel_matrix(first, second, bandwidth).mean()
    return float(within / (size * (size - 1)) - 2.0 * between)


def score(task: Task, posterior: Trained, simulations: int) -> dict[str, float]:
    """Return the negative log density of fresh parameters given their data, in nats.

    It is not a number where the posterior has no density.
    """
    if posterior.density is None:
        return dict.fromkeys(("nats", "nats_error", "exact_nats"), np.nan)
    parameters, data = held_out(task, simulations)
    return nats(task, posterior.log_prob(parameters, data), parameters, data)


def held_out(task: Task, simulations: int) -> tuple[Arrays, Arrays]:
    """Return parameters and data that no method is trained on."""
    fresh = task.simulator.sample(simulations, seed=101)
    names = task.simulator.prior.names
    parameters = {name: fresh[name] for name in names}
    data = {name: value for name, value in fresh.items() if name not in names}
    return parameters, data


def nats(task: Task, log_prob: np.ndarray, parameters: Arrays, data: Arrays) -> dict[str, float]:
    """Return the mean of negative log densities (n,), its standard error, and the exact mean."""
    exact = np.nan
    if task.log_posterior is not None:
        exact = -np.mean(task.log_posterior(parameters, data))
    error = log_prob.std() / np.sqrt(len(log_prob))
    return {"nats": -log_prob.mean(), "nats_error": error, "exact_nats": exact}


def exact_cases(task: Task, draws: int) -> list[Case]:
    """Return a simulated observation with draws from its exact posterior."""
    one = task.simulator.sample(1, seed=1)
    data = {name: one[name][0] for name in task.simulator.observable_shapes}
    exact = task.simulator.exact
    if exact is None:
        raise ValueError(f"{task.name} has no exact posterior")
    return [Case(data, task.columns(exact(data, draws, seed=1)))]


def study(given: argparse.Namespace, file: Path) -> None:
    """Train what is asked for and isn't in the file, row by row."""
    done = keys_of(file)
    package = None if given.quick else Package(given.data)
    for name in given.tasks:
        task = TASKS[name]
        if package is None:
            cases = exact_cases(task, draws=200)
        else:
            cases = [package.case(task, number) for number in OBSERVATIONS]
        for budget in given.budgets:
            for method in given.methods:
                for seed in given.seeds:
                    key = (name, budget, method, str(seed))
                    if key in done:
                        continue
                    posterior, cost = train(task, METHODS[method], budget, seed, quick=given.quick)
                    row = dict(zip(KEYS, key, strict=True))
                    drawn, draw_seconds = draw(task, posterior, cases, seed)
                    row |= compare(drawn, cases, seed) | {"draw_seconds": draw_seconds}
                    row |= score(task, posterior, 200 if given.quick else HELD_OUT)
                    append(row | cost, file)


def keys_of(file: Path) -> set[tuple[str, ...]]:
    """Return task, budget, method and seed of the rows of a file."""
    if not file.is_file():
        return set()
    return set(pd.read_csv(file, dtype=str)[KEYS].itertuples(index=False, name=None))


def append(row: dict[str, Any], file: Path) -> None:
    """Append a row to a file with the same columns in any order, and print it."""
    frame = pd.DataFrame([row])
    new = not file.is_file()
    if not new:
        frame = frame.reindex(columns=pd.read_csv(file, nrows=0).columns)
    frame.to_csv(file, mode="a", header=new, index=False, float_format="%.5g")
    print(frame.iloc[0].to_string(), flush=True)


def download(folder: Path) -> None:
    """Fetch the wheel, without what it depends on."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = ["sbibm==1.1.0", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "download", *wanted], check=True)


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("SBIBM"), metavar="WHEEL")
    parser.add_argument("--download", type=Path, metavar="FOLDER")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), metavar="NAME")
    parser.add_argument("--budgets", nargs="+", choices=BUDGETS, default=["1000"], metavar="N")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=["default"], metavar="NAME"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1], metavar="N")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if given.data is None and not (given.quick or given.table or given.download):
        parser.error("--data WHEEL, or SBIBM, says where sbibm 1.1.0 is; --download fetches it")
    if given.quick:
        given.tasks = ["gaussian_mixture"]
        given.budgets = ["1000"]
        given.methods = ["affine, one network"]
        given.seeds = [1]
    if given.data is not None:
        given.data = Path(given.data)
    return given


def main() -> None:
    """Train, compare, write."""
    given = arguments()
    if given.download:
        download(given.download)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = (Path(folder) if given.quick else HERE) / "results.csv"
        if not given.table:
            study(given, file)
        means = pd.read_csv(file).groupby(["budget", "method", "task"])
        print(means[["c2st", "mmd", "nats", "train_seconds"]].mean().to_string())


if __name__ == "__main__":
    main()
