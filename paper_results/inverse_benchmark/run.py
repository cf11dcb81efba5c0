"""Inverse kinematics and ballistics: our networks against exact posteriors.

    python paper_results/inverse_benchmark/run.py [--only TEXT ...] [--quick]

Each task with each network is a row of results.csv beside this file, and draws for one observation
in arrays.npz, of which figures.py makes arms and throws; what is there stays. ``--only`` trains the
networks whose name contains one of the texts. ``--quick`` trains one network for a few steps and
writes nothing that stays.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from networks import NETWORKS
from tasks import TASKS, Draws, Task

import bayesinn as bi

SEED = 1
OBSERVATIONS = 100
DRAWS = 1_000
SIMULATIONS = 100_000
SHOWN = 200
BATCH_SIZE = 500
LEARNING_RATE = 3e-3
EXACT = "exact posterior"
AGAIN = "exact posterior, drawn again"
PRIOR = "prior"
REJECTION = "rejection ABC"


def main() -> None:
    """Answer with what is missing, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    quick = arguments.quick
    names = [name for name in NETWORKS if any(text in name for text in arguments.only)]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if quick else Path(__file__).parent
        studies = [Study(task, target, quick) for task in reversed(TASKS)]
        names = [AGAIN, PRIOR, *(["coupling, affine"] if quick else names), REJECTION]
        # Tasks in turn, so that a run that is stopped has some of each.
        for name in names:
            for study in studies[1:] if quick and name in NETWORKS else studies:
                if not study.known(name):
                    study.answer(name)
        print(pd.read_csv(target / "results.csv").to_string(index=False, float_format="%.3g"))


class Study:
    """A task, its exact posteriors, and the files that get a row and draws for each answer."""

    def __init__(self, name: str, folder: Path, quick: bool) -> None:
        self.name = name
        self.task: Task = TASKS[name]
        self.quick = quick
        self.table = folder / "results.csv"
        self.arrays = folder / "arrays.npz"
        self.draws = 100 if quick else DRAWS
        self.observations = self.task.observations(4 if quick else OBSERVATIONS, SEED + 1)

    @cached_property
    def truth(self) -> Draws:
        """Draws from each exact posterior; those of the last observation are kept."""
        truth = self.task.exact(self.observations, self.draws, SEED)
        self.keep(EXACT, truth)
        return truth

    def answer(self, name: str) -> None:
        """Write the row of a network or a reference."""
        if name in NETWORKS:
            self.train(name)
        elif name == AGAIN:
            self.write(name, self.task.exact(self.observations, self.draws, SEED + 1))
        elif name == PRIOR:
            self.write(name, self.task.prior(self.observations, self.draws, SEED + 2))
        else:
            simulations = 2_000 if self.quick else SIMULATIONS
            self.write(name, self.task.rejected(self.observations, self.draws, simulations, SEED))

    def known(self, name: str) -> bool:
        """Return whether a row is there."""
        if not self.table.exists():
            return False
        table = pd.read_csv(self.table)
        return bool(((table["draws from"] == name) & (table["task"] == self.name)).any())

    def train(self, name: str) -> None:
        """Train a network, and write its row and draws."""
        network = NETWORKS[name]
        posterior = network.posterior(self.task.simulator)
        started = time.process_time()
        posterior.fit(
            steps=20 if self.quick else round(self.task.share * network.steps),
            batch_size=BATCH_SIZE,
            seed=SEED,
            optimization=bi.Optimization(learning_rate=LEARNING_RATE),
            progress=False,
        )
        seconds = time.process_time() - started
        data = {self.task.observable: self.observations}
        # The first call compiles.
        posterior.sample(data, draws=self.draws, seed=SEED + 1)
        started = time.process_time()
        draws = dict(posterior.sample(data, draws=self.draws, seed=SEED))
        sampling = time.process_time() - started
        weights = posterior.model.network.trainable_variables
        cost = {
            "weights": sum(math.prod(variable.shape) for variable in weights),
            "steps": posterior.steps_done,
            "core seconds": round(seconds, 1),
            "ms a posterior": 1e3 * sampling / len(self.observations),
        }
        self.write(name, draws, cost)
        self.keep(name, draws)

    def write(self, name: str, draws: Draws, cost: dict[str, float] | None = None) -> None:
        """Add a row to the table."""
        errors = self.task.errors(draws, self.truth, self.observations)
        row = {"draws from": name, "task": self.name, **errors}
        row |= cost or dict.fromkeys(
            ("weights", "steps", "core seconds", "ms a posterior"), math.nan
        )
        table = pd.DataFrame([row])
        print(table.to_string(index=False, float_format="%.3g"), flush=True)
        if self.table.exists():
            table = pd.concat([pd.read_csv(self.table), table])
        table = table.astype({"weights": "Int64", "steps": "Int64"})
        table.sort_values(["task", "posterior error"]).to_csv(
            self.table, index=False, float_format="%.3g"
        )

    def keep(self, name: str, draws: Draws) -> None:
        """Keep draws (parameters, draws) of the last observation, for the figure."""
        last = np.stack([draws[key][-1, :SHOWN] for key in self.task.sds]).astype(np.float32)
        there = dict(np.load(self.arrays)) if self.arrays.exists() else {}
        np.savez_compressed(self.arrays, **there | {f"{self.name}, {name}": last})


if __name__ == "__main__":
    main()
