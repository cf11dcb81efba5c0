"""KDE-MCMC: the likelihood of a series is a kernel density of simulated values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_integer
from bayesinn.reference.discrepancy import Discrepancy, refuse_absent_values
from bayesinn.reference.metropolis import Metropolis
from bayesinn.reference.simulated_posterior import SimulatedPosterior
from bayesinn.simulation.simulations import flatten_draws
from bayesinn.simulation.simulator import Arrays, Simulator

#: A function of observables and context (n, ...) by name: points (n, points, d).
Points = Callable[[Arrays], np.ndarray]

# Distance of the quartiles of a normal distribution, in standard deviations.
_QUARTILES_APART = 1.349
# Of a kernel, in standard deviations of the observed points.
_NARROWEST = 1e-3


def kde_mcmc(
    simulator: Simulator,
    data: Mapping[str, Any],
    *,
    points: Points | None = None,
    replicates: int = 1,
    chains: int = 8,
    steps: int = 1_000,
    seed: int = 0,
) -> SimulatedPosterior:
    """Draw from the posterior of one observation, whose values are taken as independent draws.

    Their density is that of Gaussian kernels around the values of simulated series, with
    Silverman's bandwidth. The order of a series is lost, and the kernels widen the density: the
    answer is exact only for many independent values. Agent-based models of economics are fitted
    like this; Shiono (2021) compares it with amortized inference.

    Parameters
    ----------
    simulator : Simulator with continuous parameters
    data : dict of name to array, one observation and its context
    points : function of observables and context (n, ...) by name, to an array (n, points, d)
        By default the steps along the first axis of all observables: their numbers must be equal,
        and each step is one point.
    replicates : int, number of simulated series for each estimate
    chains : int, number of chains
    steps : int, steps of each chain, after a warm-up of half as many
    seed : int

    References
    ----------
    Grazzini, Richiardi and Tsionas (2017), Bayesian estimation of agent-based models, Journal of
    Economic Dynamics and Control 77; Shiono (2021), the same journal, 125.

    Examples
    --------
    >>> import bayesinn as bi
    >>> found = kde_mcmc(bi.get("linear"), {"y": 2.25}, replicates=50, steps=300, seed=1)
    >>> abs(found.parameters["x1"].mean() - 1.0) < 0.25
    np.True_
    """
    check_integer("Argument 'replicates'", replicates)
    if points is None:
        refuse_absent_values(simulator, "points")
    chosen = points or functools.partial(_steps, tuple(simulator.observable_shapes))
    discrepancy = Discrepancy(
        simulator, data, lambda given: _moments(chosen, given), seed, continuous=True
    )
    least = int(np.ceil(2 / _checked(chosen, discrepancy.observation).shape[1]))
    if replicates < least:
        raise InputError(
            "Argument 'replicates'",
            expected=f"{least} or more, as data sets have one point each",
            got=f"{replicates}",
            do="pass replicates=100: a density needs many points",
        )
    estimate = functools.partial(_estimate, chosen)
    return Metropolis(discrepancy, estimate, replicates).run(chains, steps, seed)


def _steps(names: tuple[str, ...], data: Arrays) -> np.ndarray:
    """Return the steps of all observables side by side; a single number is one step."""
    values = [data[name] for name in names]
    parts = [value[:, None] if value.ndim == 1 else value for value in values]
    parts = [value.reshape(*value.shape[:2], -1) for value in parts]
    lengths = {part.shape[1] for part in parts}
    if len(lengths) > 1:
        raise InputError(
            "Observables",
            expected="equally many steps along the first axis of each",
            got=f"{sorted(lengths)}",
            do="pass points=function that makes an array (n, points, d) of them",
        )
    return np.concatenate(parts, axis=2)


def _checked(points: Points, data: Arrays) -> np.ndarray:
    found = np.asarray(points(data), np.float64)
    if found.ndim != 3:
        raise InputError(
            "Argument 'points'",
            expected="a function that returns an array (n, points, d)",
            got=f"shape {found.shape}",
            do="keep the first axis, then one for points, then one for their numbers",
        )
    return found


def _moments(points: Points, data: Arrays) -> np.ndarray:
    """Return quartiles (n, 3 d) of the points of data sets, by which chains choose their start."""
    found = np.quantile(_checked(points, data), [0.25, 0.5, 0.75], axis=1)
    return np.moveaxis(found, 0, 1).reshape(found.shape[1], -1)


def _estimate(points: Points, data: Arrays, observed: Arrays) -> np.ndarray:
    """Return log densities (chains,) of the observed points, under kernels on simulated points."""
    first = next(iter(data.values()))
    rows = flatten_draws(data)
    made = np.asarray(points(rows), np.float64)
    dimension = made.shape[2]
    made = made.reshape(len(first), -1, dimension)
    count = made.shape[1]
    real = np.asarray(points(observed), np.float64)
    deviation = made.std(axis=1)
    quartiles = np.quantile(made, [0.25, 0.75], axis=1)
    bulk = (quartiles[1] - quartiles[0]) / _QUARTILES_APART
    # Standard deviations of heavy tails tell little about the bulk; quartiles can be equal.
    spread = np.where(bulk > 0.0, np.minimum(deviation, bulk), deviation)
    # A measured number may be whole by chance: simulated ones tell. Of those that failed, NaN is no
    # fraction.
    if not np.any(real % 1.0 > 0.0) and not np.any(made % 1.0 > 0.0):
        # Kernels of one width, whatever the parameters: else, a density of whole numbers would grow
        # as they scatter less.
        spread = np.broadcast_to(real.std(axis=1), spread.shape)
    width = spread * (4.0 / ((dimension + 2.0) * count)) ** (1.0 / (dimension + 4.0))
    # The same for all parameters: kernels of equal points would have an infinite density.
    narrowest = np.maximum(_NARROWEST * real.std(axis=1), 1e-12)
    width = np.maximum(width, narrowest)[:, None]
    centre = np.median(made, axis=1, keepdims=True)
    # Single precision is enough for distances in kernel widths, and twice as fast.
    seen = ((real - centre) / width).astype(np.float32)
    made = ((made - centre) / width).astype(np.float32)
    squares = np.zeros((len(first), seen.shape[1], count), np.float32)
    for axis in range(dimension):
        squares += (seen[:, :, None, axis] - made[:, None, :, axis]) ** 2
    nearest = squares.min(axis=2)
    kernels = np.exp(-0.5 * (squares - nearest[:, :, None]))
    terms = np.log(kernels.mean(axis=2, dtype=np.float64)) - 0.5 * nearest
    return terms.sum(axis=1) - seen.shape[1] * np.log(width[:, 0]).sum(axis=1)
