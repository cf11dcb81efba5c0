"""Experiments on a simulator: the same parameters with other seeds, the same seed with other parameters.

With the same seed every draw sees the same random numbers, so that any difference in the output is the parameters'
doing, however noisy the simulator is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayesinn.core.errors import BayesinnError
from bayesinn.simulation.simulator import Simulator

_FEWEST_ROWS, _MOST_ROWS = 8, 32
_COPIES = 4
# Independent draws that are equal more often than this can't tell shared noise from chance.
_MOST_EQUAL = 0.5
_FEWEST_UNUSUAL = 3

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Noise:
    """Observables, by what is wrong with their randomness.

    Parameters
    ----------
    deterministic : the same for different seeds
    irreproducible : differ though the seed is the same
    shared : in one batch, the same noise for every row
    unaffected : the same whatever the parameters are
    """

    deterministic: tuple[str, ...] = ()
    irreproducible: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    unaffected: tuple[str, ...] = ()


def probe_noise(simulator: Simulator, parameters: Arrays, context: Arrays, seed: int) -> Noise:
    """See how observables depend on seed and parameters.

    Parameters
    ----------
    simulator : Simulator
    parameters, context : dict of name to array (n, *event)
        Draws whose simulations are finite.
    seed : int

    Returns
    -------
    Noise
    """
    rows = probe_rows(len(next(iter(parameters.values()))))
    if rows < _FEWEST_ROWS:
        return Noise()
    theta, given = _rows(parameters, slice(rows)), _rows(context, slice(rows))
    first = simulator.simulate(theta, seed, given)
    again = simulator.simulate(theta, seed, given)
    irreproducible = tuple(name for name in first if not _same(first[name], again[name]).all())
    other = simulator.simulate(theta, seed + 1, given)
    same = {name: _same(first[name], other[name]) for name in first}
    deterministic = tuple(name for name in first if same[name].all() and _varied(first[name]))
    # All parameters of a row stay together, whose support may depend on one another.
    turned = {name: np.roll(value, rows // 2, axis=0) for name, value in theta.items()}
    moved = simulator.simulate(turned, seed, given)
    unaffected = tuple(name for name in first if _same(first[name], moved[name]).all() and _varied(first[name]))
    shared: tuple[str, ...] = ()
    if simulator.in_graph or getattr(simulator.engine, "batched", False):
        shared = tuple(name for name in first if _shares_noise(simulator, theta, given, seed, name, same[name]))
    fixed = (*irreproducible, *unaffected)
    return Noise(tuple(name for name in deterministic if name not in fixed), irreproducible, shared, unaffected)


def responds(
    simulator: Simulator, parameters: Arrays, context: Arrays, name: str, index: tuple[int, ...], seed: int
) -> bool | None:
    """Whether any output changes when one parameter takes values of other draws, the seed being the same.

    Returns
    -------
    bool or None
        None where the simulator can't be asked: it raises for combinations that its prior doesn't draw.
    """
    rows = probe_rows(len(next(iter(parameters.values()))))
    theta, given = _rows(parameters, slice(rows)), _rows(context, slice(rows))
    changed = {key: value.copy() for key, value in theta.items()}
    place: tuple[slice | int, ...] = (slice(None), *index)
    changed[name][place] = parameters[name][rows : 2 * rows][place]
    if rows < _FEWEST_ROWS or _same(changed[name], theta[name]).all():
        return None
    try:
        before, after = (simulator.simulate(values, seed, given) for values in (theta, changed))
    except BayesinnError:
        return None
    return not all(_same(before[key], after[key]).all() for key in before)


def probe_rows(available: int) -> int:
    """Rows of an experiment: few beside the simulations of the report, since some simulators are slow."""
    return min(available // 2, _MOST_ROWS, max(_FEWEST_ROWS, available // 16))


def _shares_noise(simulator: Simulator, theta: Arrays, given: Arrays, seed: int, name: str, same: np.ndarray) -> bool:
    """Whether rows of equal parameters are equal in one batch, though another seed changes them."""
    bases = np.flatnonzero(~same)[:_FEWEST_ROWS]
    if same.mean() > _MOST_EQUAL or len(bases) < 2:
        return False
    order = np.repeat(bases, _COPIES)
    value = simulator.simulate(_rows(theta, order), seed, _rows(given, order))[name]
    groups = value.reshape(len(bases), _COPIES, -1)
    return bool(_same(groups, np.broadcast_to(groups[:, :1], groups.shape)).all())


def _rows(values: Arrays, rows: slice | np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.asarray(value)[rows] for name, value in values.items()}


def _same(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Boolean array (n,): which rows are equal to the bit, NaN included."""
    equal = first == second
    if np.issubdtype(first.dtype, np.floating):
        equal |= np.isnan(first) & np.isnan(second)
    return equal.reshape(len(first), -1).all(axis=1)


def _varied(value: np.ndarray) -> bool:
    """Whether enough rows differ from the most frequent one: a rare event may well stay away twice."""
    counts = np.unique(value.reshape(len(value), -1), axis=0, return_counts=True)[1]
    return len(value) - int(counts.max()) >= min(_FEWEST_UNUSUAL, len(value) // 2)
