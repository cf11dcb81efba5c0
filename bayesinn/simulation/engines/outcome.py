"""What a forward model gave for some rows. Worker processes import this module."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bayesinn.simulation.simulations import Arrays, take


class Failure(NamedTuple):
    """Why a simulation gave no result, and how it was called.

    It is ``costly`` if it took the time limit or a worker, which depends on the machine.
    """

    error: str
    call: str
    costly: bool = False


class Outcome(NamedTuple):
    """Observables (m, ...) of the m rows that gave a result, and the failures of all others.

    ``seconds`` is the time in which they were simulated.
    """

    rows: int
    observables: Arrays
    failed: dict[int, Failure]
    seconds: float = 0.0

    def complete(self, mark: float | None = None) -> Arrays:
        """Return observables (rows, ...); a failed row has those of another row, or a ``mark``.

        With a mark, NaN or infinity, integers become floats. Empty if all rows failed.
        """
        if not self.failed:
            return self.observables
        good = np.setdiff1d(np.arange(self.rows), list(self.failed))
        source = np.zeros(self.rows, int)
        source[good] = np.arange(len(good))
        observables = take(self.observables, source)
        if mark is None:
            return observables
        for name, value in observables.items():
            observables[name] = value.astype(np.result_type(value, np.float32))
            observables[name][list(self.failed)] = mark
        return observables
