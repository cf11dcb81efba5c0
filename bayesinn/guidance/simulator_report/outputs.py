"""Outputs that say nothing new: constants, copies of one another, repeated whole simulations."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import shorten

import numpy as np
from scipy import stats

from bayesinn.core import seeds
from bayesinn.core.labels import columns
from bayesinn.guidance.simulator_report.influence import Region, regions, unit
from bayesinn.guidance.simulator_report.pilot import Pilot, Remark, Result, bounds
from bayesinn.posterior.defaults import FEW_NUMBERS
from bayesinn.simulation.order import advice_on_order, has_order

_EQUAL = 0.999999
_MOST_NUMBERS = 5_000_000
# This many simulations, or this share of them, must differ from the usual value before "equal"
# means anything.
_FEWEST_VARYING = 10
_LEAST_VARYING = 0.01
_FEWEST_REPEATS = 5
_REPEATED = 0.01
_MOSTLY_REPEATED = 0.5
# Repeats of whole numbers are natural: only one frequent outcome among many is worth a hint.
_LUMP = 0.2
_DISTINCT = 0.1


@dataclass(frozen=True, eq=False)
class Outputs(Result):
    """Elements that copy (or are linear in) others; share and origin of repeated simulations."""

    copies: tuple[tuple[str, str], ...]
    repeats: float
    regions: tuple[Region, ...]


def check(pilot: Pilot) -> Outputs:
    """Look for constants, copies and repeats among simulations that are finite."""
    pairs = copies(pilot.observables, pilot.seed)
    marked, counts = repeats(pilot.observables)
    rows = len(marked)
    inputs = {name: column[:rows] for name, column in pilot.inputs.items()}
    boxes = regions(inputs, marked, pilot.simulator.labels)
    advice = _advise_on_constants(pilot.observables)
    if pairs:
        advice.append(_advise_on_copies(pairs))
    advice += _advise_on_repeats(pilot, marked, counts, boxes)
    advice += _advise_on_order(pilot)
    return Outputs(pairs, marked.sum() / max(rows, 1), boxes, advice=advice)


def _advise_on_order(pilot: Pilot) -> list[Remark]:
    """Hint at observables whose rows may be exchangeable, where nothing declares an order."""
    declared = {*pilot.simulator.labels.coordinates, *pilot.simulator.lengths}
    advice = []
    for name, array in pilot.observables.items():
        if name in declared or array.ndim not in (2, 3) or array[0].size <= FEW_NUMBERS:
            continue
        parameters = {key: value[: len(array)] for key, value in pilot.drawn.parameters.items()}
        if has_order(array, parameters, seeds.generator(pilot.seed, "order")) is False:
            rows = array.shape[1]
            finding = f"shows no order of its {rows} rows"
            advice.append(Remark("hint", name, finding, "", advice_on_order(name, rows)))
    return advice


def _advise_on_constants(observables: Mapping[str, np.ndarray]) -> list[Remark]:
    advice = []
    for name, array in observables.items():
        low, high = map(np.ravel, bounds(array))
        constant = (low == high) & (np.isfinite(array).sum(axis=0).ravel() > 1)
        if constant.any() and constant.all():
            finding = f"is {low[0]:.3g} in every simulation" if len(low) == 1 else "never varies"
            meaning = "It has no information."
            advice.append(Remark("problem", name, finding, meaning, "Leave it out or fix it."))
        elif constant.any():
            elements = itertools.compress(columns({name: array}, batch_ndim=1), constant)
            names = shorten(", ".join(elements), 60)
            finding = f"{constant.sum()} of {len(low)} elements never vary ({names})"
            meaning = "That is harmless, but they have no information."
            advice.append(Remark("hint", name, finding, meaning))
    return advice


def _advise_on_copies(pairs: tuple[tuple[str, str], ...]) -> Remark:
    names = shorten(", ".join(f"{copy} of {original}" for copy, original in pairs), 60)
    finding = f"elements are copies of others, or linear in them ({len(pairs)}: {names})"
    meaning = "If that is intended, they may be left out."
    do = (
        "Look for noise that is drawn once and broadcast, and for an index that is always the same."
    )
    return Remark("hint", "copies", finding, meaning, do)


def _advise_on_repeats(
    pilot: Pilot, marked: np.ndarray, counts: np.ndarray, boxes: tuple[Region, ...]
) -> list[Remark]:
    rows = len(marked)
    whole_numbers = all(map(pilot.whole_numbers, pilot.observables))
    if whole_numbers:
        share = counts.max(initial=0) / max(rows, 1)
        many = share >= _LUMP and len(counts) >= _DISTINCT * rows
        what = f"{100.0 * share:.1f} % are one and the same"
    else:
        share = marked.sum() / max(rows, 1)
        many = share >= _REPEATED and marked.sum() >= _FEWEST_REPEATS
        what = f"{100.0 * share:.1f} % equal another one in every number"
    if not many:
        return []
    places = "; ".join(box.describe("come again", "repeats") for box in boxes)
    finding = f"of the simulations {what}, though their parameters differ"
    if places:
        finding += f" ({places})"
    severe = not whole_numbers and share >= _MOSTLY_REPEATED
    meaning = "The data say nothing there."
    do = "Look for values that are clipped or stored, or for parameters for which nothing happens."
    return [Remark("problem" if severe else "hint", "repeats", finding, meaning, do)]


def repeats(observables: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mark simulations (n,) whose observables all equal those of another.

    Also return how often each different simulation occurs.
    """
    # Zero is added, so that -0.0 equals 0.0.
    hashes = [
        hash(tuple((value + 0.0).tobytes() for value in row))
        for row in zip(*observables.values(), strict=False)
    ]
    _, inverse, counts = np.unique(
        np.array(hashes, np.int64), return_inverse=True, return_counts=True
    )
    return counts[inverse] > 1, counts


def copies(observables: Mapping[str, np.ndarray], seed: int) -> tuple[tuple[str, str], ...]:
    """Find elements linear in one another: |correlation| above 0.999999, of values and of ranks.

    Ranks, because one extreme simulation would give any two elements a correlation of one. Only
    those that are neighbours along a random direction, which the seed decides, are compared.
    """
    elements = columns(observables, batch_ndim=1)
    rows = min(max(50, _MOST_NUMBERS // len(elements)), *map(len, elements.values()))
    matrix = np.stack([element[:rows] for element in elements.values()], axis=-1)
    counts = [np.unique(column[np.isfinite(column)], return_counts=True)[1] for column in matrix.T]
    needed = max(_FEWEST_VARYING, _LEAST_VARYING * len(matrix))
    varying = np.array([count.sum() - count.max(initial=0) >= needed for count in counts])
    if not varying.any():
        return ()
    matrix = matrix[:, varying]
    names = list(itertools.compress(elements, varying))
    ranks = unit(stats.rankdata(matrix, axis=0, nan_policy="omit"))
    # Scaled, because squares of large values overflow.
    values = unit(matrix / np.nanmax(np.abs(matrix), axis=0))
    order = np.argsort(np.abs(seeds.generator(seed, "copies").normal(size=len(ranks)) @ ranks))
    correlations = [
        np.sum(form[:, order[:-1]] * form[:, order[1:]], axis=0) for form in (ranks, values)
    ]
    linear = np.all(np.abs(correlations) > _EQUAL, axis=0)
    pairs = sorted(
        sorted(pair, reverse=True) for pair in itertools.compress(itertools.pairwise(order), linear)
    )
    return tuple((names[second], names[first]) for second, first in pairs)
