"""How a NumPy simulator of a millisecond scales: one worker process, two, and two workers of a local Dask cluster.

    python benchmarks/workers.py [--quick]

Writes workers.csv. 100,000 draws into a simulation bank, in rounds that take turns: seconds, and milliseconds of each
simulation beyond those of the function itself, which is called without workers before and after each round. The Dask
cluster has two worker processes of one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow_probability as tfp
from distributed import Client, LocalCluster

import bayesinn as bi

tfd = tfp.distributions
CALLS = 500


def walk(parameters: dict[str, float], generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Simulate a random walk of a hundred thousand steps, seen at twenty of them: about a millisecond."""
    steps = generator.standard_normal(100_000, dtype=np.float32)
    return {"x": parameters["scale"] * np.cumsum(steps)[::5_000]}


def simulator(workers: int) -> bi.Simulator:
    """Declare the walk with a number of worker processes."""
    prior = {"scale": tfd.LogNormal(0.0, 0.5)}
    return bi.simulator(prior=prior, engine="python", workers=workers, name="walk")(walk)


def alone() -> float:
    """Return the seconds of one call of the function."""
    generator, started = np.random.default_rng(1), time.perf_counter()
    for _ in range(CALLS):
        walk({"scale": 1.0}, generator)
    return (time.perf_counter() - started) / CALLS


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few draws: checks that it runs, the numbers mean little")
    quick = parser.parse_args().quick
    n, rounds = (200, 1) if quick else (100_000, 2)
    one, two = simulator(1), simulator(2)
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with tempfile.TemporaryDirectory() as folder, cluster, Client(cluster, set_as_default=False) as client:
        cases = {
            "one worker": (one, None, 1),
            "two workers": (two, None, 2),
            "two workers, Dask": (two, client, 2),
        }
        seconds: dict[str, list[float]] = {name: [] for name in cases}
        overheads: dict[str, list[float]] = {name: [] for name in cases}
        for model, where, workers in cases.values():
            # Starts the processes.
            bi.simulate(model, 64, f"{folder}/start {workers} {where is None}", cluster=where, progress=False)
        for number in range(rounds):
            for name, (model, where, workers) in cases.items():
                cost, started = alone(), time.perf_counter()
                bi.simulate(model, n, f"{folder}/{name} {number}", cluster=where, progress=False)
                taken = time.perf_counter() - started
                cost = 0.5 * (cost + alone())
                seconds[name].append(taken)
                overheads[name].append(1e3 * (taken * workers / n - cost))
    table = pd.DataFrame(
        {
            "seconds": {name: np.median(values) for name, values in seconds.items()},
            "faster than one worker": {
                name: np.median(np.divide(seconds["one worker"], values)) for name, values in seconds.items()
            },
            "overhead of a simulation [ms]": {name: np.median(values) for name, values in overheads.items()},
        }
    ).rename_axis("workers")
    print(table.to_string(float_format="%.3g"))
    if not quick:
        table.to_csv(Path(__file__).with_suffix(".csv"), float_format="%.3g")


if __name__ == "__main__":
    main()
