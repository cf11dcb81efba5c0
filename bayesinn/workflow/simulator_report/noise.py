"""Experiments on the random numbers: the same parameters with other seeds, the same seed with other parameters.

With the same seed every draw sees the same random numbers, so that any difference in the output is caused by the
parameters, however noisy the simulator is.
"""

from dataclasses import dataclass

import numpy as np

from bayesinn.core.compilation import map_tensors
from bayesinn.workflow.simulator_report.check import Advice, Pilot, Result

_FEWEST_ROWS, _MOST_ROWS = 8, 32
_COPIES = 4
# Independent draws that are equal more often than this can't tell shared noise from chance.
_MOST_EQUAL = 0.5
_FEWEST_UNUSUAL = 3


@dataclass(frozen=True, eq=False)
class Noise(Result):
    """Observables, by what is wrong with their randomness."""

    irreproducible: tuple[str, ...] = ()  #: differ though the seed is the same
    deterministic: tuple[str, ...] = ()  #: are the same for different seeds
    shared: tuple[str, ...] = ()  #: have the same noise in every row of a batch
    unaffected: tuple[str, ...] = ()  #: are the same whatever the parameters are


def check(pilot: Pilot) -> Noise:
    """See how observables depend on seed and parameters, from simulations that are finite."""
    rows, simulator, seed = probe_rows(len(pilot)), pilot.simulator, pilot.seed
    if rows < _FEWEST_ROWS:
        return Noise()
    theta, given = map_tensors(lambda value: value[:rows], pilot.drawn[:2])
    # Whole rows are moved, because the supports of parameters may depend on one another.
    turned = map_tensors(lambda value: np.roll(value, rows // 2, axis=0), theta)
    first = simulator.simulate(theta, seed, given)
    again, other, moved = (
        map_tensors(equal_rows, simulator.simulate(values, number, given), first)
        for values, number in ((theta, seed), (theta, seed + 1), (turned, seed))
    )
    varied = [name for name, value in first.items() if _varied(value)]
    irreproducible = tuple(name for name in first if not again[name].all())
    unaffected = tuple(name for name in varied if moved[name].all())
    same = (name for name in varied if other[name].all())
    deterministic = tuple(name for name in same if name not in irreproducible and name not in unaffected)

    def shares_noise(name: str) -> bool:
        """Whether rows of equal parameters are equal in one batch, though another seed changes them."""
        bases = np.flatnonzero(~other[name])[:_FEWEST_ROWS]
        if other[name].mean() > _MOST_EQUAL or len(bases) < 2:
            return False
        repeated = map_tensors(lambda value: np.repeat(value[bases], _COPIES, axis=0), [theta, given])
        value = simulator.simulate(repeated[0], seed, repeated[1])[name]
        return bool(equal_rows(value, np.repeat(value[::_COPIES], _COPIES, axis=0)).all())

    shared = tuple(name for name in first if simulator.engine.batched and shares_noise(name))
    advice, everything = [], len(unaffected) == len(first)
    for name in irreproducible:
        finding, do = "differs though parameters and seed are the same", "Draw random numbers from the seed alone."
        advice.append(Advice("problem", name, finding, "Results can't be repeated.", do))
    for name in deterministic:
        finding = "is deterministic: the same for the same parameters, whatever the seed"
        meaning = "So the posterior is singular: it fills no volume, its density is infinite, training diverges."
        problem = Advice("problem", name, finding, meaning, "Draw noise from the seed.")
        hint = Advice("hint", name, finding, do="If it should be random, use the seed.")
        advice.append(hint if pilot.whole_numbers(name) else problem)
    for name in shared:
        finding = "is wrong: every simulation of a batch has the same noise"
        meaning, do = "Simulations are not independent.", "Draw noise for each row of the batch."
        advice.append(Advice("problem", name, finding, meaning, do))
    for name in unaffected:
        finding = "is the same for the same seed, whatever the parameters are: it says nothing about them"
        do = "Use them in the function." if everything else "Leave it out unless it is there on purpose."
        advice.append(Advice("problem" if everything else "hint", name, finding, do=do))
    return Noise(irreproducible, deterministic, shared, unaffected, advice=advice)


def probe_rows(available: int) -> int:
    """Return the rows of an experiment: few compared with the simulations of the report, since some are slow."""
    return min(available // 2, _MOST_ROWS, max(_FEWEST_ROWS, available // 16))


def equal_rows(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return a boolean array (n,): which rows are equal to the bit, NaN included."""
    equal = (first == second) | ((first != first) & (second != second))
    return equal.reshape(len(first), -1).all(axis=1)


def _varied(value: np.ndarray) -> bool:
    """Whether enough rows differ from the most frequent one: rare events may be absent from both of two runs."""
    counts = np.unique(value.reshape(len(value), -1), axis=0, return_counts=True)[1]
    return len(value) - int(counts.max()) >= min(_FEWEST_UNUSUAL, len(value) // 2)
