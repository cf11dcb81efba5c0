"""Simulations per second of registered simulators.

    python benchmarks/simulation_speed.py [NAME ...] [--quick]

If none is named, the SIR model as TensorFlow operations and as plain Python in worker processes,
and that of Covid-19; this writes simulation_speed.csv. Medians over rounds that take turns. The
graph is the one that training uses.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

import bayesinn as bi
from bayesinn.core import seeds
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import GraphSource

SEED = 1
BATCHES = (256, 4096)
NAMES = ["sir", "sir_numpy", "covid19"]


def drawer(name: str, batch_size: int) -> Callable[[int], object]:
    """Draws the batch of a step, as training does."""
    simulator = bi.get_simulator(name)
    if not simulator.in_graph:
        engine = simulator.engine
        return lambda step: engine.start(batch_size, seeds.entropy(SEED, "simulations", step))()
    settings = TrainingSettings(1_000, 1_000, batch_size, SEED, 1e-3, 1.0, 0.999, None, "auto")
    batch = tf.function(GraphSource(simulator, settings).batch)
    return lambda step: [value.numpy() for value in batch((tf.constant(step),))[0].values()]


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="small: checks that it runs, the numbers mean little"
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    given = parser.parse_args()
    rounds, batches = (1, BATCHES[:1]) if given.quick else (20, BATCHES)
    names = given.names or NAMES[: 2 if given.quick else None]
    draws = {(name, size): drawer(name, size) for name in names for size in batches}
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in draws}
    for step in range(-1, rounds):
        for key, draw in draws.items():
            started = time.perf_counter()
            draw(step + 1)
            if step >= 0:
                seconds[key].append(time.perf_counter() - started)
    rows = []
    for (name, size), values in seconds.items():
        rows.append(
            {"simulator": name, "batch": size, "simulations_per_second": size / np.median(values)}
        )
        print(rows[-1])
    if not given.quick and names == NAMES:
        pd.DataFrame(rows).to_csv(
            Path(__file__).with_suffix(".csv"), index=False, float_format="%.3g"
        )


if __name__ == "__main__":
    main()
