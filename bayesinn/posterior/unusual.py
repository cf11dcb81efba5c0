"""Why an observation is unlike the simulations: whether an observable is in another unit."""

from collections.abc import Mapping
from itertools import compress
from typing import Any

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.posterior.posterior import Posterior
from bayesinn.posterior.typicality import FLAG_LEVEL
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import outside_support

#: Factors between units, in the order in which they are tried: powers of ten, then units of time.
FACTORS = (10.0, 100.0, 1e3, 1e4, 1e6, 1e9, 2.0, 7.0, 24.0, 60.0, 365.0, 3_600.0, 86_400.0)
#: Smallest p-value with which an observation counts as typical.
_TYPICAL = 0.05
# Factors that may be taken for each other, where data scatter.
_ALIKE = 4.0


def explain_unusual(posterior: Posterior, data: Mapping[str, Any]) -> list[str]:
    """Find the factor that would make an observation typical, for each that is out of distribution.

    Each observable, and all together, are multiplied and divided by factors between common units.
    So is context with a declared unit, alone and with the observables of this unit.

    Returns
    -------
    list of text, one for each observation; empty if the observation is typical
        A text also says if no factor explains the observation.

    Examples
    --------
    >>> import bayesinn as bi
    >>> linear = bi.get_simulator("linear")
    >>> posterior = bi.AmortizedPosterior(linear, flow=bi.flows.coupling(blocks=1, hidden=(8,)))
    >>> _ = posterior.fit(steps=20, batch_size=64, seed=1, progress=False)
    >>> explain_unusual(posterior, {"y": 1.5e6})[0].partition(" (")[0]
    "'y' divided by 1,000,000 would be typical"
    """
    observations = posterior.check_data(data)
    given = posterior.given(observations.arrays).typicality
    if given is None:
        raise InputError(
            "Unusual data",
            expected="a posterior that knows what its simulations were like",
            got=repr(posterior),
            do="look at the data yourself: plot them beside bi.plots.prior_predictive",
        )
    texts = [""] * observations.count
    for row in np.flatnonzero(np.asarray(given.p_value) < FLAG_LEVEL):
        texts[row] = explain_one(posterior, observations.row(row))
    return texts


def explain_one(posterior: Posterior, one: Mapping[str, np.ndarray]) -> str:
    """Say which factor would make a checked observation (...) typical that is not."""
    tried = _changes(_list_units(posterior.simulator), one)
    changed = {
        name: np.stack([value * factor if name in names else value for names, factor in tried])
        for name, value in one.items()
    }
    possible = _find_possible(posterior.simulator, tried, changed)
    tried = list(compress(tried, possible))
    changed = {name: values[possible] for name, values in changed.items()}
    typical = posterior.given(changed).typicality
    assert typical is not None
    p_values = np.asarray(typical.p_value)
    # Not the largest p-value: a factor of a million makes zeros of all data, which may be typical.
    first = int(np.argmax(p_values >= _TYPICAL))
    if p_values[first] < _TYPICAL:
        return "no usual factor between units makes it typical"
    names, factor = tried[first]
    # Of factors that differ little, such as 100 and 60, the one that fits best.
    alike = [
        number
        for number, (others, other) in enumerate(tried)
        if others == names and max(other / factor, factor / other) <= _ALIKE
    ]
    best = max(alike, key=lambda number: p_values[number])
    factor = tried[best][1]
    what = " and ".join(map(repr, names))
    change = f"multiplied by {factor:,.0f}" if factor > 1.0 else f"divided by {1 / factor:,.0f}"
    unit = posterior.simulator.labels.unit(names[0]) if len(names) == 1 else ""
    told = f", which is declared as {unit}" if unit else ""
    return (
        f"{what} {change} would be typical (p = {p_values[best]:.2g}): look at "
        f"{'its unit' if len(names) == 1 else 'their units'}{told}"
    )


def _list_units(simulator: Simulator) -> list[list[str]]:
    """Return sets of names that may be in another unit, in the order in which they are tried."""
    observables = list(simulator.observable_shapes)
    sets = [[name] for name in observables]
    if len(observables) > 1:
        sets.append(observables)
    for name in simulator.context_names:
        if name in simulator.lengths.values():
            # A number of steps has no other unit.
            continue
        unit = simulator.labels.unit(name)
        if unit:
            sets.append([name])
            alike = [other for other in observables if simulator.labels.unit(other) == unit]
            if alike:
                sets.append([*alike, name])
    return sets


def _find_possible(
    simulator: Simulator,
    tried: list[tuple[list[str], float]],
    changed: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Return which changes (n,) leave context inside its support: posteriors refuse others."""
    inside = np.ones(len(tried), bool)
    context = simulator.context
    if context is None:
        return inside
    for broken, _ in outside_support(context, changed).values():
        inside &= ~broken
    untouched = [not set(names) & set(context.names) for names, _ in tried]
    return inside | np.array(untouched)


def _changes(sets: list[list[str]], one: Mapping[str, np.ndarray]) -> list[tuple[list[str], float]]:
    """Return sets of names, each with a factor, in the order in which they are tried.

    Factors that lead out of single precision are left out.
    """
    changes = []
    for ratio in FACTORS:
        for names in sets:
            for factor in (1.0 / ratio, ratio):
                if all(_fits(one[name] * factor) for name in names):
                    changes.append((names, factor))
    return changes


def _fits(values: np.ndarray) -> bool:
    """Return whether values, or NaN for missing ones, are finite in single precision."""
    return not np.nanmax(np.abs(values), initial=0.0) > np.finfo(np.float32).max
