"""BayesFlow and sbi on the sbibm benchmark, with their default networks and training.

    benchmarks/peers/environments.sh bayesflow_jax sbi
    python paper_results/sbibm/peers.py --data WHEEL [--tasks NAME ...] [--budgets N ...]
                                        [--methods NAME ...] [--seeds N ...]

Simulations, observations, references and measures are those of run.py, and rows are appended to
the same ``results.csv``; rows that are there are skipped. As in the benchmark itself, peers learn
unconstrained parameters, and see the data as a vector.

Each training is a process of the peer's own environment, which reads a file of arrays
``parameters`` (n, d), ``data`` (n, k), ``observed`` (observations, k), ``held_out_parameters`` and
``held_out_data``, and the numbers ``draws`` and ``seed``. It writes ``draws``
(observations, draws, d), ``log_prob`` of what is held out, and processor seconds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from run import DRAWS, HELD_OUT, HERE, append, compare, held_out, keys_of, nats
from tasks import OBSERVATIONS, TASKS, Arrays, Case, Package, Task

from bayesinn.spaces.parameters import ParameterSpace

ENVIRONMENTS = HERE.parents[1] / "benchmarks" / "peers" / ".environments"
BUDGETS = ("1000", "10000")
METHODS = {"BayesFlow": ("bayesflow_jax", "bayesflow.py"), "sbi": ("sbi", "sbi.py")}
"""Environment and script of each."""


def vectors(task: Task, data: Arrays) -> np.ndarray:
    """Return all observables as vectors (n, k)."""
    parts = [np.asarray(data[name], np.float32) for name in task.simulator.observable_shapes]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def given_to_peers(
    task: Task, space: ParameterSpace, budget: str, cases: Sequence[Case], seed: int
) -> dict[str, np.ndarray]:
    """Return simulations, observations and what is held out, as arrays."""
    simulations = task.simulator.sample(int(budget), seed=1_000 + seed)
    parameters, data = held_out(task, HELD_OUT)
    observed = [
        vectors(task, {name: value[None] for name, value in case.data.items()}) for case in cases
    ]
    return {
        "parameters": space.to_vector(simulations)[0].numpy(),
        "data": vectors(task, simulations),
        "observed": np.concatenate(observed),
        "held_out_parameters": space.to_vector(parameters)[0].numpy(),
        "held_out_data": vectors(task, data),
        "draws": np.array(DRAWS),
        "seed": np.array(seed),
    }


def answer(method: str, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what a peer answers, from a process in its environment."""
    environment, script = METHODS[method]
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("input.npz", "output.npz")]
        np.savez(files[0], **given)
        python = ENVIRONMENTS / environment / "bin" / "python"
        # PYTHONPATH is that of this project, whose packages are others.
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [python, HERE / "peers" / script, *files]
        # sbi writes logs into the folder that it runs in.
        subprocess.run(command, check=True, env=variables, cwd=folder)
        with np.load(files[1]) as found:
            return dict(found)


def train_and_compare(
    task: Task, method: str, budget: str, cases: Sequence[Case], seed: int
) -> dict[str, float]:
    """Return a row of results."""
    space = ParameterSpace(task.simulator.prior, seed=1)
    found = answer(method, given_to_peers(task, space, budget, cases, seed))
    drawn = [task.columns(space.from_vector(tf.constant(draws))) for draws in found["draws"]]
    parameters, data = held_out(task, HELD_OUT)
    log_det = space.to_vector(parameters)[1].numpy()
    return {
        **compare(drawn, cases, seed),
        "draw_seconds": np.median(found["draw_seconds"]),
        **nats(task, found["log_prob"] + log_det, parameters, data),
        "train_seconds": float(found["train_seconds"]),
    }


def main() -> None:
    """Train what is asked for and isn't in the file, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("SBIBM"), metavar="WHEEL")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), metavar="NAME")
    parser.add_argument("--budgets", nargs="+", choices=BUDGETS, default=BUDGETS, metavar="N")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1], metavar="N")
    given = parser.parse_args()
    if given.data is None:
        parser.error("--data WHEEL, or SBIBM, says where sbibm 1.1.0 is; run.py --download gets it")
    file = HERE / "results.csv"
    done = keys_of(file)
    package = Package(Path(given.data))
    for name in given.tasks:
        cases = [package.case(TASKS[name], number) for number in OBSERVATIONS]
        for budget in given.budgets:
            for method in given.methods:
                for seed in given.seeds:
                    keys = {"task": name, "budget": budget, "method": method, "seed": seed}
                    if tuple(map(str, keys.values())) in done:
                        continue
                    row = train_and_compare(TASKS[name], method, budget, cases, seed)
                    append(keys | row, file)


if __name__ == "__main__":
    main()
