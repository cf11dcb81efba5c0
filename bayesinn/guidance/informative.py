"""Which elements of the data depend on the parameters, as far as simulations tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats
from scipy.sparse.csgraph import connected_components

from bayesinn.simulation.bank import Bank
from bayesinn.simulation.checks import check_simulations
from bayesinn.simulation.derived import Selection, vectors
from bayesinn.simulation.simulator import Arrays, Simulator, check_simulator

# More rows would find dependences that are worth less than a hundredth of a nat for ten elements.
_MOST_ROWS = 20_000
# Chance that anything at all is connected that is not, and that any element is kept by itself
# though it depends on no parameter.
_SURE = 0.01
_LIKELY = 0.1
# Values and distances from the median, of both variables of a pair.
_TESTS = 4
# Of an image or a series that stays whole, and may yet tell what elements are the background of.
_MOST_OF_WHOLE = 200


def informative(simulator: Simulator, data: Mapping[str, Any] | Bank) -> Selection:
    """Find the elements of data vectors that depend on parameters; the others are noise to a fit.

    An element is kept if it depends on a parameter, or on other elements that surely depend on one,
    directly or through more elements. These may be of any observable; of a large one that stays
    whole, every few are looked at. Dependence is a rank correlation, of values or of distances from
    the median. What matters through products of elements alone is not found: compare densities of
    held-out simulations with and without the selection.

    Parameters
    ----------
    simulator : Simulator
    data : dict of name to array (n, ...), or Bank
        Simulations in the form of :meth:`Simulator.sample`, of which the first 20,000 are used.

    Returns
    -------
    Selection
        Its ``simulator`` has the elements that are kept, and ``of(data)`` cuts data likewise.
        Observables with coordinates, several axes, varying length or missing values stay whole, and
        so does a vector that no element of depends on parameters.

    Examples
    --------
    >>> import bayesinn as bi
    >>> distractors = bi.get_simulator("slcp_distractors")
    >>> simulations = distractors.sample(2_000, seed=1)
    >>> chosen = bi.informative(distractors, simulations)
    >>> len(chosen.places["x"]) < 20
    True
    >>> posterior = bi.AmortizedPosterior(
    ...     chosen.simulator, flow=bi.flows.coupling(blocks=1, hidden=(8,)), networks=1
    ... )
    >>> _ = posterior.fit(chosen.of(simulations), steps=5, seed=1, progress=False)
    """
    check_simulator(simulator)
    if isinstance(data, Bank):
        data.check_simulator(simulator)
        # It may be larger than memory.
        data = data.read(slice(0, _MOST_ROWS))
    arrays = check_simulations(simulator, data, "Simulations")
    names = vectors(simulator)
    if not names:
        return Selection(simulator, {})
    parameters = _columns(arrays, simulator.prior.names)
    # Context is known, and may tell what an element means.
    parameters = np.hstack([parameters, _columns(arrays, simulator.context_names)])
    elements = _columns(arrays, names)
    whole = set(simulator.observable_shapes) - set(names) - set(simulator.lengths)
    others = [_some_columns(arrays, name) for name in sorted(whole)]
    kept = depend_on(parameters, np.hstack([elements, *others]))[: elements.shape[1]]
    ends = np.cumsum([simulator.observable_shapes[name][0] for name in names])
    parts = zip(names, np.split(kept, ends[:-1]), strict=True)
    places = {name: np.flatnonzero(part) for name, part in parts if part.any() and not part.all()}
    return Selection(simulator, places)


def depend_on(parameters: np.ndarray, elements: np.ndarray) -> np.ndarray:
    """Return which elements (n, m) depend on parameters (n, d): bools (m,)."""
    own = _features(elements)
    with_parameters = _strongest(own, _features(parameters))
    with_elements = _strongest(own, own)
    m, d = with_parameters.shape
    sure = _SURE / (_TESTS * (m * d + m * (m - 1) / 2))
    surely = np.min(with_parameters, axis=1) < sure
    # Elements that inform about the noise of others, such as a background, depend on no parameter.
    _, groups = connected_components(with_elements < sure, directed=False)
    connected = np.isin(groups, groups[surely])
    likely = np.min(with_parameters, axis=1) < _LIKELY / (_TESTS * m * d)
    return connected | likely


def _columns(arrays: Arrays, names: Any) -> np.ndarray:
    """Return variables side by side, (rows, columns)."""
    parts = [np.asarray(arrays[name])[:_MOST_ROWS] for name in names]
    rows = len(next(iter(arrays.values()))[:_MOST_ROWS])
    return np.hstack([np.empty((rows, 0)), *(part.reshape(rows, -1) for part in parts)])


def _some_columns(arrays: Arrays, name: str) -> np.ndarray:
    """Return a variable as (rows, columns), of which the columns are evenly spaced if many."""
    every = _columns(arrays, [name])
    step = int(np.ceil(every.shape[1] / _MOST_OF_WHOLE))
    return every[:, ::step]


def _features(values: np.ndarray) -> np.ndarray:
    """Return normal scores of ranks and their absolute values, standardised: (2, n, k)."""
    ranks = stats.rankdata(values, axis=0)
    scores = stats.norm.ppf((ranks - 0.5) / len(values))
    both = np.stack([scores, np.abs(scores)])
    both -= both.mean(axis=1, keepdims=True)
    spread = both.std(axis=1, keepdims=True)
    # Constants depend on nothing.
    return np.divide(both, spread, out=np.zeros_like(both), where=spread > 0.0)


def _strongest(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the smallest p-value (k, l) of the correlations of two sets of features."""
    correlations = np.einsum("ani,bnj->abij", one, other, optimize=True) / one.shape[1]
    largest = np.abs(correlations).max(axis=(0, 1))
    return 2.0 * stats.norm.sf(largest * np.sqrt(one.shape[1]))
