"""SMC-ABC: populations of draws whose simulations come ever nearer to the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from bayesinn.core import seeds
from bayesinn.core.memory import check_draws
from bayesinn.core.validation import check_integer, check_number
from bayesinn.reference.discrepancy import PILOT, Discrepancy, Summaries
from bayesinn.reference.simulated_posterior import SimulatedPosterior
from bayesinn.reference.tempering import systematic
from bayesinn.simulation.simulations import join
from bayesinn.simulation.simulator import Simulator

# Factor of the kernel's covariance, in covariances of the population: Beaumont et al. (2009).
_KERNEL_SCALE = 2.0
_MOST_ROWS = 20_000
_ROWS_OF_PAIRS = 1_000


class _Population(NamedTuple):
    """Particles (n, d), their normalised weights (n,) and distances (n,)."""

    vectors: np.ndarray
    weights: np.ndarray
    distances: np.ndarray


def smc_abc(
    simulator: Simulator,
    data: Mapping[str, Any],
    *,
    particles: int = 1_000,
    simulations: int = 100_000,
    quantile: float = 0.5,
    least_acceptance: float = 0.01,
    summaries: Summaries | None = None,
    seed: int = 0,
) -> SimulatedPosterior:
    """Draw from the posterior given simulations near one observation, by several populations.

    The next tolerance is a quantile of the distances of the population before. New particles are
    resampled from that population and moved by a normal kernel of twice its covariance, in
    unconstrained parameters. Sampling ends when the simulations are used up, or few are accepted.
    An incomplete last population is discarded.

    Parameters
    ----------
    simulator : Simulator with continuous parameters
    data : dict of name to array, one observation and its context
    particles : int, draws in each population
    simulations : int, largest number of simulations; 2,000 or more
    quantile : float, the quantile of distances that becomes the next tolerance
    least_acceptance : float, share of accepted simulations below which sampling ends
    summaries : function of observables and context (n, ...) by name, to an array (n, k)
        By default all observables side by side. Few informative numbers are best.
    seed : int

    References
    ----------
    Beaumont, Cornuet, Marin and Robert (2009), Adaptive approximate Bayesian computation,
    Biometrika 96; Del Moral, Doucet and Jasra (2012), Statistics and Computing 22.

    Examples
    --------
    >>> import bayesinn as bi
    >>> found = smc_abc(bi.get("linear"), {"y": 2.25}, simulations=20_000, seed=1)
    >>> abs(found.parameters["x1"].mean() - 1.0) < 0.15
    np.True_
    """
    shapes = simulator.prior.event_shapes
    check_draws(particles, shapes, least=10, subject="Argument 'particles'")
    check_number("Argument 'quantile'", quantile, above=0, below=1)
    check_number("Argument 'least_acceptance'", least_acceptance, least=0, below=1)
    first = int(np.ceil(particles / quantile))
    check_integer("Argument 'simulations'", simulations, max(first, PILOT))
    discrepancy = Discrepancy(simulator, data, summaries, seed, continuous=True)
    generator = seeds.generator(seed, "smc abc")
    population, acceptance = _first_population(discrepancy, particles, first)
    tolerances = [float(population.distances[-1])]
    while acceptance > least_acceptance:
        tolerance = float(np.quantile(population.distances, quantile))
        # Distances of discrete data may be equal.
        if tolerance >= tolerances[-1]:
            break
        found, share = _advance(
            discrepancy, population, tolerance, simulations, acceptance, generator
        )
        if found is None:
            break
        acceptance = share
        population = found
        tolerances.append(tolerance)
    rows = generator.permutation(systematic(population.weights, generator.uniform()))
    return SimulatedPosterior(
        discrepancy.parameters_of(population.vectors[rows]),
        discrepancy.simulations,
        discrepancy.seconds,
        float(1.0 / np.sum(population.weights**2)),
        np.array(tolerances),
        acceptance,
    )


def _first_population(
    discrepancy: Discrepancy, particles: int, simulations: int
) -> tuple[_Population, float]:
    """Return the nearest of simulations from the prior, equally weighted, and their share."""
    parameters = discrepancy.parameters
    distances = discrepancy.distances
    if simulations > PILOT:
        more = discrepancy.draw_prior(simulations - PILOT, 1)
        fresh = discrepancy.distance(discrepancy.summarise(more))
        distances = np.concatenate([distances, fresh])
        parameters = join([parameters, more])
    rows = np.argsort(distances)[:particles]
    discrepancy.check_finite(distances[rows], len(distances))
    equal = np.full(particles, 1.0 / particles)
    population = _Population(discrepancy.vectors(parameters)[rows], equal, distances[rows])
    return population, particles / len(distances)


def _advance(
    discrepancy: Discrepancy,
    population: _Population,
    tolerance: float,
    most: int,
    acceptance: float,
    generator: np.random.Generator,
) -> tuple[_Population | None, float]:
    """Return the population at a lower tolerance, or None at ``most``, and its acceptance."""
    particles = len(population.vectors)
    dimension = population.vectors.shape[1]
    covariance = np.atleast_2d(np.cov(population.vectors.T, aweights=population.weights))
    root = np.linalg.cholesky(_KERNEL_SCALE * covariance + 1e-10 * np.eye(dimension))
    accepted: list[np.ndarray] = []
    near: list[np.ndarray] = []
    count = 0
    proposed = 0
    while count < particles:
        expected = 1.2 * (particles - count) / max(acceptance, 1e-3)
        left = most - discrepancy.simulations
        if left < particles - count:
            return None, acceptance
        rows = int(min(_MOST_ROWS, max(expected, 100), left))
        parents = generator.choice(particles, rows, p=population.weights)
        noise = generator.standard_normal((rows, dimension))
        vectors = (population.vectors[parents] + noise @ root.T).astype(np.float32)
        # What has no prior density, past the last bits of a bounded support, is not simulated.
        vectors = vectors[np.isfinite(discrepancy.log_prior(vectors))]
        distances = discrepancy.distance(discrepancy.summarise(discrepancy.parameters_of(vectors)))
        good = distances <= tolerance
        accepted.append(vectors[good])
        near.append(distances[good])
        count += int(good.sum())
        proposed += rows
    vectors = np.concatenate(accepted)[:particles]
    log_kernel = _log_mixture(vectors, population, root)
    log_weights = discrepancy.log_prior(vectors) - log_kernel
    weights = np.exp(log_weights - logsumexp(log_weights))
    return (
        _Population(vectors, weights / weights.sum(), np.concatenate(near)[:particles]),
        count / proposed,
    )


def _log_mixture(vectors: np.ndarray, population: _Population, root: np.ndarray) -> np.ndarray:
    """Return log densities (n,) of vectors (n, d) under all kernels, up to a constant."""
    inverse = np.linalg.inv(root)
    centres = population.vectors @ inverse.T
    lengths = (centres**2).sum(axis=1)
    found = []
    # All pairs at once take 5 GB for 25,000 particles.
    for start in range(0, len(vectors), _ROWS_OF_PAIRS):
        white = vectors[start : start + _ROWS_OF_PAIRS] @ inverse.T
        squares = (white**2).sum(axis=1)[:, None] + lengths - 2.0 * white @ centres.T
        found.append(logsumexp(-0.5 * squares, b=population.weights, axis=1))
    return np.concatenate(found)
