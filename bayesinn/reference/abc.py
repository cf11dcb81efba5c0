"""Approximate Bayesian computation: rejection, SMC-ABC, distances of simulations."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import logsumexp

from bayesinn.core import seeds
from bayesinn.core.errors import InputError, warn
from bayesinn.core.memory import check_draws
from bayesinn.core.validation import check_integer, check_number
from bayesinn.reference.smc_moves import systematic
from bayesinn.reference.smc_target import Target
from bayesinn.simulation.simulations import count_rows, join, take
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import check_one_observation
from bayesinn.spaces.parameters import ParameterSpace

#: A function of observables (n, ...) and context by name: summaries (n, k).
Summaries = Callable[[Arrays], np.ndarray]

#: Number of prior draws that are simulated first.
PILOT = 2_000
# Mean absolute deviation from the median of a normal distribution, in its standard deviations.
_SD_OF_DEVIATION = 1.4826


class Discrepancy:
    """Simulations for the context of one observation, compared with it by summaries.

    A pilot of prior draws gives each summary its scale, and tells whether the model can reach the
    data.

    Attributes
    ----------
    parameters, distances : of the pilot, arrays (m, *event) by name and (m,)
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
        self._summaries = summaries or side_by_side(simulator)
        self.observed = self._summarised(self.observation, 1)[0]
        target = Target(self.space, _no_likelihood)
        # Of any number of rows, traced once.
        compiled = tf.function(
            input_signature=[tf.TensorSpec((None, self.space.dimension))], autograph=False
        )
        self._log_prior = compiled(lambda vectors: target(vectors, {}).log_prior)
        self._from_vector = compiled(self.space.from_vector)
        self.parameters = self.draw_prior(PILOT, 0)
        pilot = self.summarise(self.parameters)
        self._scale = _scales(pilot)
        self._check_overlap(pilot)
        self.distances = self.distance(pilot)

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
        own = seeds.integer_seed(self.seed, "abc simulations", self.simulations)
        self.simulations += count
        context = {name: np.repeat(value, count, axis=0) for name, value in self._context.items()}
        return {**self.simulator.simulate(parameters, own, context or None), **context}

    def summarise(self, parameters: Arrays) -> np.ndarray:
        """Return summaries (n, k) of simulations with parameters (n, *event); NaN where they fail.

        Infinite numbers are failures, too.
        """
        count = count_rows(parameters)
        found = self._summarised(self.simulate(parameters), count)
        return np.where(np.isfinite(found), found, np.nan)

    def distance(self, summaries: np.ndarray) -> np.ndarray:
        """Return distances (n,) of summaries (n, k) from those observed, infinite where NaN."""
        squares = ((summaries - self.observed) / self._scale) ** 2
        return np.nan_to_num(np.sqrt(np.mean(squares, axis=1)), nan=np.inf, posinf=np.inf)

    def vectors(self, parameters: Arrays) -> np.ndarray:
        """Return unconstrained vectors (n, d) of continuous parameters (n, *event)."""
        return self.space.to_vector(parameters)[0].numpy()

    def parameters_of(self, vectors: np.ndarray) -> Arrays:
        """Return parameters (n, *event) of unconstrained vectors (n, d)."""
        found = self._from_vector(tf.constant(vectors, tf.float32))
        dtypes = self.simulator.prior.dtypes
        return {name: np.asarray(value, dtypes[name]) for name, value in found.items()}

    def log_prior(self, vectors: np.ndarray) -> np.ndarray:
        """Return log prior densities (n,) of unconstrained vectors (n, d)."""
        return self._log_prior(tf.constant(vectors, tf.float32)).numpy()

    def nearest(self, count: int) -> Arrays:
        """Return parameters (count, *event) of the pilot's nearest simulations."""
        return take(self.parameters, np.argsort(self.distances)[:count])

    def check_finite(self, distances: np.ndarray, simulations: int) -> None:
        """Refuse to keep simulations that failed, whose distances are infinite."""
        finite = int(np.isfinite(distances).sum())
        if finite < len(distances):
            raise InputError(
                f"Simulations of {self.simulator.name!r}",
                expected=f"{len(distances)} finite ones of {simulations} prior draws",
                got=f"{finite}",
                do="narrow the prior, ask for fewer draws, or correct the simulator",
            )

    def _summarised(self, data: Arrays, count: int) -> np.ndarray:
        found = np.asarray(self._summaries(data), np.float64)
        if found.ndim != 2 or len(found) != count:
            raise InputError(
                "Argument 'summaries'",
                expected=f"a function that returns an array ({count}, k), a row for each data set",
                got=f"shape {found.shape}",
                do="keep the first axis, and put all numbers of a data set side by side",
            )
        return found

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


def side_by_side(simulator: Simulator) -> Summaries:
    """Return a function that puts all observables (n, ...) side by side, (n, k)."""
    names = tuple(simulator.observable_shapes)

    def flatten(data: Arrays) -> np.ndarray:
        return np.concatenate([data[name].reshape(len(data[name]), -1) for name in names], axis=1)

    return flatten


def _scales(summaries: np.ndarray) -> np.ndarray:
    """Return robust standard deviations (k,) of summaries (n, k); one for those that are equal."""
    centre = np.nanmedian(summaries, axis=0)
    scale = _SD_OF_DEVIATION * np.nanmedian(np.abs(summaries - centre), axis=0)
    scale = np.where(scale > 0.0, scale, np.nanstd(summaries, axis=0))
    return np.where(scale > 0.0, scale, 1.0)


def _no_likelihood(parameters: Mapping[str, tf.Tensor], data: Any) -> tf.Tensor:
    value = next(iter(parameters.values()))
    return tf.zeros(tf.shape(value)[:1])


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
        count = count_rows(self.parameters)
        check_draws(n, {name: value.shape[1:] for name, value in self.parameters.items()})
        rows = seeds.generator(seed, "simulated posterior").choice(count, n, replace=n > count)
        return take(self.parameters, rows)

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
    >>> found = rejection_abc(
    ...     bi.get_simulator("linear"), {"y": 2.25}, simulations=50_000, draws=500, seed=1
    ... )
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
