"""Chains for likelihoods that simulations estimate: synthetic likelihood, KDE-MCMC."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.core.memory import check_draws
from bayesinn.core.validation import check_integer
from bayesinn.reference.abc import (
    Discrepancy,
    SimulatedPosterior,
    Summaries,
    refuse_absent_values,
    side_by_side,
)
from bayesinn.reference.nuts import Convergence
from bayesinn.simulation.simulations import flatten_draws
from bayesinn.simulation.simulator import Arrays, Simulator

#: A function of data (chains, replicates, ...) that were simulated, and of the data observed
#: (1, ...), to log likelihoods (chains,).
Estimate = Callable[[Arrays, Arrays], np.ndarray]

_TARGET_ACCEPTANCE = 0.25
# Rounds of the warm-up, after each of which the covariance of its draws shapes the proposals.
_WARM_UP = 4
# Chains start among so many nearest simulations for each of them.
_STARTS_A_CHAIN = 8


class Metropolis:
    """Chains for one observation, side by side, that keep the estimate of where they are.

    If the likelihood were unbiased, so would be the draws, whatever its noise: a lucky estimate is
    kept until a better one comes.

    References
    ----------
    Andrieu and Roberts (2009), The pseudo-marginal approach, Annals of Statistics 37.
    """

    def __init__(self, discrepancy: Discrepancy, estimate: Estimate, replicates: int) -> None:
        self._discrepancy = discrepancy
        self._estimate = estimate
        self._replicates = replicates

    def run(self, chains: int, steps: int, seed: int) -> SimulatedPosterior:
        """Return the draws of all chains after a warm-up of half as many steps, and R-hat."""
        check_integer("Argument 'chains'", chains, 2)
        discrepancy = self._discrepancy
        shapes = discrepancy.simulator.prior.event_shapes
        check_draws(steps, shapes, chains, least=20, subject="Argument 'steps'")
        shapes = discrepancy.simulator.observable_shapes
        starts = _STARTS_A_CHAIN * chains
        check_draws(self._replicates, shapes, starts, subject="Argument 'replicates'")
        generator = seeds.generator(seed, "metropolis")
        vectors = discrepancy.vectors(discrepancy.nearest(_STARTS_A_CHAIN * chains))
        root = _root(vectors)
        log_density = self._log_density(vectors)
        possible = np.flatnonzero(np.isfinite(log_density))
        if len(possible) < chains:
            raise InputError(
                f"Likelihood of the data under {discrepancy.simulator.name!r}",
                expected=f"finite estimates for {chains} of the {len(vectors)} nearest prior draws",
                got=f"{len(possible)}",
                do="raise replicates, pass fewer or other summaries, and check the data's units",
            )
        rows = generator.choice(possible, chains, replace=False)
        vectors = vectors[rows]
        log_density = log_density[rows]
        log_scale = 0.0
        kept: list[np.ndarray] = []
        accepted = 0.0
        length = max(steps // (2 * _WARM_UP), 5)
        for stage in range(_WARM_UP + 1):
            warming = stage < _WARM_UP
            # The draws keep the root that the last stage of the warm-up has fitted its scale to.
            if warming and stage:
                root = _root(np.concatenate(kept))
            kept = []
            for step in range(length if warming else steps):
                noise = generator.standard_normal(vectors.shape)
                moved = (vectors + np.exp(log_scale) * noise @ root.T).astype(np.float32)
                density = self._log_density(moved)
                taken = np.log(generator.uniform(size=chains)) < density - log_density
                vectors = np.where(taken[:, None], moved, vectors)
                log_density = np.where(taken, density, log_density)
                kept.append(vectors)
                if warming:
                    rate = 2.0 / np.sqrt(1.0 + step)
                    log_scale += rate * (taken.mean() - _TARGET_ACCEPTANCE)
                else:
                    accepted += taken.mean() / steps
        found = np.stack(kept, axis=1)
        values = discrepancy.parameters_of(found.reshape(chains * steps, -1))
        by_chain = {
            name: value.reshape(1, chains, steps, *value.shape[1:])
            for name, value in values.items()
        }
        convergence = Convergence.measure(by_chain, np.zeros((1, chains, steps), bool))
        r_hat, size = convergence.extreme()
        convergence.warn("the observation")
        return SimulatedPosterior(
            values,
            discrepancy.simulations,
            discrepancy.seconds,
            size,
            np.zeros(0),
            float(accepted),
            r_hat,
        )

    def _log_density(self, vectors: np.ndarray) -> np.ndarray:
        """Return estimates (n,) of the log of prior times likelihood of vectors (n, d)."""
        discrepancy = self._discrepancy
        count = len(vectors)
        parameters = {
            name: np.repeat(value, self._replicates, axis=0)
            for name, value in discrepancy.parameters_of(vectors).items()
        }
        data = {
            name: value.reshape(count, self._replicates, *value.shape[1:])
            for name, value in discrepancy.simulate(parameters).items()
        }
        found = self._estimate(data, discrepancy.observation) + discrepancy.log_prior(vectors)
        return np.where(np.isfinite(found), found, -np.inf)


def _root(vectors: np.ndarray) -> np.ndarray:
    """Return a root (d, d) of the covariance of vectors (n, d), scaled for a random walk."""
    dimension = vectors.shape[1]
    covariance = np.atleast_2d(np.cov(vectors.T.astype(np.float64)))
    covariance += 1e-3 * np.diag(np.diag(covariance)) + 1e-8 * np.eye(dimension)
    return 2.38 / np.sqrt(dimension) * np.linalg.cholesky(covariance)


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
    >>> found = synthetic_likelihood(bi.get_simulator("linear"), {"y": 2.25}, steps=300, seed=1)
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
    >>> found = kde_mcmc(bi.get_simulator("linear"), {"y": 2.25}, replicates=50, steps=300, seed=1)
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
    estimate = functools.partial(_estimate_of_series, chosen)
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


def _estimate_of_series(points: Points, data: Arrays, observed: Arrays) -> np.ndarray:
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
