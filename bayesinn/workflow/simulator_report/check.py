"""What all checks share: the pilot simulations that they look at, and the contract of their results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self

import numpy as np
import pandas as pd

from bayesinn.core.compilation import map_tensors
from bayesinn.core.labels import columns
from bayesinn.simulation.finite import padding
from bayesinn.simulation.simulations import Simulations
from bayesinn.simulation.simulator import Simulator
from bayesinn.workflow.report import Figure

# 2,000 simulations of 10,000 numbers each, 160 MB. Larger observables are checked on their first rows.
_MOST_NUMBERS, _FEWEST_ROWS = 20_000_000, 200
# Single-precision numbers beyond have no fraction.
_NO_FRACTION = 2.0**23


@dataclass(frozen=True)
class Advice:
    """One thing to know before training: the finding, a clause that follows its subject; its meaning; what to do."""

    severity: Literal["problem", "hint"]  #: a problem spoils training or its result; a hint is worth a look
    subject: str
    finding: str
    meaning: str = ""
    do: str = ""

    @property
    def text(self) -> str:
        """Finding, consequence and remedy in one paragraph."""
        return " ".join(filter(None, (f"{self.finding}.", self.meaning, self.do)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """What one check observed, and its section of terminal and HTML report. Subclasses add their numbers."""

    advice: Sequence[Advice] = ()
    title: str = ""  #: without it there is no section
    text: str = ""
    table: pd.DataFrame | None = None  #: its index has names of parameters, context variables or observables
    figures: Callable[[], Mapping[str, Figure]] = dict  #: draws the figures of the section, by file name


@dataclass(frozen=True, eq=False)
class Pilot:
    """Pilot simulations of one simulator, as NumPy arrays."""

    simulator: Simulator
    drawn: Simulations
    seed: int

    def __len__(self) -> int:
        return len(next(iter(self.drawn.parameters.values())))

    def only(self, rows: np.ndarray) -> Self:
        """Return the simulations that are marked in a boolean array (n,)."""
        return replace(self, drawn=Simulations(*map_tensors(lambda value: value[rows], self.drawn[:3]), 0))

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
            observables[name] = array = value[:rows].astype(np.float64)
            array[~np.isfinite(array)] = np.nan
            if name in self.simulator.lengths:
                array[padding(array, self.drawn.context[self.simulator.lengths[name]][:rows])] = np.nan
        return observables

    def whole_numbers(self, name: str) -> bool:
        """Return whether all values of an observable are integers: counts, classes, booleans."""
        array = self.observables[name]
        telling = array[np.abs(array) < _NO_FRACTION]
        integers = self.drawn.observables[name].dtype.kind in "iub"
        return integers or bool(telling.size and np.all(telling == np.round(telling)))


def bounds(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return minimum and maximum along the first axis; infinity and -infinity where all is NaN."""
    return np.nanmin(array, axis=0, initial=np.inf), np.nanmax(array, axis=0, initial=-np.inf)
