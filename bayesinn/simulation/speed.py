"""The speed of a simulator, measured."""

import time

from bayesinn.simulation.simulator import Simulator

_SECONDS = 2.0
_MOST = 10_000


def simulations_per_second(simulator: Simulator, seed: int) -> float:
    """Return how many simulations a second are made in large batches.

    Batches are timed that grow until one takes two seconds; the first one, in which processes
    start, counts only if it takes long.
    """

    def timed(size: int) -> float:
        started = time.perf_counter()
        simulator.draw(size, seed, "speed")
        return time.perf_counter() - started

    size = 4
    seconds = timed(size)
    # Processes start in the first batch.
    if seconds > 10.0 * _SECONDS:
        return size / seconds
    while True:
        seconds = timed(size)
        if seconds > _SECONDS or size >= _MOST:
            return size / seconds
        size *= 4
