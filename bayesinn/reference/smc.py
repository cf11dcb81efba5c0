"""Tempered sequential Monte Carlo: exact posterior draws where importance sampling fails."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy.optimize import brentq
from scipy.special import gammaln, logsumexp

from bayesinn.bijections.bijection import FEATURES, Condition
from bayesinn.core import seeds
from bayesinn.core.compilation import XLA, compiled, map_tensors
from bayesinn.core.errors import InputError, check_draws, check_integer, check_number, warn
from bayesinn.core.progress import Progress
from bayesinn.flows import Flow
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.posterior import Posterior
from bayesinn.reference.importance import (
    DRAWS,
    ExactDensity,
    LogLikelihood,
    Population,
    Target,
    Tensors,
    finite_or_never,
    importance,
    likelihood_errors,
    likelihood_of,
    resample,
    warn_of_undefined,
)
from bayesinn.simulation.simulations import count_rows
from bayesinn.simulation.simulator import Arrays, Simulator, check_simulator
from bayesinn.spaces.observations import check_observations, check_one_observation
from bayesinn.spaces.parameters import ParameterSpace

# Kinds of moves, which take turns.
KINDS = ("coordinates", "differential evolution", "autoregressive")
# Shares of coordinates that a move of the first kind changes; 0 stands for a single one.
_SHARES = (0.0, 0.0, 0.1)
# Probability that a move of the first or second kind takes the full difference of two particles.
_FULL_DIFFERENCE = (0.5, 0.1)
_DEGREES_OF_FREEDOM = 5.0


class StudentT(NamedTuple):
    """A multivariate Student t distribution with five degrees of freedom.

    The columns of ``axes`` (d, d) are the principal axes, each as long as the sd along it.
    ``whitening`` is the transposed inverse of ``axes``.
    """

    mean: tf.Tensor
    axes: tf.Tensor
    whitening: tf.Tensor
    log_norm: tf.Tensor

    @classmethod
    def fit(cls, vector: np.ndarray) -> "StudentT":
        """Return the distribution with the mean of vectors (n, d), and their covariance as scale.

        It is wider than the normal distribution with this covariance.
        """
        vector = np.asarray(vector, np.float64)
        covariance = np.atleast_2d(np.cov(vector, rowvar=False))
        # Particles of a narrow posterior may agree in a coordinate up to rounding.
        covariance += np.diag(1e-4 * np.diag(covariance) + 1e-12)
        variances, directions = np.linalg.eigh(covariance)
        sds = np.sqrt(variances)
        nu = _DEGREES_OF_FREEDOM
        dimension = len(variances)
        log_norm = (
            gammaln(0.5 * (nu + dimension))
            - gammaln(0.5 * nu)
            - 0.5 * dimension * np.log(nu * np.pi)
        )
        values = (
            vector.mean(axis=0),
            directions * sds,
            directions / sds,
            log_norm - float(np.log(sds).sum()),
        )
        return cls(*(tf.constant(value, tf.float32) for value in values))

    def squared_distance(self, vector: tf.Tensor) -> tf.Tensor:
        """Return squared Mahalanobis distances (n,) of vectors (n, d) from the mean."""
        return tf.reduce_sum(tf.matmul(vector - self.mean, self.whitening) ** 2, axis=1)

    def log_prob(self, vector: tf.Tensor) -> tf.Tensor:
        """Return log densities (n,) of vectors (n, d)."""
        half = 0.5 * (_DEGREES_OF_FREEDOM + vector.shape[1])
        return self.log_norm - half * tf.math.log1p(
            self.squared_distance(vector) / _DEGREES_OF_FREEDOM
        )

    def sample(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        normal_seed, gamma_seed = seeds.split(seed, 2)
        normal = _normal((n, self.mean.shape[0]), normal_seed)
        half = 0.5 * _DEGREES_OF_FREEDOM
        precision = tf.random.stateless_gamma((n, 1), gamma_seed, half, half)
        return self.mean + tf.matmul(normal / tf.sqrt(precision), self.axes, transpose_b=True)


class Proposal(NamedTuple):
    """How moves are drawn: a step factor for each kind (3,), and a Student t.

    The Student t has the moments of all particles.
    """

    scales: tf.Tensor
    law: StudentT


def move(
    target: Callable[[tf.Tensor, Any], Population],
    population: Population,
    count: tf.Tensor,
    temperature: tf.Tensor,
    proposal: Proposal,
    seed: tf.Tensor,
    data: Any,
) -> tuple[Population, tf.Tensor]:
    """Make ``count`` Metropolis moves of each particle; return population and acceptance (3,).

    Each of the three kinds of moves has an acceptance of its own.

    Each half of the particles moves given the other (Goodman and Weare 2010, Ensemble samplers with
    affine invariance, CAMCoS 5): a particle's partners don't depend on itself, so that each move
    leaves the tempered posterior invariant. The proposal is fixed for all these moves; the
    influence of one particle on it falls with their number.

    The first kind changes one or a few coordinates, which suits parameters that the data say little
    about or that are rounded to whole numbers. Differential evolution (ter Braak 2006, Statistics
    and Computing 16) is a step of all coordinates along the difference of two other particles; the
    full difference leads from one mode to another. The autoregressive move (Grumitt, Karamanis and
    Seljak 2024, Inverse Problems 40), ``mean + rho (x - mean) + noise``, leaves a multivariate
    Student t fitted to the particles invariant, so that its steps needn't shrink with the
    dimension. Far from a normal posterior its steps get small, as in a random walk with the
    particles' covariance.
    """

    def one_half(
        step: tf.Tensor, half: Population, others: Population, accepted: tf.Tensor
    ) -> tuple[Any, ...]:
        kind = step // 2 % len(KINDS)
        draw_seed, accept_seed = seeds.split(seeds.fold_in(seed, step), 2)
        steps = (_coordinates, _differential_evolution, _autoregressive)
        branches = [
            lambda step=step: step(half.vector, others.vector, proposal, draw_seed)
            for step in steps
        ]
        vector, correction = tf.switch_case(kind, branches)
        new = target(vector, data)
        log_ratio = (
            new.log_prior
            - half.log_prior
            + temperature * (new.log_likelihood - half.log_likelihood)
        )
        accept = tf.math.log(_uniform(tf.shape(log_ratio), accept_seed)) < log_ratio + correction
        moved = Population(
            tf.where(accept[:, None], new.vector, half.vector),
            tf.where(accept, new.log_prior, half.log_prior),
            tf.where(accept, new.log_likelihood, half.log_likelihood),
        )
        rate = tf.reduce_mean(tf.cast(accept, tf.float32))
        return step + 1, others, moved, accepted + rate * tf.one_hot(kind, len(KINDS))

    # A loop over halves, which swap places, contains the likelihood once: it compiles in half the
    # time.
    halves = (
        Population(*part)
        for part in zip(*(tf.split(value, 2) for value in population), strict=True)
    )
    start = (tf.constant(0), *halves, tf.zeros(len(KINDS)))
    _, first, second, accepted = tf.while_loop(lambda step, *_: step < 2 * count, one_half, start)
    joined = Population(*(tf.concat(parts, axis=0) for parts in zip(first, second, strict=True)))
    turns = 2 * ((count + len(KINDS) - 1 - tf.range(len(KINDS))) // len(KINDS))
    return joined, accepted / tf.cast(tf.maximum(turns, 1), tf.float32)


# Each kind returns new vectors (n, d) for those of one half, and the log ratio (n,) of the
# proposal's densities.
Step = tuple[tf.Tensor, tf.Tensor]


def _coordinates(vector: tf.Tensor, others: tf.Tensor, proposal: Proposal, seed: tf.Tensor) -> Step:
    mask_seed, step_seed = seeds.split(seed, 2)
    share_seed, one_seed, coordinate_seed = seeds.split(mask_seed, 3)
    rows = tf.shape(vector)[0]
    dimension = vector.shape[1]
    drawn = _integers((rows,), share_seed, maxval=len(_SHARES))
    share = tf.gather(tf.constant(_SHARES), drawn)
    changed = _uniform((rows, dimension), coordinate_seed) < share[:, None]
    # At least one coordinate.
    one = tf.one_hot(_integers((rows,), one_seed, maxval=dimension), dimension)
    mask = tf.maximum(one, tf.cast(changed, tf.float32))
    count = tf.reduce_sum(mask, axis=1, keepdims=True)
    step = _difference(vector, others, count, proposal, 0, step_seed)
    symmetric = tf.zeros_like(vector[:, 0])
    return vector + mask * step, symmetric


def _differential_evolution(
    vector: tf.Tensor, others: tf.Tensor, proposal: Proposal, seed: tf.Tensor
) -> Step:
    count = tf.constant(float(vector.shape[1]))
    step = _difference(vector, others, count, proposal, 1, seed)
    symmetric = tf.zeros_like(vector[:, 0])
    return vector + step, symmetric


def _autoregressive(
    vector: tf.Tensor, others: tf.Tensor, proposal: Proposal, seed: tf.Tensor
) -> Step:
    """Draw the normal scale of a Student t, a mixture of normals; move within that normal."""
    scale_seed, noise_seed, gamma_seed = seeds.split(seed, 3)
    rows = tf.shape(vector)[0]
    dimension = vector.shape[1]
    law = proposal.law
    # A chi-squared number as a sum of squares, which XLA can compile.
    normals = _normal((rows, int(_DEGREES_OF_FREEDOM) + dimension), gamma_seed)
    distance = law.squared_distance(vector)
    variance = (_DEGREES_OF_FREEDOM + distance) / tf.reduce_sum(normals**2, axis=1)
    step = tf.minimum(proposal.scales[2] * _spread(vector, scale_seed), 1.0)
    noise = tf.matmul(_normal(tf.shape(vector), noise_seed), law.axes, transpose_b=True)
    moved = (
        law.mean
        + tf.sqrt(1.0 - step**2) * (vector - law.mean)
        + step * tf.sqrt(variance)[:, None] * noise
    )
    log_ratio = tf.math.log1p(law.squared_distance(moved) / _DEGREES_OF_FREEDOM)
    log_ratio -= tf.math.log1p(distance / _DEGREES_OF_FREEDOM)
    return moved, 0.5 * (_DEGREES_OF_FREEDOM + dimension) * log_ratio


def _difference(
    vector: tf.Tensor,
    others: tf.Tensor,
    count: tf.Tensor,
    proposal: Proposal,
    kind: int,
    seed: tf.Tensor,
) -> tf.Tensor:
    """Draw steps (n, d) along differences of two particles of the other half.

    Their scale suits moves of ``count`` coordinates.
    """
    scale_seed, full_seed, pair_seed, noise_seed = seeds.split(seed, 4)
    scale = proposal.scales[kind] * _spread(vector, scale_seed) * 2.38 / tf.sqrt(2.0 * count)
    scale = tf.where(_uniform(tf.shape(scale), full_seed) < _FULL_DIFFERENCE[kind], 1.0, scale)
    pairs = _integers((tf.shape(vector)[0], 2), pair_seed, maxval=tf.shape(others)[0])
    # Without noise, particles could only reach values that differ by what others differ by.
    noise = 1e-3 * tf.norm(proposal.law.axes, axis=1) * _normal(tf.shape(vector), noise_seed)
    return scale * (tf.gather(others, pairs[:, 0]) - tf.gather(others, pairs[:, 1])) + noise


def _spread(vector: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw factors (n, 1) from an eighth to two: no single step suits all parts of a posterior."""
    return 2.0 ** (4.0 * _uniform((tf.shape(vector)[0], 1), seed) - 3.0)


# Philox by name: what TensorFlow selects under XLA on a CPU is thirty times slower, and would cost
# more than most likelihoods.
_normal = functools.partial(tf.random.stateless_normal, alg="philox")
_uniform = functools.partial(tf.random.stateless_uniform, alg="philox")
_integers = functools.partial(_uniform, dtype=tf.int32)


# In nats. Larger steps of log densities in single precision change posteriors.
MOST_ROUNDING = 0.25
_SMALLEST_LOG_STEP = -100.0


def next_temperature(
    log_likelihood: np.ndarray, temperature: float, ess: float
) -> tuple[float, np.ndarray, float]:
    """Return the next temperature, normalised weights, and the log of their unnormalised mean.

    The effective sample size falls to the share ``ess`` of all particles, if the way is so long.
    """
    values = log_likelihood.astype(np.float64)

    def log_excess(step: float) -> float:
        """Return the log of the effective size after a step, relative to the one wanted."""
        log_size = 2.0 * logsumexp(step * values) - logsumexp(2.0 * step * values)
        return float(log_size - np.log(len(values) * ess))

    def of_log_step(log_step: float) -> float:
        return log_excess(np.exp(log_step))

    left = 1.0 - temperature
    step = left
    if log_excess(left) < 0.0:
        # Steps may be smaller than any absolute tolerance: log likelihoods of single draws may
        # differ by 1e14.
        step = float(np.exp(brentq(of_log_step, _SMALLEST_LOG_STEP, np.log(left))))
    upper = 1.0 if step == left else temperature + step
    total = logsumexp(step * values)
    return upper, np.exp(step * values - total), float(total - np.log(len(values)))


def systematic(weights: np.ndarray, uniform: float, count: int | None = None) -> np.ndarray:
    """Return rows, each as often as its expected number, rounded up or down; by default n of n."""
    count = len(weights) if count is None else count
    positions = (np.arange(count) + uniform) / count
    return np.minimum(np.searchsorted(np.cumsum(weights), positions), len(weights) - 1)


def relative_variance(roots: np.ndarray) -> float:
    """Return the relative variance of an evidence, from the first particles of the last ones.

    ``roots`` (n,) are the numbers of the first particles that the last ones descend from. The
    estimate of Lee and Whiteley (2018), without what multinomial resampling would add: it is a
    little too large for systematic resampling.

    Examples
    --------
    >>> relative_variance(np.arange(4)), relative_variance(np.array([3, 3, 3, 3]))
    (0.0, 0.75)
    """
    shares = np.bincount(roots) / len(roots)
    return float(np.sum(shares**2)) - 1.0 / len(roots)


def mean_correlation(start: np.ndarray, now: np.ndarray) -> float:
    """Return the mean correlation of vectors (n, d) with those at the start, over the elements."""
    first = start - start.mean(axis=0)
    second = now - now.mean(axis=0)
    scale = np.sqrt(np.sum(first**2, axis=0) * np.sum(second**2, axis=0))
    return float(np.mean(np.sum(first * second, axis=0) / np.maximum(scale, 1e-30)))


def rounding(log_density: np.ndarray) -> float:
    """Return the distance of neighbouring numbers in single precision at the highest density.

    Examples
    --------
    >>> rounding(np.array([-30.0, -1e8]))
    1.9073486328125e-06
    """
    return float(abs(np.spacing(np.float32(log_density.max()))))


class Start(NamedTuple):
    """Distribution of the first particles, whitened, and the condition (1, ...) that whitens."""

    law: StudentT
    condition: Condition


def start_from(
    start: Mapping[str, Any] | Posterior,
    space: ParameterSpace,
    data: Arrays,
    count: int,
    seed: int,
) -> Start:
    """Fit a Student t to draws, ``count`` of them if a posterior must make them."""
    if not isinstance(start, Posterior):
        return Start(StudentT.fit(_vectors(start, space)), {FEATURES: tf.zeros((1, 0))})
    drawn = start.given(data).sample(max(count, 2 * space.dimension + 1), seed)
    vectors = _vectors({name: value[0] for name, value in drawn.items()}, space)
    model = whitening_model(start)
    if model is None:
        return Start(StudentT.fit(vectors), {FEATURES: tf.zeros((1, 0))})
    assert isinstance(start, AmortizedPosterior)
    arrays = check_observations(start.simulator, data).arrays
    condition = map_tensors(tf.convert_to_tensor, start.evaluator.condition(arrays)[0])
    whitened = np.asarray(model.network.flow.whiten(vectors, condition)[0])
    # Draws that overflow where they are whitened would spoil the fit.
    finite = whitened[np.isfinite(whitened).all(axis=1)]
    if len(finite) <= 2 * space.dimension:
        raise InputError(
            "Posterior to start from",
            expected=f"more than {2 * space.dimension} draws that are finite where its flow "
            "whitens them",
            got=f"{len(finite)} of {len(whitened)}",
            do="start from draws of it, or from the prior",
        )
    return Start(StudentT.fit(finite), condition)


def whitening_model(start: object) -> PosteriorModel | None:
    """Return the model whose flow whitens parameters; one program serves all other starts."""
    if not isinstance(start, AmortizedPosterior):
        return None
    whitens = type(start.model.network.flow).whiten is not Flow.whiten
    return start.model if whitens else None


def unwhiten(
    model: PosteriorModel | None, z: tf.Tensor, condition: Condition
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return vectors for whitened ones, and the log determinant (n,)."""
    return (
        (z, tf.zeros_like(z[:, 0])) if model is None else model.network.flow.unwhiten(z, condition)
    )


def bridge(
    target: Target, model: PosteriorModel | None, whitened: tf.Tensor, inputs: tuple[Tensors, Start]
) -> Population:
    """Evaluate whitened vectors with the start's distribution as prior.

    The likelihood is what remains: the target's density divided by that of the start.
    """
    data, start = inputs
    vector, log_det = unwhiten(model, whitened, start.condition)
    _, log_prior, log_likelihood = target(vector, data)
    log_start = start.law.log_prob(whitened)
    return Population(
        whitened, log_start, finite_or_never(log_prior + log_det + log_likelihood - log_start)
    )


def _vectors(draws: Mapping[str, Any], space: ParameterSpace) -> np.ndarray:
    """Return draws as vectors (n, d), after checking names, shapes, number and support."""
    subject = "Draws to start from"
    events = space.prior.event_shapes
    least = 2 * space.dimension
    shapes: dict[str, tuple[int, ...]] = {}
    if isinstance(draws, Mapping):
        shapes = {name: np.shape(value) for name, value in draws.items()}
    rows = next((shape[0] for shape in shapes.values() if shape), 0)
    if rows <= least or shapes != {name: (rows, *event) for name, event in events.items()}:
        raise InputError(
            subject,
            expected=f"an array (n, *event) for each of {list(events)}, n > {least} draws of one "
            "observation",
            got=f"shapes {shapes}" if isinstance(draws, Mapping) else f"a {type(draws).__name__}",
            do="pass draws of a single observation, as posterior.sample gives them, or a posterior "
            "that bi.load gives",
        )
    vector = space.vectors(draws)
    finite = np.isfinite(vector).all(axis=1)
    if not finite.all():
        raise InputError(
            subject,
            expected="finite numbers inside the prior's support",
            got=f"{np.sum(~finite)} of {len(vector)} draws that are not",
            do="leave these out",
        )
    return vector


_TARGET_ACCEPTANCE = 0.25
_MOST_PRIOR_BATCHES = 200
# Forty parameters known to a millionth of their prior take fewer.
_MOST_STAGES = 150
_TRIAL_DRAWS = 64


@dataclass(frozen=True, eq=False, repr=False)
class SMCPosterior:
    """Equally weighted posterior draws, and how they were reached.

    Attributes
    ----------
    parameters : dict of name to array (particles, *event)
    log_evidence : float
        Log of the prior mean of the likelihood. With ``on_nonfinite="redraw"``, the prior is
        truncated to finite log likelihoods.
    log_evidence_error : float
        Its standard error, from the number of first particles that the last ones descend from (Lee
        and Whiteley 2018, Biometrika 105). One, or nearly, means that it is not known.
    finite_share : float, share of prior draws with a finite log likelihood
    temperatures : array (stages,), exponents of the likelihood, ending with one
    moves : array (stages,), number of moves of each particle
    correlations : array (stages,)
        Correlation of a stage's first and last particles, the mean over coordinates. Near zero,
        resampling has left no trace.
    acceptance : dict of kind of move to array (stages,), accepted share
    evaluations : int, number of evaluations of the likelihood
    undefined : int, number of those that gave NaN or inf within the prior's support
        They count as a likelihood of zero. Where simulations that fail are drawn again, NaN is
        expected, and not among them.
    rounding : float, nats between neighbouring log likelihoods in single precision
    """

    parameters: Arrays
    log_evidence: float
    finite_share: float
    temperatures: np.ndarray
    moves: np.ndarray
    correlations: np.ndarray
    acceptance: dict[str, np.ndarray]
    evaluations: int
    undefined: int = 0
    rounding: float = 0.0
    log_evidence_error: float = math.nan

    def draws(self, n: int, seed: int) -> Arrays:
        """Return draws (n, *event), by resampling; no repetition if there are enough particles."""
        return resample(self.parameters, n, seed, "reference", 2)

    def __repr__(self) -> str:
        return (
            f"SMCPosterior of {count_rows(self.parameters):,} particles\n"
            f"  log evidence: {self.log_evidence:.2f} ± {self.log_evidence_error:.2f}\n"
            f"  stages:       {len(self.temperatures)}, {self.moves.sum():,} moves, "
            f"{self.evaluations:,} evaluations\n"
            f"  correlation:  {self.correlations[-1]:.2f} left in the last stage"
        )


class Schedule(NamedTuple):
    """How many particles there are, and how long they move; see :func:`tempered_smc`."""

    particles: int
    moves: int
    most_moves: int
    final_moves: int
    most_final_moves: int
    ess: float = 0.5
    correlation: float = 0.1


def tempered_smc(
    simulator: Simulator,
    data: Mapping[str, Any],
    *,
    start: Mapping[str, Any] | Posterior | None = None,
    particles: int = 6_000,
    moves: int = 60,
    most_moves: int = 240,
    final_moves: int = 2_400,
    most_final_moves: int | None = None,
    ess: float = 0.5,
    correlation: float = 0.1,
    seed: int = 0,
    log_likelihood: LogLikelihood | None = None,
    xla: XLA = "auto",
    progress: bool = True,
) -> SMCPosterior:
    """Draw from the exact posterior of one observation.

    Particles start as prior draws. The exponent of their likelihood rises from zero to one, as fast
    as the effective sample size allows. At each stage they are resampled, then moved until
    uncorrelated with their start.

    With informative data, particles from the prior may find only a part of the posterior. An
    amortized posterior as ``start`` helps, if it is wider and in the right place. If its network
    whitens parameters, particles move in the whitened coordinates, and so along ridges that are
    curved in the parameters. The result is the same posterior.

    Short runs may look converged when they are not: run two seeds and compare their marginals. If
    they differ, raise ``final_moves`` and ``most_moves`` first, then ``particles``. A model of 34
    parameters with curved ridges takes 1.5 to 4 minutes on one core; with half as many moves,
    marginals of two runs were still up to 0.13 apart (Kolmogorov-Smirnov). Further observations
    need no compilation, if ``log_likelihood`` is the same function.

    Parameters
    ----------
    simulator : Simulator with a ``log_likelihood`` and continuous parameters
    data : dict of name to array, one observation
    start : Posterior, or dict of name to array (n, *event)
        Draws from an approximate posterior, or a posterior of these parameters. Its prior may be
        another one if draws lie inside this prior's support. Particles start from a Student t
        distribution with the mean and scale of the draws, unconstrained.
    particles : int, even number of particles
    moves : int, moves of each particle in a round; after a round, step sizes are adapted
    most_moves : int, largest number of moves in a stage, whatever the correlation
    final_moves : int, least number of moves at temperature one
    most_final_moves : int, largest number there, whatever the correlation
        By default the larger of ``final_moves`` and ``most_moves``.
    ess : float
        Effective sample size after each rise of the temperature, as a share of the particles.
    correlation : float, mean correlation with the start of the stage at which moves may end
    log_likelihood : function ``(parameters, data)`` in place of the simulator's
        Takes tensors (n, *event) and the observation's tensors, in the graph, and returns (n,). A
        function of arrays is slower, as XLA can't compile it.
    xla : "auto", True or False; whether XLA compiles the moves; "auto": where it can

    References
    ----------
    Del Moral, Doucet and Jasra (2006), Sequential Monte Carlo samplers, JRSS B 68; Chopin (2002),
    Biometrika 89.

    Examples
    --------
    >>> import bayesinn as bi
    >>> import tensorflow_probability as tfp
    >>> def log_likelihood(parameters, data):
    ...     return tfp.distributions.Normal(parameters["x1"] + parameters["x2"], 0.5).log_prob(
    ...         data["y"]
    ...     )
    >>> settings = dict(particles=2_000, final_moves=60, seed=1, progress=False)
    >>> posterior = tempered_smc(
    ...     bi.get_simulator("linear"), {"y": 2.25}, log_likelihood=log_likelihood, **settings
    ... )
    >>> bool(abs(posterior.parameters["x1"].mean() - 1.0) < 0.1)
    True
    """
    check_simulator(simulator)
    shapes = simulator.prior.event_shapes
    if check_draws(particles, shapes, least=100, subject="Argument 'particles'") % 2:
        raise InputError(
            "Argument 'particles'", expected="an even number", got=f"{particles}", do="add one"
        )
    check_integer("Argument 'moves'", moves, len(KINDS))
    check_integer("Argument 'most_moves'", most_moves)
    check_integer("Argument 'final_moves'", final_moves)
    longest = max(final_moves, most_moves)
    if most_final_moves is not None:
        longest = check_integer("Argument 'most_final_moves'", most_final_moves, final_moves)
    check_number("Argument 'ess'", ess, above=0, below=1)
    check_number("Argument 'correlation'", correlation, above=0, below=1)
    schedule = Schedule(particles, moves, most_moves, final_moves, longest, ess, correlation)
    function = likelihood_of(simulator, log_likelihood)
    posterior = sample_by_stages(simulator, data, start, schedule, seed, function, xla, progress)
    warn_of_undefined(simulator.name, posterior.undefined, posterior.evaluations)
    if posterior.rounding > MOST_ROUNDING:
        warn(
            f"Log likelihoods are rounded to steps of {posterior.rounding:.2g} in single "
            "precision: the posterior is wrong. Leave constants out of the likelihood.",
        )
    return posterior


# With fewer draws, standard deviations are off by more than 3 %.
_LEAST_EFFECTIVE_SIZE = 500


def exact_draws(
    simulator: Simulator,
    data: Mapping[str, Any],
    *,
    draws: int = 20_000,
    seed: int = 0,
    progress: bool = False,
) -> Arrays | None:
    """Draw (draws, *event) from the exact posterior of one observation; None without exact answer.

    The simulator's own ``exact`` comes first. If there is a likelihood, prior draws are weighted by
    it; where a few of them have all the weight, as with many parameters, :func:`tempered_smc`
    draws, which takes minutes. There is a warning, and no result, where it fails, too.
    """
    check_simulator(simulator)
    check_one_observation(simulator, data)
    if simulator.exact is not None:
        return simulator.exact(data, draws, seed)
    if simulator.log_likelihood is None:
        return None
    # A tenth of the draws shows whether all are enough.
    trial = importance(simulator, data, draws=DRAWS // 10, seed=seed)
    if trial.effective_size >= _LEAST_EFFECTIVE_SIZE / 10:
        return importance(simulator, data, draws=DRAWS, seed=seed).draws(draws, seed)
    try:
        return tempered_smc(simulator, data, seed=seed, progress=progress).draws(draws, seed)
    except InputError as error:
        warn(
            f"No exact posterior of {simulator.name!r}: of {DRAWS:,} prior draws, weighted by the "
            f"likelihood, fewer than {_LEAST_EFFECTIVE_SIZE} would count, and tempered SMC can't "
            f"go on. {error}",
        )
    return None


def sample_by_stages(
    simulator: Simulator,
    data: Mapping[str, Any],
    start: Mapping[str, Any] | Posterior | None,
    schedule: Schedule,
    seed: int,
    log_likelihood: Callable[..., Any],
    xla: XLA,
    progress: bool,
) -> SMCPosterior:
    """Draw as :func:`tempered_smc` does, without its warnings; arguments are already checked."""
    # What a function of arrays raises inside of a graph.
    raised = likelihood_errors(
        tf.errors.InvalidArgumentError, tf.errors.UnknownError, tf.errors.UnimplementedError
    )
    particles = schedule.particles
    with raised, Progress("tempered SMC", shown=progress) as report:
        report.stage("compiling")
        observation = check_one_observation(simulator, data).row()
        model = whitening_model(start)
        prior_seed, move_seed = seeds.split(seeds.tensor_seed(seed, "reference"), 2)
        options = (simulator, log_likelihood, xla, start is not None, model)
        drawn_trial = simulator.prior.sample(_TRIAL_DRAWS, prior_seed)
        trial = {name: np.asarray(value) for name, value in drawn_trial.items()}
        while _compiled(*options).density.outdated(trial, observation):
            _compiled.cache_clear()
        density, evaluate, evaluate_whitened, move_all, note = _compiled(*options)
        report.note(note)
        target = density.target
        inputs: Any = density.tensors(observation)
        before = target.undefined.numpy()
        if start is None:
            population, share, drawn = _first_population(
                simulator, particles, prior_seed, target.draw_prior, evaluate, inputs
            )
            finite_share = share
            evaluations = drawn
        else:
            # Few draws of the prior may be possible: a start is for that.
            of_prior = evaluate(target.draw_prior(particles, prior_seed), inputs)
            finite_share = float(np.mean(of_prior.log_likelihood.numpy() > -np.inf))
            origin = start_from(start, target.space, observation, particles, seed)
            inputs = inputs, origin
            population, share, drawn = _first_population(
                simulator, particles, prior_seed, origin.law.sample, evaluate_whitened, inputs
            )
            evaluations = particles + drawn
        generator = seeds.generator(seed, "reference", 3)
        move_some = functools.partial(move_all, data=inputs)
        population, log_ratio, roots, stages = _rise(
            population, move_some, schedule, move_seed, generator, report
        )
    log_evidence = math.log(share) + log_ratio
    if simulator.on_nonfinite == "redraw":
        # The prior is that of parameters that don't fail.
        log_evidence -= math.log(finite_share) if finite_share else math.nan
    vector = population.vector
    if start is not None:
        vector, _ = unwhiten(model, vector, origin.condition)
    temperatures, counts, correlations, rates = (
        np.array(column) for column in zip(*stages, strict=True)
    )
    return SMCPosterior(
        density.parameters(vector),
        log_evidence,
        finite_share,
        temperatures,
        counts,
        correlations,
        dict(zip(KINDS, rates.T, strict=True)),
        evaluations + int(counts.sum()) * particles,
        int(target.undefined.numpy() - before),
        rounding(np.asarray(population.log_likelihood)),
        math.sqrt(relative_variance(roots) + (1.0 - share) / (share * drawn)),
    )


def _first_population(
    simulator: Simulator,
    particles: int,
    seed: tf.Tensor,
    draw: Callable[[int, tf.Tensor], tf.Tensor],
    evaluate: Callable[[tf.Tensor, Any], Population],
    inputs: Any,
) -> tuple[Population, float, int]:
    """Draw vectors until enough have a finite likelihood.

    Return them, the share that has one, and the number drawn.
    """
    kept: list[Population] = []
    finite = 0
    drawn = 0
    count = 0
    while count < particles and drawn < _MOST_PRIOR_BATCHES * particles:
        evaluated = evaluate(draw(particles, seeds.fold_in(seed, drawn)), inputs)
        batch = Population(*(np.asarray(value) for value in evaluated))
        drawn += particles
        finite += int(np.sum(batch.log_likelihood > -np.inf))
        usable = (batch.log_likelihood > -np.inf) & (batch.log_prior > -np.inf)
        kept.append(Population(*(value[usable] for value in batch)))
        count += int(usable.sum())
    if count < particles:
        raise InputError(
            f"Simulator {simulator.name!r} and the data",
            expected=f"{particles:,} draws under which the data have a finite log likelihood",
            got=f"{count or 'none'} among {drawn:,}",
            do="check the data's units and the likelihood's constraints",
        )
    population = Population(
        *(tf.constant(np.concatenate(part)[:particles]) for part in zip(*kept, strict=True))
    )
    return population, finite / drawn, drawn


def _rise(
    population: Population,
    move_some: Callable[..., tuple[Population, tf.Tensor]],
    schedule: Schedule,
    seed: tf.Tensor,
    generator: np.random.Generator,
    report: Progress,
) -> tuple[Population, float, np.ndarray, list[tuple[float, int, float, np.ndarray]]]:
    """Take particles from temperature zero to one.

    Return them, the log evidence relative to that of the first particles, the numbers of the first
    particles that they descend from, and all stages: temperature, moves of each particle,
    correlation left, and acceptance (kinds,).
    """
    temperature = 0.0
    log_ratio = 0.0
    moves = schedule.moves
    scales = np.ones(len(KINDS))
    rounds = 0
    stages: list[tuple[float, int, float, np.ndarray]] = []
    roots = np.arange(len(population.vector))
    # TFP's sample_sequential_monte_carlo moves until a fixed acceptance, not until particles are
    # uncorrelated with their start, and not at all after the last temperature. It has no halves of
    # the population that move in turn.
    while temperature < 1.0:
        if len(stages) == _MOST_STAGES:
            raise InputError(
                "Log likelihood",
                expected=f"one that at most {_MOST_STAGES} stages of tempering reach",
                got=f"a temperature of {temperature:.2g} after these; log likelihoods of particles "
                f"are {np.min(population.log_likelihood):.2g} to "
                f"{np.max(population.log_likelihood):.2g}",
                do="check its scale, such as a factor too many or a noise that is too small; pass "
                "a start near the posterior",
            )
        temperature, weights, log_mean = next_temperature(
            np.asarray(population.log_likelihood), temperature, schedule.ess
        )
        log_ratio += log_mean
        rows = generator.permutation(systematic(weights, generator.uniform()))
        roots = roots[rows]
        population = resampled = Population(*(tf.gather(value, rows) for value in population))
        last = temperature == 1.0
        least = schedule.final_moves if last else moves
        most = schedule.most_final_moves if last else schedule.most_moves
        done = 0
        left = 1.0
        accepted = np.zeros(len(KINDS))
        while done < least or (left > schedule.correlation and done < most):
            proposal = Proposal(
                tf.constant(scales, tf.float32), StudentT.fit(np.asarray(population.vector))
            )
            population, rates = move_some(
                population,
                tf.constant(moves),
                tf.constant(temperature, tf.float32),
                proposal,
                seeds.fold_in(seed, rounds),
            )
            rounds += 1
            done += moves
            accepted += np.asarray(rates)
            scales = np.clip(
                scales * np.exp(2.0 * (np.asarray(rates) - _TARGET_ACCEPTANCE)), 1e-3, 10.0
            )
            left = mean_correlation(np.asarray(resampled.vector), np.asarray(population.vector))
            speed = rounds * moves * len(rows) / report.seconds
            report.update(
                text=f"stage {len(stages) + 1}{', the last' * last}, temperature "
                f"{temperature:.3g}, move {done:,}, correlation {left:.2f}, accepted "
                f"{', '.join(f'{100 * rate:.0f} %' for rate in rates)}, "
                f"{speed:,.0f} likelihoods/s"
            )
        stages.append((temperature, done, left, accepted * moves / done))
    return population, log_ratio, roots, stages


class _Programs(NamedTuple):
    """Compiled functions that serve all data; vectors may be whitened."""

    density: ExactDensity
    evaluate: Callable[..., Any]
    evaluate_whitened: Callable[..., Any]
    move_all: Callable[..., Any]
    note: str


@functools.lru_cache(maxsize=8)
def _compiled(
    simulator: Simulator,
    log_likelihood: Callable[..., Any],
    xla: XLA,
    started: bool,
    model: PosteriorModel | None,
) -> _Programs:
    """Return functions that evaluate and move particles."""
    density = ExactDensity(simulator, log_likelihood, None if model is None else model.parameters)
    space = density.space
    if space.discrete:
        raise InputError(
            f"Simulator {simulator.name!r}",
            expected="continuous parameters, which particles can move in",
            got=f"integers: {list(space.discrete)}",
            do="use bi.reference.importance, or give them continuous priors and round within the "
            "simulator",
        )
    target = density.target
    note = "the likelihood is a function of arrays; one in the graph is faster"
    evaluate = compiled(target, xla=False, subject="the likelihood")._replace(note=note)
    if density.in_graph:
        trial = tf.zeros((2, space.dimension)), density.any_data
        evaluate = compiled(target, *trial, xla=xla, subject="the likelihood")
    seen = functools.partial(bridge, target, model) if started else target
    compile_too = functools.partial(tf.function, autograph=False, jit_compile=evaluate.xla)
    return _Programs(
        density,
        evaluate.call,
        compile_too(seen),
        compile_too(functools.partial(move, seen)),
        evaluate.note,
    )
