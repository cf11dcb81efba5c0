"""bayesinn beside BayesFlow and sbi: training steps, sampling, start-up, and time to accuracy.

    bash benchmarks/peers/environments.sh && python benchmarks/peers/run.py
    python benchmarks/peers/run.py [--only TASK ...] [--problems NAME ...]
                                   [--libraries NAME ...] [--rounds N]
    python benchmarks/peers/run.py --quick    # bayesinn alone, briefly, into a temporary folder

Each measurement is a fresh process; the libraries take turns. What is finished stays in runs.jsonl:
after an interruption the same command goes on, and a new measurement begins when that file is
removed. results.csv and figure.svg are written after each round; ``make numbers`` then fills the
tables of README.md here and of the project.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import report

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIBRARIES = {
    "bayesinn": "ours.py",
    "bayesflow_jax": "bayesflow_peer.py",
    "bayesflow_tensorflow": "bayesflow_peer.py",
    "sbi": "sbi_peer.py",
}
TASKS = ("step", "first", "sample", "accuracy")
BATCHES = {"toy": (32, 64, 512, 2048), "sir": (32, 64, 512), "series": (32, 64)}
SIZES = [[300, 500], [1, 10_000]]
ACCURACY_PROBLEMS = ("linear", "gaussian", "two_moons")
# What is doubled until the network is accurate or training takes too long: training steps;
# simulations if they are stored. BayesFlow on TensorFlow trains the same networks as on JAX, more
# slowly.
BUDGETS = {
    ("bayesinn", "own"): 125,
    ("bayesflow_jax", "own"): 1_000,
    ("bayesflow_jax", "offline"): 1_000,
    ("sbi", "own"): 1_000,
}
LONGEST = 150.0
# A fit that lasts longer ends after its epoch: slow steps need no more repetitions.
LIMIT = 20.0


def cases(only: list[str], problems: list[str], quick: bool) -> Iterator[dict[str, Any]]:
    """What to measure, apart from accuracy."""
    epochs = {"step": 4 if quick else 20, "first": 5, "sample": 1}
    shared = {"steps_per_epoch": 2 if quick else 100, "limit": LIMIT}
    for task in TASKS[:3]:
        for problem, batches in BATCHES.items():
            if task not in only or problem not in problems:
                continue
            sizes = [
                (batch, "equal") for batch in (batches if task == "step" and not quick else (64,))
            ]
            if task == "step" and not quick:
                sizes.append((64, "own"))
            for batch, settings in sizes:
                case = {
                    "task": task,
                    "problem": problem,
                    "batch": batch,
                    "settings": settings,
                    "epochs": epochs[task],
                }
                yield {**case, **shared, "sizes": [[3, 5], [1, 10]] if quick else SIZES}


class Runner:
    """Runs tasks that are not done yet, and keeps the results."""

    def __init__(self, folder: Path, scratch: str, threads: int) -> None:
        self.file = folder / "runs.jsonl"
        self.scratch = scratch
        self.threads = threads
        self.failed = 0
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.runs: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def run(self, library: str, case: dict[str, Any]) -> dict[str, Any] | None:
        """Return the result of a case, measured now or before; None when its process failed."""
        done = [
            run["result"] for run in self.runs if (run["library"], run["case"]) == (library, case)
        ]
        if done:
            return done[0]
        python = (
            sys.executable
            if library == "bayesinn"
            else HERE / ".environments" / library / "bin" / "python"
        )
        names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        environment = {
            **os.environ,
            **dict.fromkeys(names, str(self.threads)),
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }
        environment["KERAS_BACKEND"] = library.partition("_")[2] or "tensorflow"
        environment["PYTHONPATH"] = str(ROOT) if library == "bayesinn" else ""
        # Each process compiles anew, as that of a model that is trained for the first time.
        environment["BAYESINN_CACHE"] = tempfile.mkdtemp(dir=self.scratch)
        load = os.getloadavg()[0]
        task = {**case, "process_started": time.time()}
        command = [str(python), str(HERE / LIBRARIES[library]), json.dumps(task)]
        # sbi writes logs into the folder that it runs in.
        finished = subprocess.run(
            command, env=environment, cwd=self.scratch, capture_output=True, text=True, check=False
        )
        words = [library, *(str(value) for value in case.values() if not isinstance(value, list))]
        if finished.returncode:
            self.failed += 1
            print("FAILED", *words, finished.stderr[-2_000:], flush=True)
            return None
        result = json.loads(finished.stdout.splitlines()[-1])
        run = {
            "library": library,
            "case": case,
            "threads": self.threads,
            "load": load,
            "result": result,
        }
        self.runs.append(run)
        with self.file.open("a") as file:
            file.write(json.dumps(run) + "\n")
        print(
            *words,
            *(f"{key}={value:.4g}" for key, value in result.items() if key != "versions"),
            flush=True,
        )
        return result


def climb(
    runner: Runner, library: str, settings: str, problem: str, exact: float, seed: int
) -> None:
    """Train with doubled budgets until held-out density matches the exact one, or time is over."""
    budget = BUDGETS[library, settings]
    while True:
        case = {
            "task": "accuracy",
            "problem": problem,
            "settings": settings,
            "budget": budget,
            "exact": exact,
        }
        result = runner.run(library, {**case, "seed": seed, "limit": LIMIT})
        if (
            result is None
            or result["nll"] - exact <= min(report.TOLERANCES)
            or result["seconds"] > LONGEST
        ):
            return
        budget *= 2


def exact_values(problems: list[str]) -> dict[str, float]:
    """Mean negative log density of the exact posterior on the held-out simulations."""
    import numpy as np
    from problems import PROBLEMS
    from scipy.stats import multivariate_normal, norm

    from bayesinn.simulators import gaussian, linear, two_moons

    values = {}
    for name in problems:
        data = PROBLEMS[name].held_out_data()
        theta = data["theta"].astype(float)
        x = data["x"].astype(float)
        if name == "linear":
            mean, covariance = linear.posterior_moments(x[:, 0])
            density = multivariate_normal(cov=covariance).logpdf(theta - mean)
        elif name == "gaussian":
            density = norm(*gaussian.posterior_moments(x[..., 0], data["n"][:, 0])).logpdf(
                theta[:, 0]
            )
        else:
            density = two_moons.log_posterior(
                {"theta1": theta[:, 0], "theta2": theta[:, 1]}, {"x": x}
            )
        values[name] = -float(np.mean(density))
    return values


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--only", nargs="+", default=TASKS, choices=TASKS, metavar="TASK", help=", ".join(TASKS)
    )
    parser.add_argument(
        "--problems", nargs="+", default=[*BATCHES, *ACCURACY_PROBLEMS], metavar="NAME"
    )
    parser.add_argument(
        "--libraries", nargs="+", default=[*LIBRARIES], choices=LIBRARIES, metavar="NAME"
    )
    parser.add_argument("--rounds", type=int, default=3, help="each with a seed of its own")
    parser.add_argument(
        "--threads", type=int, default=2, help="threads and processors of each process"
    )
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if given.quick:
        given.only = ["step", "sample"]
        given.problems = ["toy"]
        given.libraries = ["bayesinn"]
        given.rounds = 1
    accuracy = [
        name for name in ACCURACY_PROBLEMS if name in given.problems and "accuracy" in given.only
    ]
    exact = exact_values(accuracy) if accuracy else {}
    if hasattr(os, "sched_setaffinity"):
        # For the processes to come: JAX has no setting for its threads, but keeps to the processors
        # that it may use.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if given.quick else HERE
        runner = Runner(folder, temporary, given.threads)
        for seed in range(1, given.rounds + 1):
            # Another library begins in each round.
            order = (
                given.libraries[seed % len(given.libraries) :]
                + given.libraries[: seed % len(given.libraries)]
            )
            for case in cases(given.only, given.problems, given.quick):
                for library in order:
                    runner.run(library, {**case, "seed": seed})
            for problem, value in exact.items():
                for library, settings in BUDGETS:
                    if library in order:
                        climb(runner, library, settings, problem, value, seed)
            results = report.aggregate(runner.runs)
            results.to_csv(folder / "results.csv", index=False, float_format="%.4g")
            report.save_figure(results, folder / "figure.svg")
    sys.exit(1 if runner.failed else 0)


if __name__ == "__main__":
    main()
