"""What all checks share: pilot simulations, with failed ones and timed; the results' contract."""

import copy
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd

from bayesinn.core import seeds
from bayesinn.core.compilation import map_tensors
from bayesinn.core.labels import columns
from bayesinn.core.masks import padding
from bayesinn.core.progress import Progress, duration
from bayesinn.diagnosis.report import Figure
from bayesinn.guidance.simulator_report.remarks import Remark, remark
from bayesinn.simulation.simulations import Simulations, count_rows
from bayesinn.simulation.simulator import Simulator

#: Numbers of a parameter that have a row each in a table, and rows of a comparison.
MOST_ROWS = 32
# 2,000 simulations of 10,000 numbers each, 160 MB. Larger observables are checked on their first
# rows.
_MOST_NUMBERS = 20_000_000
_FEWEST_ROWS = 200
# Single-precision numbers beyond have no fraction.
_NO_FRACTION = 2.0**23
# Training steps that costs are stated for: the default of ``fit``.
_TRAINING_STEPS = 5_000
_SLOW_HOURS = 0.5
# Minutes of simulating in workers from which on it takes longer than the network does.
_LONG_MINUTES = 2.0
_SECONDS_BEFORE_PROGRESS = 3.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """What one check observed, and its section of terminal and HTML report.

    Subclasses add their numbers.
    """

    advice: Sequence[Remark] = ()
    title: str = ""  #: without it there is no section
    text: str = ""
    #: its index has names of parameters, context variables or observables
    table: pd.DataFrame | None = None
    #: draws the figures of the section, by file name
    figures: Callable[[], Mapping[str, Figure]] = dict


@dataclass(frozen=True, eq=False)
class Speed(Result):
    """Finite simulations a second, median over the timed batches, and the batches' size."""

    per_second: float
    batch_size: int


@dataclass(frozen=True, eq=False)
class Pilot:
    """Pilot simulations of one simulator, as NumPy arrays.

    ``raw`` is the simulator without its policy: it leaves failed simulations in place, as NaN.
    """

    simulator: Simulator
    drawn: Simulations
    seed: int
    raw: Simulator

    def __len__(self) -> int:
        return count_rows(self.drawn.parameters)

    def only(self, rows: np.ndarray) -> Self:
        """Return the simulations that are marked in a boolean array (n,)."""
        parameters, context, observables = map_tensors(lambda value: value[rows], self.drawn[:3])
        return replace(self, drawn=Simulations(parameters, context, observables, 0))

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        """Parameters and context, one array (n,) a column."""
        return columns({**self.drawn.parameters, **self.drawn.context}, batch_ndim=1)

    @cached_property
    def observables(self) -> dict[str, np.ndarray]:
        """Observables (n, *event) as floats, NaN for padding and for values that are not finite."""
        observables = {}
        for name, value in self.drawn.observables.items():
            rows = max(_FEWEST_ROWS, _MOST_NUMBERS // max(int(np.prod(value.shape[1:])), 1))
            array = value[:rows].astype(np.float64)
            array[~np.isfinite(array)] = np.nan
            if name in self.simulator.lengths:
                counts = self.drawn.context[self.simulator.lengths[name]][:rows]
                array[padding(array, counts)] = np.nan
            observables[name] = array
        return observables

    def whole_numbers(self, name: str) -> bool:
        """Return whether all values of an observable are integers: counts, classes, booleans."""
        kind = self.drawn.observables[name].dtype.kind
        array = self.observables[name]
        telling = array[np.abs(array) < _NO_FRACTION]
        return kind in "iub" or bool(telling.size and np.all(telling == np.round(telling)))


def draw(simulator: Simulator, n: int, seed: int, batch_size: int) -> tuple[Pilot, Speed]:
    """Draw n simulations, 21 or more, failed ones included, and measure the speed."""
    # The simulator's policy would hide failures by drawing them again, so an engine without policy
    # draws. It does so without XLA, which compiles some simulators for 20 s.
    simulator.check_count(n)
    raw = copy.copy(simulator)
    engine = simulator.engine.without_policy()
    raw.engine = engine
    most = batch_size if engine.batched else 64
    # Few rows first: they trace the graph or start the workers, and give an early estimate. Sizes
    # that adapted to the speed would make the simulations depend on it.
    ends = [0, 4, 20, *range(20 + most, n, most), n]
    generator = seeds.generator(seed, "pilot")
    parts = []
    seconds = []
    with Progress("simulating", n, delay=_SECONDS_BEFORE_PROGRESS) as progress:
        for start, end in itertools.pairwise(ends):
            started = time.perf_counter()
            parts.append(raw.draw(end - start, int(generator.integers(2**31)), "pilot"))
            seconds.append(time.perf_counter() - started)
            progress.update(end)
    parameters, context, observables = map_tensors(
        lambda *values: np.concatenate(values), *(part[:3] for part in parts)
    )
    failed = sum(part.failed for part in parts)
    rows = np.diff(ends)
    rate = _rate(raw, rows, np.array(seconds), seed)
    # A failed simulation that is drawn again costs its time.
    kept = max(1.0 - failed / n, 1e-9) if simulator.on_nonfinite == "redraw" else 1.0
    speed = describe(kept * rate, int(rows.max()), seconds[0], engine.workers, batch_size)
    simulations = Simulations(parameters, context, observables, failed)
    return Pilot(simulator, simulations, seed, raw), speed


def _rate(raw: Simulator, rows: np.ndarray, seconds: np.ndarray, seed: int) -> float:
    """Return simulations a second, from batches of some rows and the seconds that each took."""
    # The first batch of a size traces the graph, and says nothing about the speed.
    timed = (rows > 0.5 * rows.max()) & np.array(
        [not raw.engine.in_graph or size in rows[:place] for place, size in enumerate(rows)]
    )
    if timed.any():
        return float(np.median((rows / seconds)[timed]))
    started = time.perf_counter()
    raw.draw(int(rows.max()), seed, "pilot")
    return float(rows.max() / (time.perf_counter() - started))


def describe(rate: float, size: int, first: float, workers: int, batch_size: int) -> Speed:
    """Return the speed in words, and its meaning for training."""
    seconds = _TRAINING_STEPS * batch_size / rate
    where = (
        f"in {workers} worker process{'es' * (workers > 1)}" if workers else "in the plain graph"
    )
    text = (
        f"{f'{rate:,.0f}' if rate >= 100.0 else f'{rate:.3g}'} simulations/s in batches of {size} "
        f"({where}; first call {first:.2g} s). {_TRAINING_STEPS:,} training steps of {batch_size} "
        f"take {duration(seconds)} of simulation."
    )
    advice = []
    if workers and seconds > 60.0 * _LONG_MINUTES:
        advice.append(remark("passes", "speed", steps=_TRAINING_STEPS, time=duration(seconds)))
    if seconds > 3600.0 * _SLOW_HOURS:
        facts = {"steps": _TRAINING_STEPS, "batch_size": batch_size, "hours": seconds / 3600.0}
        advice.append(remark("slow workers" if workers else "slow", "speed", **facts))
    return Speed(rate, size, advice=advice, title="Speed", text=text)


def bounds(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return minimum and maximum along the first axis; infinity and -infinity where all is NaN."""
    return np.nanmin(array, axis=0, initial=np.inf), np.nanmax(array, axis=0, initial=-np.inf)
