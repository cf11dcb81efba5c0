"""What tempered sequential Monte Carlo needs of a simulator: prior and likelihood of vectors, compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.errors import BayesinnError, InputError
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import check_observations
from bayesinn.spaces.parameters import ParameterSpace

Tensors = Mapping[str, tf.Tensor]
LogLikelihood = Callable[[Tensors, Tensors], tf.Tensor]

# Further than this from the way back, in prior standard deviations, a value lies in the last bits of its support.
_ROUND_TRIP = 0.1
_MOST_PRIOR_BATCHES = 200


class Population(NamedTuple):
    """Particles: their unconstrained vectors (n, d), and log prior and log likelihood (n,), both untempered."""

    vector: tf.Tensor
    log_prior: tf.Tensor
    log_likelihood: tf.Tensor


class Target:
    """Log prior and log likelihood of unconstrained vectors.

    Parameters
    ----------
    space : ParameterSpace, of continuous parameters
    log_likelihood : function of parameters (n, *event) and one observation, in the graph
    """

    def __init__(self, space: ParameterSpace, log_likelihood: LogLikelihood) -> None:
        self.space = space
        self._log_likelihood = log_likelihood

    def __call__(self, vector: tf.Tensor, data: Tensors) -> Population:
        """Evaluate vectors (n, d). What isn't finite becomes -inf."""
        space = self.space
        parameters = space.from_vector(vector)
        back, log_det = space.to_vector(parameters)
        log_prior = space.prior_log_prob(parameters) - log_det
        # Past the last bits of a bounded support the density stops falling, and particles would drift away.
        exact = tf.reduce_all(tf.abs(back - vector) < _ROUND_TRIP, axis=-1)
        typed = {name: tf.cast(value, space.prior.dtypes[name]) for name, value in parameters.items()}
        log_likelihood = tf.cast(self._log_likelihood(typed, data), tf.float32)
        if not log_likelihood.shape.is_compatible_with(vector.shape[:1]):
            raise InputError(
                "Log likelihood",
                expected="one number for each row of parameters, shape (n,)",
                got=f"shape {tuple(log_likelihood.shape)} for {vector.shape[0]} rows",
                do="sum over observables, steps and elements",
            )
        log_likelihood = tf.ensure_shape(log_likelihood, vector.shape[:1])
        log_prior = tf.where(exact, log_prior, -np.inf)
        return Population(vector, finite_or_never(log_prior), finite_or_never(log_likelihood))


@dataclass(frozen=True)
class CompiledTarget:
    """A target that was tried out.

    Attributes
    ----------
    target : Target, for use in a graph
    evaluate : the same, compiled
    xla : bool, whether XLA can compile it
    note : str, what the user should know about its speed, or nothing
    """

    target: Target
    evaluate: Callable[[tf.Tensor, Tensors], Population]
    xla: bool
    note: str = ""


def compile_target(
    simulator: Simulator,
    log_likelihood: LogLikelihood | None,
    xla: bool | Literal["auto"],
    like: ParameterSpace | None = None,
) -> CompiledTarget:
    """The target of a simulator, with its own likelihood or the given one, compiled by XLA where that works.

    Of vectors that are standardised as those of another space, of the same parameters, if that is given.

    Raises
    ------
    InputError
        Without a likelihood, with integer parameters, or a space of other parameters.
    """
    function = log_likelihood or simulator.log_likelihood
    if function is None:
        raise InputError(
            f"Simulator {simulator.name!r}",
            expected="a likelihood, to temper",
            got="log_likelihood=None",
            do="declare @bi.simulator(log_likelihood=...), pass log_likelihood=, or simulate with bi.diagnose",
        )
    # The seed only decides the moments that standardise the vector.
    space = ParameterSpace(simulator.prior, seed=0)
    if like is not None:
        if like.event_shapes != space.event_shapes:
            raise InputError(
                "Posterior to start from",
                expected=f"one of parameters with the shapes {space.event_shapes}",
                got=f"{like.event_shapes}",
                do="train it on this simulator, or pass draws of these parameters",
            )
        # Not the prior, which may be another one.
        space.mean, space.scale = like.mean, like.scale
    if space.discrete:
        raise InputError(
            f"Simulator {simulator.name!r}",
            expected="continuous parameters, which moves can follow",
            got=f"integers: {list(space.discrete)}",
            do="use bi.reference.importance, or give them continuous priors and round within the simulator",
        )
    vector, data = tf.zeros((2, space.dimension)), observation_tensors(simulator, _trial(simulator))
    if log_likelihood is None and not _traces(function, space, vector, data):
        target = Target(space, _of_arrays(function, simulator.prior.names))
        note = "the simulator's likelihood is a function of arrays; one in the graph, as log_likelihood=, is faster"
        return CompiledTarget(target, tf.function(target, autograph=False), False, note)
    # Python's `if` and `while` may depend on tensors in the user's function; there are none here.
    target, note = Target(space, tf.function(function)), ""
    if xla:
        evaluate = tf.function(target, autograph=False, jit_compile=True)
        try:
            evaluate(vector, data)
            return CompiledTarget(target, evaluate, True)
        except (tf.errors.OpError, ValueError) as error:
            if xla is True or isinstance(error, BayesinnError):
                raise
            note = f"in the plain graph, XLA can't compile the likelihood: {str(error).strip().splitlines()[0][:200]}"
    return CompiledTarget(target, tf.function(target, autograph=False), False, note)


def observation_tensors(simulator: Simulator, data: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """One checked observation: observables in single precision, context as its distribution draws it."""
    checked = check_observations(simulator, data)
    if checked.count > 1:
        raise InputError(
            "Data", expected="one observation", got=f"{checked.count}", do="call tempered_smc for one after the other"
        )
    dtypes = {} if simulator.context is None else simulator.context.dtypes
    return {name: tf.constant(value[0], dtypes.get(name, np.float32)) for name, value in checked.arrays.items()}


def first_population(
    simulator: Simulator,
    draw: Callable[[int, tf.Tensor], tf.Tensor],
    evaluate: Callable[[tf.Tensor, Any], Population],
    particles: int,
    seed: tf.Tensor,
    given: Any,
) -> tuple[Population, float, int]:
    """Draw from the prior, or another law, as far as the likelihood is finite.

    Parameters
    ----------
    simulator : Simulator
    draw : function of a number and a seed, to vectors (n, d)
    evaluate : function of vectors and what is given, to a population
    particles : int
    seed : tensor (2,)
    given : the observation, in a form that ``evaluate`` takes

    Returns
    -------
    population : Population
    finite_share : float, of all draws
    drawn : int

    Raises
    ------
    InputError
        When too few draws have a finite log likelihood.
    """
    kept: list[Population] = []
    finite = drawn = count = 0
    while count < particles and drawn < _MOST_PRIOR_BATCHES * particles:
        vector = draw(particles, seeds.fold_in(seed, drawn))
        batch = Population(*(np.asarray(value) for value in evaluate(vector, given)))
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
    population = Population(*(tf.constant(np.concatenate(part)[:particles]) for part in zip(*kept, strict=True)))
    return population, finite / drawn, drawn


def _traces(function: Callable[..., Any], space: ParameterSpace, vector: tf.Tensor, data: Tensors) -> bool:
    """Whether a likelihood takes tensors of a graph. Those of arrays fail in as many ways as there are."""
    try:
        tf.function(function).get_concrete_function(space.from_vector(vector), data)
    except Exception:
        return False
    return True


def _of_arrays(function: Callable[..., Any], names: tuple[str, ...]) -> LogLikelihood:
    def log_likelihood(parameters: Tensors, data: Tensors) -> tf.Tensor:
        def call(*values: np.ndarray) -> np.ndarray:
            given = dict(zip(names, values, strict=False)), dict(zip(data, values[len(names) :], strict=True))
            return np.asarray(function(*given), np.float32)

        return tf.numpy_function(call, [*(parameters[name] for name in names), *data.values()], tf.float32)

    return log_likelihood


def _trial(simulator: Simulator) -> Arrays:
    """An observation of the right shapes, to compile for."""
    context = {} if simulator.context is None else simulator.context.event_shapes
    zeros = {name: np.zeros(shape) for name, shape in {**simulator.observable_shapes, **context}.items()}
    return {**zeros, **{count: np.array(1) for count in simulator.lengths.values()}}


def finite_or_never(log_density: tf.Tensor) -> tf.Tensor:
    """What isn't finite becomes -inf."""
    return tf.where(tf.math.is_finite(log_density), log_density, -np.inf)
