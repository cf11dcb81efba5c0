"""Simulations per second: the SIR model as TensorFlow operations, and as plain Python in worker processes.

    python benchmarks/simulation_speed.py [--quick]

Medians over rounds that take turns. The graph is the one that training uses, compiled with XLA.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

import bayesinn as bi
from bayesinn import seeds
from bayesinn.simulation.python_engine import PythonEngine
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import GraphSource

SEED = 1
BATCHES = (256, 4096)


def in_graph(batch_size: int) -> Callable[[int], object]:
    """Draw batches as the training step does."""
    settings = TrainingSettings(1_000, 1_000, batch_size, SEED, 1e-3, 1.0, 0.999, None, "auto")
    source = GraphSource(bi.get("sir"), settings)
    draw = tf.function(source.batch)
    return lambda step: draw((tf.constant(step),))[0]["cases"].numpy()


def in_workers(batch_size: int) -> Callable[[int], object]:
    """Draw batches through worker processes."""
    engine = bi.get("sir_numpy").engine
    assert isinstance(engine, PythonEngine)
    return lambda step: engine.draw(batch_size, seeds.entropy(SEED, "simulations", step))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rounds: checks that it runs, the numbers are rough")
    rounds = 3 if parser.parse_args().quick else 20
    draws = {("in the graph", size): in_graph(size) for size in BATCHES}
    draws |= {("in workers", size): in_workers(size) for size in BATCHES}
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in draws}
    for step in range(-1, rounds):
        for key, draw in draws.items():
            started = time.perf_counter()
            draw(step + 1)
            if step >= 0:
                seconds[key].append(time.perf_counter() - started)
    for (where, size), values in seconds.items():
        print(f"sir {where:<14} batch {size:5d} {size / np.median(values):12,.0f} simulations/s")


if __name__ == "__main__":
    main()
