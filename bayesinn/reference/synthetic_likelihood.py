"""Synthetic likelihood: summaries are taken as normal, with moments from simulations."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_integer
from bayesinn.reference.discrepancy import Discrepancy, Summaries, side_by_side
from bayesinn.reference.metropolis import Metropolis
from bayesinn.reference.simulated_posterior import SimulatedPosterior
from bayesinn.simulation.simulations import flatten_draws
from bayesinn.simulation.simulator import Arrays, Simulator


def synthetic_likelihood(
    simulator: Simulator,
    data: Mapping[str, Any],
    *,
    summaries: Summaries | None = None,
    replicates: int = 50,
    chains: int = 8,
    steps: int = 1_000,
    seed: int = 0,
) -> SimulatedPosterior:
    """Draw from the posterior of one observation as if its summaries were normal.

    At each step, mean and covariance of the summaries come from ``replicates`` simulations. The
    estimate of the normal density is unbiased: for normal summaries, draws are from the exact
    posterior given these, whatever the number of replicates.

    Parameters
    ----------
    simulator : Simulator with continuous parameters
    data : dict of name to array, one observation and its context
    summaries : function of observables and context (n, ...) by name, to an array (n, k)
        By default all observables side by side.
    replicates : int, number of simulations for each estimate, more than k + 3
    chains : int, number of chains
    steps : int, steps of each chain, after a warm-up of half as many
    seed : int

    References
    ----------
    Wood (2010), Statistical inference for noisy nonlinear ecological dynamic systems, Nature 466;
    Price, Drovandi, Lee and Nott (2018), Bayesian synthetic likelihood, JCGS 27.

    Examples
    --------
    >>> import bayesinn as bi
    >>> found = synthetic_likelihood(bi.get("linear"), {"y": 2.25}, steps=300, seed=1)
    >>> abs(found.parameters["x1"].mean() - 1.0) < 0.2
    np.True_
    """
    check_integer("Argument 'replicates'", replicates)
    discrepancy = Discrepancy(simulator, data, summaries, seed, continuous=True)
    size = len(discrepancy.observed)
    if replicates <= size + 3:
        raise InputError(
            "Argument 'replicates'",
            expected=f"more than {size + 3}, as there are {size} summaries",
            got=f"{replicates}",
            do="raise it, or pass summaries=function that returns fewer numbers",
        )
    estimate = functools.partial(_estimate, summaries or side_by_side(simulator))
    return Metropolis(discrepancy, estimate, replicates).run(chains, steps, seed)


def _estimate(summaries: Summaries, data: Arrays, observed: Arrays) -> np.ndarray:
    """Return unbiased estimates (chains,) of normal densities, up to a constant, as logs."""
    first = next(iter(data.values()))
    count = first.shape[0]
    replicates = first.shape[1]
    rows = flatten_draws(data)
    values = np.asarray(summaries(rows), np.float64).reshape(count, replicates, -1)
    size = values.shape[2]
    mean = values.mean(axis=1)
    offset = values - mean[:, None]
    scatter = np.einsum("crk,crl->ckl", offset, offset)
    usable = np.isfinite(scatter).all(axis=(1, 2))
    scatter = np.where(usable[:, None, None], scatter, np.eye(size))
    sign, log_det = np.linalg.slogdet(scatter)
    usable &= sign > 0.0
    scatter = np.where(usable[:, None, None], scatter, np.eye(size))
    distance = np.asarray(summaries(observed), np.float64) - mean
    solved = np.linalg.solve(scatter, distance[..., None])[..., 0]
    share = np.sum(distance * solved, axis=1) / (1.0 - 1.0 / replicates)
    usable &= share < 1.0
    share = np.where(usable, share, 0.0)
    # Ghurye and Olkin's estimate, as in Price et al. (2018), equation 7.
    found = -0.5 * log_det + 0.5 * (replicates - size - 3) * np.log1p(-share)
    return np.where(usable, found, -np.inf)
