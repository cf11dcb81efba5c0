"""Simulations per second of registered simulators.

    python benchmarks/simulation_speed.py [NAME ...] [--quick]

Of the SIR model if none is named: as TensorFlow operations, and as plain Python in worker processes. Medians over
rounds that take turns. The graph is the one that training uses, compiled with XLA.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

import bayesinn as bi
from bayesinn.core import seeds
from bayesinn.simulation.python_engine import PythonEngine
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import GraphSource

SEED = 1
BATCHES = (256, 4096)


def drawer(name: str, batch_size: int) -> Callable[[int], object]:
    """Draws the batch of a step, as training does."""
    simulator = bi.get(name)
    if isinstance(simulator.engine, PythonEngine):
        engine = simulator.engine
        return lambda step: engine.submit(batch_size, seeds.entropy(SEED, "simulations", step)).result()
    settings = TrainingSettings(1_000, 1_000, batch_size, SEED, 1e-3, 1.0, 0.999, None, "auto")
    draw = tf.function(GraphSource(simulator, settings).draw)
    return lambda step: [value.numpy() for value in draw(tf.constant(step))[0].values()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small: checks that it runs, the numbers mean little")
    parser.add_argument("names", nargs="*", default=["sir", "sir_numpy"], metavar="NAME")
    given = parser.parse_args()
    rounds, batches = (1, BATCHES[:1]) if given.quick else (20, BATCHES)
    draws = {(name, size): drawer(name, size) for name in given.names for size in batches}
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in draws}
    for step in range(-1, rounds):
        for key, draw in draws.items():
            started = time.perf_counter()
            draw(step + 1)
            if step >= 0:
                seconds[key].append(time.perf_counter() - started)
    for (name, size), values in seconds.items():
        print(f"{name:<16} batch {size:5d} {size / np.median(values):12,.0f} simulations/s")


if __name__ == "__main__":
    main()
