"""Draw the pilot simulations, failed ones included, and time them."""

from __future__ import annotations

import copy
import itertools
import time
from dataclasses import dataclass

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.progress import Progress, duration
from bayesinn.simulation.simulations import Simulations
from bayesinn.simulation.simulator import Simulator
from bayesinn.workflow.simulator_report.check import Advice, Pilot, Result

#: Training steps that costs are stated for: the default of ``fit``.
TRAINING_STEPS = 5_000
_SLOW_HOURS = 0.5
_SECONDS_BEFORE_PROGRESS = 3.0


@dataclass(frozen=True, eq=False)
class Speed(Result):
    """Finite simulations a second, median over the batches that were timed, and the size of those."""

    per_second: float
    batch_size: int


def draw(simulator: Simulator, n: int, seed: int, batch_size: int) -> tuple[Pilot, Speed]:
    """Draw n simulations, failed ones included, and measure the speed.

    The simulator's policy would hide failures by drawing them again, so an engine without policy draws. It does so
    without XLA, which compiles some simulators for 20 s.
    """
    raw, engine = copy.copy(simulator), simulator.engine.without_policy()
    raw.engine, rows = engine, batch_size if engine.batched else 64
    # Few rows first: they trace the graph or start the workers, and give an early estimate. Sizes that adapted to the
    # speed would make the simulations depend on it.
    sizes, generator = itertools.chain((4, 16), itertools.repeat(rows)), seeds.generator(seed, "pilot")
    parts: list[Simulations] = []
    timed: list[tuple[int, float]] = []
    done = 0
    with Progress("simulating", n, delay=_SECONDS_BEFORE_PROGRESS) as progress:
        while done < n:
            rows, started = min(next(sizes), n - done), time.perf_counter()
            parts.append(raw.draw(rows, int(generator.integers(2**31)), "pilot"))
            timed.append((rows, time.perf_counter() - started))
            done += rows
            progress.update(done)
    drawn = [
        {name: np.concatenate([part[kind][name] for part in parts]) for name in parts[0][kind]} for kind in range(3)
    ]
    simulations = Simulations(drawn[0], drawn[1], drawn[2], sum(part.failed for part in parts))
    size = max(rows for rows, _ in timed)
    rate = float(np.median([rows / seconds for rows, seconds in timed if rows > 0.5 * size]))
    # A failed simulation that is drawn again costs its time.
    kept = max(1.0 - simulations.failed / n, 1e-9) if simulator.on_nonfinite == "redraw" else 1.0
    return Pilot(simulator, simulations, seed), describe(kept * rate, size, timed[0][1], engine.workers, batch_size)


def describe(rate: float, size: int, first: float, workers: int, batch_size: int) -> Speed:
    """Return the speed in words, and its meaning for training."""
    seconds, steps = TRAINING_STEPS * batch_size / rate, f"{TRAINING_STEPS:,}"
    where = f"in {workers} worker process{'es' * (workers > 1)}" if workers else "in the plain graph"
    way = "TensorFlow operations, batched=True or more cores" if workers else "larger batches or a GPU"
    finding = f"simulating for {steps} steps of {batch_size} takes {seconds / 3600.0:,.1f} h"
    do = f"Use {way}, or simulate once and train on the arrays."
    text = (
        f"{f'{rate:,.0f}' if rate >= 100.0 else f'{rate:.3g}'} simulations/s in batches of {size} ({where}; first call "
        f"{first:.2g} s). {steps} training steps of {batch_size} take {duration(seconds)} of simulation."
    )
    advice = [Advice("hint", "speed", finding, do=do)] if seconds > 3600.0 * _SLOW_HOURS else []
    return Speed(rate, size, advice=advice, title="Speed", text=text)
