"""Classical answers without a likelihood: ABC, synthetic likelihood, KDE-MCMC."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import logsumexp

from bayesinn.core import seeds
from bayesinn.core.errors import InputError, check_draws, check_integer, check_number, warn
from bayesinn.reference.importance import evaluate_prior, resample
from bayesinn.reference.nuts import Convergence
from bayesinn.reference.smc import systematic
from bayesinn.simulation.simulations import count_rows, join, take
from bayesinn.simulation.simulator import Arrays, Simulator, check_simulator
from bayesinn.spaces.observations import check_one_observation
from bayesinn.spaces.parameters import ParameterSpace

#: A function of observables (n, ...) and context by name: summaries (n, k).
Summaries = Callable[[Arrays], np.ndarray]
#: A function of observables and context (n, ...) by name: points (n, points, d).
Points = Callable[[Arrays], np.ndarray]

#: Number of prior draws that are simulated first.
PILOT = 2_000
_BATCH = 10_000
# Mean absolute deviation from the median of a normal distribution, in its standard deviations.
_SD_OF_DEVIATION = 1.4826


class Discrepancy:
    """Simulations for the context of one observation, compared with it by summaries.

    A pilot of prior draws gives each summary its scale, and tells whether the model can reach the
    data.

    Attributes
    ----------
    observation : dict of arrays (1, ...), the data that were observed
    observed : array (k,), their summaries
    simulations : int, number so far
    """

    def __init__(
        self,
        simulator: Simulator,
        data: Mapping[str, Any],
        summaries: Summaries | None,
        seed: int,
        *,
        continuous: bool,
    ) -> None:
        check_simulator(simulator)
        self._started = time.monotonic()
        self.simulator = simulator
        self.simulations = 0
        self.seed = seeds.check_seed(seed)
        self.space = ParameterSpace(simulator.prior, seed=0)
        if continuous and self.space.discrete:
            raise InputError(
                f"Simulator {simulator.name!r}",
                expected="continuous parameters, which particles and chains can move in",
                got=f"integers: {list(self.space.discrete)}",
                do="use bi.reference.rejection_abc, or bi.reference.importance with a likelihood",
            )
        if summaries is None:
            refuse_absent_values(simulator, "summaries")
        checked = check_one_observation(simulator, data)
        self.observation = checked.arrays
        self._context = {name: checked.arrays[name] for name in simulator.context_names}
        self._summaries = summaries or functools.partial(_side_by_side, simulator)
        self.observed = self.summarised(self.observation, 1)[0]
        # Of any number of rows, traced once.
        self._evaluate_prior = tf.function(
            functools.partial(evaluate_prior, self.space),
            input_signature=[tf.TensorSpec((None, self.space.dimension))],
            autograph=False,
        )
        self._pilot = self.draw_prior(PILOT, 0)
        pilot = self.summarise(self._pilot)
        self._scale = _scales(pilot)
        self._check_overlap(pilot)
        self._pilot_distances = self.distance(pilot)

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def draw_prior(self, n: int, number: int) -> Arrays:
        """Return prior draws (n, *event) of batch ``number``."""
        drawn = self.simulator.prior.sample(n, seeds.tensor_seed(self.seed, "abc", number))
        return {name: np.asarray(value) for name, value in drawn.items()}

    def simulate(self, parameters: Arrays) -> Arrays:
        """Return observables and context (n, ...) simulated with parameters (n, *event)."""
        count = count_rows(parameters)
        # No simulation has the seed of another.
        own_seed = seeds.integer_seed(self.seed, "abc simulations", self.simulations)
        self.simulations += count
        context = {name: np.repeat(value, count, axis=0) for name, value in self._context.items()}
        return {**self.simulator.simulate(parameters, own_seed, context or None), **context}

    def summarise(self, parameters: Arrays) -> np.ndarray:
        """Return summaries (n, k) of simulations with parameters (n, *event); NaN where they fail.

        Infinite numbers are failures, too.
        """
        count = count_rows(parameters)
        summaries = self.summarised(self.simulate(parameters), count)
        return np.where(np.isfinite(summaries), summaries, np.nan)

    def distance(self, summaries: np.ndarray) -> np.ndarray:
        """Return distances (n,) of summaries (n, k) from those observed, infinite where NaN."""
        squares = ((summaries - self.observed) / self._scale) ** 2
        return np.nan_to_num(np.sqrt(np.mean(squares, axis=1)), nan=np.inf, posinf=np.inf)

    def nearest(self, count: int, simulations: int) -> tuple[Arrays, np.ndarray]:
        """Return the nearest of so many simulations of prior draws, and their distances (count,).

        The nearest comes first. Simulations that failed, whose distances are infinite, are refused.
        """
        rows = np.argsort(self._pilot_distances)[:count]
        kept = take(self._pilot, rows)
        distances = self._pilot_distances[rows]
        number = 1
        while (left := simulations - self.simulations) > 0:
            parameters = self.draw_prior(min(_BATCH, left), number)
            both = np.concatenate([distances, self.distance(self.summarise(parameters))])
            rows = np.argsort(both)[:count]
            kept = take(join([kept, parameters]), rows)
            distances = both[rows]
            number += 1
        finite = int(np.isfinite(distances).sum())
        if finite < count:
            raise InputError(
                f"Simulations of {self.simulator.name!r}",
                expected=f"{count} finite ones of {self.simulations} prior draws",
                got=f"{finite}",
                do="narrow the prior, ask for fewer draws, or correct the simulator",
            )
        return kept, distances

    def vectors(self, parameters: Arrays) -> np.ndarray:
        """Return unconstrained vectors (n, d) of continuous parameters (n, *event)."""
        return self.space.vectors(parameters)

    def evaluate_prior(self, vectors: np.ndarray) -> tuple[Arrays, np.ndarray]:
        """Return parameters (n, *event) of unconstrained vectors (n, d), and their log prior."""
        values, log_prior = self._evaluate_prior(tf.constant(vectors, tf.float32))
        return {name: value.numpy() for name, value in values.items()}, log_prior.numpy()

    def summarised(self, data: Arrays, count: int) -> np.ndarray:
        """Return summaries (n, k) of observables and context (n, ...)."""
        summaries = np.asarray(self._summaries(data), np.float64)
        if summaries.ndim != 2 or len(summaries) != count:
            raise InputError(
                "Argument 'summaries'",
                expected=f"a function that returns an array ({count}, k), a row for each data set",
                got=f"shape {summaries.shape}",
                do="keep the first axis, and put all numbers of a data set side by side",
            )
        return summaries

    def _check_overlap(self, pilot: np.ndarray) -> None:
        """Refuse data far outside of what the prior simulates; warn of data just outside."""
        with np.errstate(invalid="ignore"):
            low = np.nanmin(pilot, axis=0)
            high = np.nanmax(pilot, axis=0)
        beyond = np.maximum(low - self.observed, self.observed - high)
        far = np.flatnonzero(~(beyond <= np.maximum(high - low, 1e-9 * np.abs(high))))
        outside = np.flatnonzero(beyond > 0.0)
        if not len(outside) and not len(far):
            return
        worst = int(far[0] if len(far) else outside[0])
        subject = f"Data for simulator {self.simulator.name!r}"
        expected = f"summary {worst} from {low[worst]:.3g} to {high[worst]:.3g}"
        got = f"{self.observed[worst]:.3g}"
        do = "check the units of the data and the prior"
        if len(far):
            raise InputError(
                subject, expected=f"{expected}, as in {PILOT:,} simulations", got=got, do=do
            )
        if len(outside) > 0.01 * len(self.observed):
            warn(
                f"{subject}: expected {expected}, got {got}; no simulation comes near in "
                f"{len(outside)} of {len(self.observed)} summaries. Accepted draws say little "
                f"there: {do}.",
            )


def _side_by_side(simulator: Simulator, data: Arrays) -> np.ndarray:
    """Return all observables (n, ...) side by side, (n, k)."""
    values = [data[name] for name in simulator.observable_shapes]
    return np.concatenate([value.reshape(len(value), -1) for value in values], axis=1)


def _scales(summaries: np.ndarray) -> np.ndarray:
    """Return robust standard deviations (k,) of summaries (n, k); one for those that are equal."""
    centre = np.nanmedian(summaries, axis=0)
    scale = _SD_OF_DEVIATION * np.nanmedian(np.abs(summaries - centre), axis=0)
    scale = np.where(scale > 0.0, scale, np.nanstd(summaries, axis=0))
    return np.where(scale > 0.0, scale, 1.0)


def refuse_absent_values(simulator: Simulator, argument: str) -> None:
    """Raise if values may be absent, so that an ``argument`` has to say what is compared."""
    if simulator.lengths or simulator.missing is not None:
        raise InputError(
            f"Data of simulator {simulator.name!r}",
            expected="values that are always there, to compare one by one",
            got="observables of varying length, or with missing values",
            do=f"pass {argument}=function, which takes observables and context",
        )


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedPosterior:
    """Equally weighted draws from an approximate posterior, without a likelihood.

    Attributes
    ----------
    parameters : dict of name to array (n, *event); draws of chains one after another
    simulations : int, number of all simulations, including a pilot
    seconds : float, time that it took
    effective_size : float
        Number of independent draws that are as precise: that of weights, or of chains the smallest
        over all parameters.
    tolerances : array (populations,)
        Largest distance between data and accepted simulations; empty for chains.
    acceptance : float, accepted share of the last population's proposals, or of all steps of chains
    r_hat : float, the largest over all parameters; NaN without chains
    """

    parameters: Arrays
    simulations: int
    seconds: float
    effective_size: float
    tolerances: np.ndarray
    acceptance: float
    r_hat: float = np.nan

    def draws(self, n: int, seed: int) -> Arrays:
        """Return draws (n, *event), by resampling; none is repeated if there are enough."""
        return resample(self.parameters, n, seed, "simulated posterior")

    def __repr__(self) -> str:
        lines = [
            f"SimulatedPosterior of {count_rows(self.parameters):,} draws",
            f"  simulations:    {self.simulations:,} in {self.seconds:.1f} s",
            f"  effective size: {self.effective_size:,.0f}",
            f"  accepted:       {100 * self.acceptance:.1f} %",
        ]
        if len(self.tolerances):
            lines.append(f"  tolerance:      {self.tolerances[-1]:.3g}")
        if np.isfinite(self.r_hat):
            lines.append(f"  R-hat:          {self.r_hat:.3f}")
        return "\n".join(lines)


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
    >>> found = rejection_abc(
    ...     bi.get_simulator("linear"), {"y": 2.25}, simulations=50_000, draws=500, seed=1
    ... )
    >>> abs(found.parameters["x1"].mean() - 1.0) < 0.15
    np.True_
    """
    check_simulator(simulator)
    check_draws(draws, simulator.prior.event_shapes)
    check_integer("Argument 'simulations'", simulations, max(draws, PILOT))
    discrepancy = Discrepancy(simulator, data, summaries, seed, continuous=False)
    kept, distances = discrepancy.nearest(draws, simulations)
    order = seeds.generator(seed, "rejection abc").permutation(draws)
    return SimulatedPosterior(
        take(kept, order),
        discrepancy.simulations,
        discrepancy.seconds,
        float(draws),
        distances[-1:],
        draws / discrepancy.simulations,
    )


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
    >>> found = smc_abc(bi.get_simulator("linear"), {"y": 2.25}, simulations=20_000, seed=1)
    >>> abs(found.parameters["x1"].mean() - 1.0) < 0.15
    np.True_
    """
    check_simulator(simulator)
    shapes = simulator.prior.event_shapes
    check_draws(particles, shapes, least=10, subject="Argument 'particles'")
    check_number("Argument 'quantile'", quantile, above=0, below=1)
    check_number("Argument 'least_acceptance'", least_acceptance, least=0, below=1)
    first = int(np.ceil(particles / quantile))
    check_integer("Argument 'simulations'", simulations, max(first, PILOT))
    discrepancy = Discrepancy(simulator, data, summaries, seed, continuous=True)
    generator = seeds.generator(seed, "smc abc")
    parameters, distances = discrepancy.nearest(particles, max(first, PILOT))
    equal = np.full(particles, 1.0 / particles)
    population = _Population(discrepancy.vectors(parameters), equal, distances)
    acceptance = particles / discrepancy.simulations
    tolerances = [float(distances[-1])]
    while acceptance > least_acceptance:
        tolerance = float(np.quantile(population.distances, quantile))
        # Distances of discrete data may be equal.
        if tolerance >= tolerances[-1]:
            break
        advanced = _advance(discrepancy, population, tolerance, simulations, acceptance, generator)
        if advanced is None:
            break
        population, acceptance = advanced
        tolerances.append(tolerance)
    rows = generator.permutation(systematic(population.weights, generator.uniform()))
    return SimulatedPosterior(
        discrepancy.evaluate_prior(population.vectors[rows])[0],
        discrepancy.simulations,
        discrepancy.seconds,
        float(1.0 / np.sum(population.weights**2)),
        np.array(tolerances),
        acceptance,
    )


def _advance(
    discrepancy: Discrepancy,
    population: _Population,
    tolerance: float,
    most: int,
    acceptance: float,
    generator: np.random.Generator,
) -> tuple[_Population, float] | None:
    """Return the population at a lower tolerance, and its acceptance.

    It is None if that would take more than ``most`` simulations in all.
    """
    particles = len(population.vectors)
    dimension = population.vectors.shape[1]
    covariance = np.atleast_2d(np.cov(population.vectors.T, aweights=population.weights))
    root = np.linalg.cholesky(_KERNEL_SCALE * covariance + 1e-10 * np.eye(dimension))
    accepted: list[np.ndarray] = []
    log_priors: list[np.ndarray] = []
    near: list[np.ndarray] = []
    count = 0
    proposed = 0
    while count < particles:
        expected = 1.2 * (particles - count) / max(acceptance, 1e-3)
        left = most - discrepancy.simulations
        if left < particles - count:
            return None
        rows = int(min(_MOST_ROWS, max(expected, 100), left))
        parents = generator.choice(particles, rows, p=population.weights)
        noise = generator.standard_normal((rows, dimension))
        vectors = (population.vectors[parents] + noise @ root.T).astype(np.float32)
        parameters, log_prior = discrepancy.evaluate_prior(vectors)
        # What has no prior density, past the last bits of a bounded support, is not simulated.
        possible = np.isfinite(log_prior)
        fresh = discrepancy.distance(discrepancy.summarise(take(parameters, possible)))
        good = fresh <= tolerance
        accepted.append(vectors[possible][good])
        log_priors.append(log_prior[possible][good])
        near.append(fresh[good])
        count += int(good.sum())
        proposed += rows
    vectors = np.concatenate(accepted)[:particles]
    log_weights = np.concatenate(log_priors)[:particles] - _log_mixture(vectors, population, root)
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
    log_densities = []
    # All pairs at once take 5 GB for 25,000 particles.
    for start in range(0, len(vectors), _ROWS_OF_PAIRS):
        white = vectors[start : start + _ROWS_OF_PAIRS] @ inverse.T
        squares = (white**2).sum(axis=1)[:, None] + lengths - 2.0 * white @ centres.T
        log_densities.append(logsumexp(-0.5 * squares, b=population.weights, axis=1))
    return np.concatenate(log_densities)


_TARGET_ACCEPTANCE = 0.25
# Rounds of the warm-up, after each of which the covariance of its draws shapes the proposals.
_WARM_UP = 4
# Chains start among so many nearest simulations for each of them.
_STARTS_A_CHAIN = 8


def _run_chains(
    discrepancy: Discrepancy,
    estimate: Callable[[Arrays, int], np.ndarray],
    replicates: int,
    chains: int,
    steps: int,
) -> SimulatedPosterior:
    """Draw by chains, side by side, that keep the estimate of the likelihood where they are.

    If the likelihood were unbiased, so would be the draws, whatever its noise: a lucky estimate is
    kept until a better one comes. The warm-up takes half as many steps. ``estimate`` takes data
    (chains * replicates, ...), and the number of chains, and returns log likelihoods (chains,). See
    Andrieu and Roberts (2009), The pseudo-marginal approach, Annals of Statistics 37.
    """
    check_integer("Argument 'chains'", chains, 2)
    shapes = discrepancy.simulator.prior.event_shapes
    check_draws(steps, shapes, chains, least=20, subject="Argument 'steps'")
    starts = _STARTS_A_CHAIN * chains
    shapes = discrepancy.simulator.observable_shapes
    check_draws(replicates, shapes, starts, subject="Argument 'replicates'")

    def evaluate(vectors: np.ndarray) -> np.ndarray:
        """Return estimates (n,) of the log of prior times likelihood of vectors (n, d)."""
        parameters, log_prior = discrepancy.evaluate_prior(vectors)
        repeated = {name: np.repeat(v, replicates, axis=0) for name, v in parameters.items()}
        log_densities = estimate(discrepancy.simulate(repeated), len(vectors)) + log_prior
        return np.where(np.isfinite(log_densities), log_densities, -np.inf)

    generator = seeds.generator(discrepancy.seed, "metropolis")
    vectors = discrepancy.vectors(discrepancy.nearest(starts, PILOT)[0])
    root = _root(vectors)
    log_density = evaluate(vectors)
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
            proposals = (vectors + np.exp(log_scale) * noise @ root.T).astype(np.float32)
            density = evaluate(proposals)
            taken = np.log(generator.uniform(size=chains)) < density - log_density
            vectors = np.where(taken[:, None], proposals, vectors)
            log_density = np.where(taken, density, log_density)
            kept.append(vectors)
            if warming:
                rate = 2.0 / np.sqrt(1.0 + step)
                log_scale += rate * (taken.mean() - _TARGET_ACCEPTANCE)
            else:
                accepted += taken.mean() / steps
    values, _ = discrepancy.evaluate_prior(np.stack(kept, axis=1).reshape(chains * steps, -1))
    by_chain = {
        name: value.reshape(1, chains, steps, *value.shape[1:]) for name, value in values.items()
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

    def estimate(data: Arrays, count: int) -> np.ndarray:
        values = discrepancy.summarised(data, count * replicates)
        return _log_normal(values.reshape(count, replicates, size), discrepancy.observed)

    return _run_chains(discrepancy, estimate, replicates, chains, steps)


def _log_normal(values: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return unbiased estimates (chains,) of normal densities of what was observed (k,), as logs.

    Up to a constant, from simulated values (chains, replicates, k).
    """
    _, replicates, size = values.shape
    mean = values.mean(axis=1)
    offset = values - mean[:, None]
    scatter = np.einsum("crk,crl->ckl", offset, offset)
    usable = np.isfinite(scatter).all(axis=(1, 2))
    scatter = np.where(usable[:, None, None], scatter, np.eye(size))
    sign, log_det = np.linalg.slogdet(scatter)
    usable &= sign > 0.0
    scatter = np.where(usable[:, None, None], scatter, np.eye(size))
    distance = observed - mean
    solved = np.linalg.solve(scatter, distance[..., None])[..., 0]
    share = np.sum(distance * solved, axis=1) / (1.0 - 1.0 / replicates)
    usable &= share < 1.0
    share = np.where(usable, share, 0.0)
    # Ghurye and Olkin's estimate, as in Price et al. (2018), equation 7.
    log_densities = -0.5 * log_det + 0.5 * (replicates - size - 3) * np.log1p(-share)
    return np.where(usable, log_densities, -np.inf)


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
    check_simulator(simulator)
    check_integer("Argument 'replicates'", replicates)
    if points is None:
        refuse_absent_values(simulator, "points")
    chosen = points or functools.partial(_steps, tuple(simulator.observable_shapes))
    discrepancy = Discrepancy(
        simulator, data, lambda values: _moments(chosen, values), seed, continuous=True
    )
    real = _checked(chosen, discrepancy.observation)
    least = int(np.ceil(2 / real.shape[1]))
    if replicates < least:
        raise InputError(
            "Argument 'replicates'",
            expected=f"{least} or more, as data sets have one point each",
            got=f"{replicates}",
            do="pass replicates=100: a density needs many points",
        )

    def estimate(data: Arrays, count: int) -> np.ndarray:
        values = _checked(chosen, data)
        return _log_kernels(values.reshape(count, -1, real.shape[2]), real)

    return _run_chains(discrepancy, estimate, replicates, chains, steps)


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
    values = np.asarray(points(data), np.float64)
    if values.ndim != 3:
        raise InputError(
            "Argument 'points'",
            expected="a function that returns an array (n, points, d)",
            got=f"shape {values.shape}",
            do="keep the first axis, then one for points, then one for their numbers",
        )
    return values


def _moments(points: Points, data: Arrays) -> np.ndarray:
    """Return quartiles (n, 3 d) of the points of data sets, by which chains choose their start."""
    quartiles = np.quantile(_checked(points, data), [0.25, 0.5, 0.75], axis=1)
    return np.moveaxis(quartiles, 0, 1).reshape(quartiles.shape[1], -1)


def _log_kernels(made: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return log densities (chains,) of observed points (1, points, d).

    They are those of kernels on simulated points (chains, points, d).
    """
    _, count, dimension = made.shape
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
    squares = np.zeros((len(made), seen.shape[1], count), np.float32)
    for axis in range(dimension):
        squares += (seen[:, :, None, axis] - made[:, None, :, axis]) ** 2
    nearest = squares.min(axis=2)
    kernels = np.exp(-0.5 * (squares - nearest[:, :, None]))
    terms = np.log(kernels.mean(axis=2, dtype=np.float64)) - 0.5 * nearest
    return terms.sum(axis=1) - seen.shape[1] * np.log(width[:, 0]).sum(axis=1)
