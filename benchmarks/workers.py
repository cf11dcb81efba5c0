"""How a NumPy simulator of a millisecond scales: one worker, two, and two of a local Dask cluster.

    python benchmarks/workers.py [--quick]

Writes workers.csv. 100,000 draws into a simulation bank, one case after another. The overhead is
what a worker spends on each simulation of a function that does nothing. (To subtract the time of a
function that is called by itself says less: two at the same time share caches and memory, and slow
each other down.) The Dask cluster has two worker processes of one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow_probability as tfp
from distributed import Client, LocalCluster

import bayesinn as bi

tfd = tfp.distributions


def walk(parameters: dict[str, float], generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Simulate a random walk of a hundred thousand steps, seen at twenty: about a millisecond."""
    steps = generator.standard_normal(100_000, dtype=np.float32)
    return {"x": parameters["scale"] * np.cumsum(steps)[::5_000]}


def nothing(parameters: dict[str, float], generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Return as many numbers without any work."""
    return {"x": np.full(20, parameters["scale"])}


def simulator(function: Callable[..., dict[str, np.ndarray]], workers: int) -> bi.Simulator:
    """Declare a function with a number of worker processes."""
    prior = {"scale": tfd.LogNormal(0.0, 0.5)}
    return bi.simulator(prior=prior, engine="python", workers=workers, name=function.__name__)(
        function
    )


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few draws: checks that it runs, the numbers mean little",
    )
    quick = parser.parse_args().quick
    n, rounds = (200, 1) if quick else (100_000, 1)
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        cases = {
            "one worker": (1, None),
            "two workers": (2, None),
            "two workers, Dask": (2, client),
        }
        models = {
            (function, workers): simulator(function, workers)
            for function in (walk, nothing)
            for workers in (1, 2)
        }
        seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
        for number in range(-1, rounds):
            for name, (workers, where) in cases.items():
                for function in (walk, nothing):
                    place = f"{folder}/{name} {function.__name__} {number}"
                    started = time.perf_counter()
                    # The first round starts the processes.
                    draws = n if number >= 0 else 64
                    bi.simulate_bank(
                        models[function, workers], draws, place, cluster=where, progress=False
                    )
                    if number >= 0:
                        seconds[name, function.__name__].append(time.perf_counter() - started)
    table = pd.DataFrame(
        {
            "seconds": {name: np.median(seconds[name, "walk"]) for name in cases},
            "faster than one worker": {
                name: np.median(np.divide(seconds["one worker", "walk"], seconds[name, "walk"]))
                for name in cases
            },
            "overhead of a simulation [ms]": {
                name: 1e3 * workers * np.median(seconds[name, "nothing"]) / n
                for name, (workers, _) in cases.items()
            },
        }
    ).rename_axis("workers")
    print(table.to_string(float_format="%.3g"))
    if not quick:
        table.to_csv(Path(__file__).with_suffix(".csv"), float_format="%.3g")


if __name__ == "__main__":
    main()
