"""Rejection ABC: keep the prior draws whose simulations are nearest to the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.memory import check_draws
from bayesinn.core.validation import check_integer
from bayesinn.reference.discrepancy import PILOT, Discrepancy, Summaries
from bayesinn.reference.simulated_posterior import SimulatedPosterior
from bayesinn.simulation.simulations import join, take
from bayesinn.simulation.simulator import Simulator

_BATCH = 10_000


def rejection_abc(
    simulator: Simulator,
    data: Mapping[str, Any],
    *,
    draws: int = 1_000,
    simulations: int = 100_000,
    summaries: Summaries | None = None,
    seed: int = 0,
) -> SimulatedPosterior:
    """Keep the prior draws whose simulations are nearest to one observation.

    The distance is Euclidean, between summaries in units of their spread over prior draws. Draws
    are from the posterior given that data lie within the distance that was reached. This is wider
    than the exact posterior: compare with twice the ``simulations``.

    Parameters
    ----------
    simulator : Simulator, with parameters of any kind, also integers
    data : dict of name to array, one observation and its context
    draws : int, number of draws to keep
    simulations : int, number of simulations to run, 2,000 or more
    summaries : function of observables and context (n, ...) by name, to an array (n, k)
        By default all observables side by side. Few informative numbers are best.
    seed : int

    References
    ----------
    Pritchard, Seielstad, Perez-Lezaun and Feldman (1999), Molecular Biology and Evolution 16.

    Examples
    --------
    >>> import bayesinn as bi
    >>> found = rejection_abc(bi.get("linear"), {"y": 2.25}, simulations=50_000, draws=500, seed=1)
    >>> abs(found.parameters["x1"].mean() - 1.0) < 0.15
    np.True_
    """
    check_draws(draws, simulator.prior.event_shapes)
    check_integer("Argument 'simulations'", simulations, max(draws, PILOT))
    discrepancy = Discrepancy(simulator, data, summaries, seed, continuous=False)
    kept = discrepancy.nearest(draws)
    distances = np.sort(discrepancy.distances)[:draws]
    number = 1
    while (left := simulations - discrepancy.simulations) > 0:
        parameters = discrepancy.draw_prior(min(_BATCH, left), number)
        fresh = discrepancy.distance(discrepancy.summarise(parameters))
        both = np.concatenate([distances, fresh])
        rows = np.argsort(both)[:draws]
        kept = take(join([kept, parameters]), rows)
        distances = both[rows]
        number += 1
    discrepancy.check_finite(distances, discrepancy.simulations)
    order = seeds.generator(seed, "rejection abc").permutation(len(distances))
    return SimulatedPosterior(
        take(kept, order),
        discrepancy.simulations,
        discrepancy.seconds,
        float(len(distances)),
        distances[-1:],
        len(distances) / discrepancy.simulations,
    )
