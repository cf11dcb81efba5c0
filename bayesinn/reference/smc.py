"""Tempered sequential Monte Carlo: exact posterior draws where importance sampling fails."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import FEATURES, Condition
from bayesinn.core import seeds
from bayesinn.core.compilation import XLA, map_tensors
from bayesinn.core.errors import InputError, warn
from bayesinn.core.memory import check_draws
from bayesinn.core.progress import Progress
from bayesinn.core.validation import check_integer, check_number
from bayesinn.flows import Flow
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.posterior import Posterior
from bayesinn.reference.importance import likelihood_errors, likelihood_of
from bayesinn.reference.smc_moves import (
    KINDS,
    MOST_ROUNDING,
    Proposal,
    StudentT,
    mean_correlation,
    move,
    next_temperature,
    relative_variance,
    rounding,
    systematic,
)
from bayesinn.reference.smc_target import (
    LogLikelihood,
    Population,
    Target,
    Tensors,
    Traced,
    compile_target,
    finite_or_never,
    first_population,
    tensors_of,
    warn_of_undefined,
)
from bayesinn.simulation.simulations import count_rows, take
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import check_observations, check_one_observation
from bayesinn.spaces.parameters import ParameterSpace


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
    target: Target, model: PosteriorModel | None, whitened: tf.Tensor, given: tuple[Tensors, Start]
) -> Population:
    """Evaluate whitened vectors with the start's distribution as prior.

    The likelihood is what remains: the target's density divided by that of the start.
    """
    data, start = given
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
    vector = np.asarray(
        space.to_vector({name: tf.constant(value) for name, value in draws.items()})[0]
    )
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
        particles = count_rows(self.parameters)
        check_draws(n, {name: value.shape[1:] for name, value in self.parameters.items()})
        rows = seeds.generator(seed, "reference", 2).choice(
            particles, size=n, replace=n > particles
        )
        return take(self.parameters, rows)

    def __repr__(self) -> str:
        return (
            f"SMCPosterior of {count_rows(self.parameters):,} particles\n"
            f"  log evidence: {self.log_evidence:.2f} ± {self.log_evidence_error:.2f}\n"
            f"  stages:       {len(self.temperatures)}, {self.moves.sum():,} moves, "
            f"{self.evaluations:,} evaluations\n"
            f"  correlation:  {self.correlations[-1]:.2f} left in the last stage"
        )


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
        Takes tensors (n, *event) and the observation's tensors, in the graph, and returns (n,). The
        simulator's own may be a function of arrays: slower, as XLA can't compile it.
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
    posterior = sample_by_stages(
        simulator,
        data,
        start,
        seed,
        log_likelihood,
        xla,
        progress,
        particles=particles,
        moves=moves,
        most_moves=most_moves,
        final_moves=final_moves,
        most_final_moves=longest,
        ess=ess,
        correlation=correlation,
    )
    warn_of_undefined(simulator.name, posterior.undefined, posterior.evaluations)
    if posterior.rounding > MOST_ROUNDING:
        warn(
            f"Log likelihoods are rounded to steps of {posterior.rounding:.2g} in single "
            "precision: the posterior is wrong. Leave constants out of the likelihood.",
        )
    return posterior


def sample_by_stages(
    simulator: Simulator,
    data: Mapping[str, Any],
    start: Mapping[str, Any] | Posterior | None,
    seed: int,
    log_likelihood: LogLikelihood | None,
    xla: XLA,
    progress: bool,
    *,
    particles: int,
    precise: bool = False,
    **schedule: Any,
) -> SMCPosterior:
    """Draw as :func:`tempered_smc` does, without its warning; arguments are already checked.

    Data are ``precise``, of double precision, for a likelihood of arrays. ``schedule`` says how
    long particles move, as in :func:`_rise`.
    """
    # What a function of arrays raises inside of a graph.
    raised = likelihood_errors(
        tf.errors.InvalidArgumentError, tf.errors.UnknownError, tf.errors.UnimplementedError
    )
    with raised, Progress("tempered SMC", shown=progress) as report:
        report.stage("compiling")
        checked = check_one_observation(simulator, data)
        observation = checked.row()
        given: Any = tensors_of(simulator, observation)
        model = whitening_model(start)
        prior_seed, move_seed = seeds.split(seeds.tensor_seed(seed, "reference"), 2)
        function = None if log_likelihood is None else likelihood_of(simulator, log_likelihood)
        options = (simulator, function, xla, start is not None, model)
        trial = simulator.prior.sample(_TRIAL_DRAWS, prior_seed)
        while _compiled(*options).trace.changed(trial, given):
            _compiled.cache_clear()
        _, target, evaluate, evaluate_whitened, move_all, note = _compiled(*options)
        report.note(note)
        if precise or target.takes_arrays:
            given = tensors_of(simulator, observation, precise=True)
        before = target.undefined.numpy()
        draw_first = functools.partial(first_population, simulator, particles, prior_seed)
        if start is None:
            population, finite_share, drawn = draw_first(target.draw_prior, evaluate, given)
            share = finite_share
            evaluations = drawn
        else:
            # Few draws of the prior may be possible: a start is for that.
            of_prior = evaluate(target.draw_prior(particles, prior_seed), given)
            finite_share = float(np.mean(of_prior.log_likelihood.numpy() > -np.inf))
            origin = start_from(start, target.space, observation, particles, seed)
            given = given, origin
            population, share, drawn = draw_first(origin.law.sample, evaluate_whitened, given)
            evaluations = particles + drawn
        log_evidence = math.log(share)
        if simulator.on_nonfinite == "redraw":
            # The prior is that of parameters that don't fail.
            log_evidence -= math.log(finite_share) if finite_share else math.nan
        generator = seeds.generator(seed, "reference", 3)
        population, log_evidence, roots, stages = _rise(
            population,
            functools.partial(move_all, data=given),
            move_seed,
            generator,
            report,
            log_evidence=log_evidence,
            **schedule,
        )
    vector = population.vector
    if start is not None:
        vector, _ = unwhiten(model, vector, origin.condition)
    values = target.space.from_vector(vector)
    parameters = {
        name: np.asarray(value, simulator.prior.dtypes[name]) for name, value in values.items()
    }
    temperatures, counts, correlations, rates = (
        np.array(column) for column in zip(*stages, strict=True)
    )
    return SMCPosterior(
        parameters,
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


def _rise(
    population: Population,
    move_some: Callable[..., tuple[Population, tf.Tensor]],
    seed: tf.Tensor,
    generator: np.random.Generator,
    report: Progress,
    *,
    log_evidence: float,
    moves: int,
    most_moves: int,
    final_moves: int,
    most_final_moves: int,
    ess: float = 0.5,
    correlation: float = 0.1,
) -> tuple[Population, float, np.ndarray, list[tuple[float, int, float, np.ndarray]]]:
    """Take particles from temperature zero to one.

    Return them, the log evidence, given that of the first particles, the numbers of the first
    particles that they descend from, and all stages: temperature, moves of each particle,
    correlation left, and acceptance (kinds,).
    """
    temperature = 0.0
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
            np.asarray(population.log_likelihood), temperature, ess
        )
        log_evidence += log_mean
        rows = generator.permutation(systematic(weights, generator.uniform()))
        roots = roots[rows]
        population = resampled = Population(*(tf.gather(value, rows) for value in population))
        last = temperature == 1.0
        least, most = (final_moves, most_final_moves) if last else (moves, most_moves)
        done = 0
        left = 1.0
        accepted = np.zeros(len(KINDS))
        while done < least or (left > correlation and done < most):
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
    return population, log_evidence, roots, stages


class _Programs(NamedTuple):
    """Compiled functions that serve all data; vectors may be whitened."""

    trace: Traced  #: tells whether the likelihood is still that of the target
    target: Target
    evaluate: Callable[..., Any]
    evaluate_whitened: Callable[..., Any]
    move_all: Callable[..., Any]
    note: str


@functools.lru_cache(maxsize=8)
def _compiled(
    simulator: Simulator,
    log_likelihood: LogLikelihood | None,
    xla: XLA,
    started: bool,
    model: PosteriorModel | None,
) -> _Programs:
    """Return functions that evaluate and move particles."""
    target, compiled = compile_target(
        simulator, log_likelihood, xla, None if model is None else model.parameters
    )
    seen = functools.partial(bridge, target, model) if started else target
    compile_too = functools.partial(tf.function, autograph=False, jit_compile=compiled.xla)
    return _Programs(
        trace=Traced(likelihood_of(simulator, log_likelihood)),
        target=target,
        evaluate=compiled.call,
        evaluate_whitened=compile_too(seen),
        move_all=compile_too(functools.partial(move, seen)),
        note=compiled.note,
    )
