"""Draw the pilot simulations, failed ones included, and time them."""

import copy
import itertools
import time
from dataclasses import dataclass

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.compilation import map_tensors
from bayesinn.core.progress import Progress, duration
from bayesinn.simulation.simulations import Simulations
from bayesinn.simulation.simulator import Simulator
from bayesinn.workflow.simulator_report.check import Advice, Pilot, Result

# Training steps that costs are stated for: the default of ``fit``.
_TRAINING_STEPS = 5_000
_SLOW_HOURS = 0.5
_SECONDS_BEFORE_PROGRESS = 3.0


@dataclass(frozen=True, eq=False)
class Speed(Result):
    """Finite simulations a second, median over the batches that were timed, and the size of those."""

    per_second: float
    batch_size: int


def draw(simulator: Simulator, n: int, seed: int, batch_size: int) -> tuple[Pilot, Speed]:
    """Draw n simulations, 21 or more, failed ones included, and measure the speed.

    The simulator's policy would hide failures by drawing them again, so an engine without policy draws. It does so
    without XLA, which compiles some simulators for 20 s.
    """
    raw, engine = copy.copy(simulator), simulator.engine.without_policy()
    raw.engine, most = engine, batch_size if engine.batched else 64
    # Few rows first: they trace the graph or start the workers, and give an early estimate. Sizes that adapted to the
    # speed would make the simulations depend on it.
    ends = [0, 4, 20, *range(20 + most, n, most), n]
    generator, parts, seconds = seeds.generator(seed, "pilot"), [], []
    with Progress("simulating", n, delay=_SECONDS_BEFORE_PROGRESS) as progress:
        for start, end in itertools.pairwise(ends):
            started = time.perf_counter()
            parts.append(raw.draw(end - start, int(generator.integers(2**31)), "pilot"))
            seconds.append(time.perf_counter() - started)
            progress.update(end)
    arrays = map_tensors(lambda *values: np.concatenate(values), *(part[:3] for part in parts))
    simulations = Simulations(*arrays, sum(part.failed for part in parts))
    rows = np.diff(ends)
    rate = float(np.median((rows / seconds)[rows > 0.5 * rows.max()]))
    # A failed simulation that is drawn again costs its time.
    kept = max(1.0 - simulations.failed / n, 1e-9) if simulator.on_nonfinite == "redraw" else 1.0
    speed = describe(kept * rate, int(rows.max()), seconds[0], engine.workers, batch_size)
    return Pilot(simulator, simulations, seed), speed


def describe(rate: float, size: int, first: float, workers: int, batch_size: int) -> Speed:
    """Return the speed in words, and its meaning for training."""
    seconds, steps = _TRAINING_STEPS * batch_size / rate, f"{_TRAINING_STEPS:,}"
    where = f"in {workers} worker process{'es' * (workers > 1)}" if workers else "in the plain graph"
    text = (
        f"{f'{rate:,.0f}' if rate >= 100.0 else f'{rate:.3g}'} simulations/s in batches of {size} ({where}; first call "
        f"{first:.2g} s). {steps} training steps of {batch_size} take {duration(seconds)} of simulation."
    )
    advice = []
    if seconds > 3600.0 * _SLOW_HOURS:
        finding = f"simulating for {steps} steps of {batch_size} takes {seconds / 3600.0:,.1f} h"
        way = "TensorFlow operations, batched=True or more cores" if workers else "larger batches or a GPU"
        do = f"Use {way}, or simulate once and train on the arrays."
        advice = [Advice("hint", "speed", finding, do=do)]
    return Speed(rate, size, advice=advice, title="Speed", text=text)
