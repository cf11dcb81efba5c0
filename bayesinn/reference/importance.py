"""Likelihoods of a simulator: importance sampling from the prior, and densities for samplers.

Importance sampling is exact in the limit; the effective sample size says how close the result is.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import logsumexp

from bayesinn.core import seeds
from bayesinn.core.compilation import compiled, map_tensors
from bayesinn.core.errors import InputError, check_draws, warn
from bayesinn.reference.nuts import NUTS
from bayesinn.simulation.simulations import copied, count_rows, join, take
from bayesinn.simulation.simulator import Arrays, Simulator, check_simulator
from bayesinn.spaces.observations import check_one_observation, data_shapes
from bayesinn.spaces.parameters import ParameterSpace

#: Prior draws that are weighted.
DRAWS = 1_000_000
_CHUNK = 100_000
# A draw with a smaller weight, relative to the largest, can't change any table.
_LEAST_LOG_WEIGHT = -30.0


@dataclass(frozen=True)
class ImportancePosterior:
    """Weighted prior draws that represent a posterior.

    - ``parameters``: dict of name to array (m, *event)
    - ``weights`` (m,): they sum to one
    - ``effective_size``: number of independent draws that are as precise; zero for impossible data
    - ``log_evidence``: log of the prior mean of the likelihood
    """

    parameters: Arrays
    weights: np.ndarray
    effective_size: float
    log_evidence: float

    def draws(self, n: int, seed: int) -> Arrays:
        """Return equally weighted draws (n, *event), by resampling."""
        if not len(self.weights):
            raise InputError(
                "Draws from an exact posterior",
                expected="prior draws under which the data have a finite log likelihood",
                got="none",
                do="check the data's units and the likelihood's constraints, or weigh more draws",
            )
        return resample(self.parameters, n, seed, "reference", 1, weights=self.weights)


def resample(
    parameters: Arrays,
    n: int,
    seed: int,
    stream: str,
    *keys: int,
    weights: np.ndarray | None = None,
) -> Arrays:
    """Return draws (n, *event) out of draws (m, *event), by a stream of the seed.

    None is repeated if there are enough, and no weights (m,).
    """
    check_draws(n, {name: value.shape[1:] for name, value in parameters.items()})
    count = count_rows(parameters)
    again = weights is not None or n > count
    rows = seeds.generator(seed, stream, *keys).choice(count, n, replace=again, p=weights)
    return take(parameters, rows)


def importance(
    simulator: Simulator, data: Mapping[str, Any], *, draws: int = DRAWS, seed: int = 0
) -> ImportancePosterior:
    """Weight prior draws by the simulator's ``log_likelihood``, given one observation.

    A million prior draws are enough for few parameters: look at ``effective_size``.
    """
    check_simulator(simulator)
    check_draws(draws, simulator.prior.event_shapes)
    log_likelihood = likelihood_of(simulator)
    observation = check_one_observation(simulator, data).row()
    prior_seed = seeds.tensor_seed(seed, "reference")
    sample = tf.function(simulator.prior.sample, autograph=False)
    kept: list[tuple[Arrays, np.ndarray]] = []
    highest = -np.inf
    log_sums = []
    for number, start in enumerate(range(0, draws, _CHUNK)):
        size = tf.constant(min(_CHUNK, draws - start))
        parameters = {
            name: v.numpy() for name, v in sample(size, seeds.fold_in(prior_seed, number)).items()
        }
        log_weights = check_log_likelihood(
            call_likelihood(log_likelihood, copied(parameters), copied(observation)),
            parameters,
            "Log likelihood",
            # Where simulations fail, so may the likelihood: the prior is truncated.
            nan=simulator.on_nonfinite == "redraw",
        )
        log_sums.append(logsumexp(log_weights))
        highest = max(highest, float(log_weights.max()))
        heavy = log_weights > highest + _LEAST_LOG_WEIGHT
        kept.append((take(parameters, heavy), log_weights[heavy]))
    log_weights = np.concatenate([part[1] for part in kept])
    weights = np.exp(log_weights - logsumexp(log_weights))
    values = join([part[0] for part in kept])
    # No draw has a weight if the data are impossible under all of them.
    effective_size = float(1.0 / np.sum(weights**2)) if len(weights) else 0.0
    log_evidence = float(logsumexp(log_sums) - np.log(draws))
    return ImportancePosterior(values, weights / weights.sum(), effective_size, log_evidence)


def real_numbers(value: Any) -> np.ndarray:
    """Return a copy in double precision; raise TypeError if it isn't one of real numbers."""
    values = np.asarray(value)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"returns a {type(value).__name__} of {values.dtype}, not real numbers")
    return values.astype(np.float64)


def call_likelihood(
    log_likelihood: Callable[..., Any],
    parameters: Mapping[str, Any],
    data: Mapping[str, Any],
    convert: Callable[[Any], Any] = real_numbers,
) -> Any:
    """Return a likelihood's result, converted; an InputError tells what either of them raises."""
    with likelihood_errors(Exception):
        return convert(log_likelihood(parameters, data))


@contextlib.contextmanager
def likelihood_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Tell of errors of these kinds as errors of a likelihood."""
    try:
        yield
    except InputError:
        raise
    except kinds as error:
        lines = str(error).strip().splitlines() or [""]
        raise InputError(
            "Log likelihood",
            expected="a function of (parameters, data), two dicts by name, that returns log "
            "densities (n,) as real numbers",
            got=f"{type(error).__name__}: {lines[0][:300]}",
            do="call it with draws of the prior and one observation; the traceback shows where it "
            "fails",
        ) from error


def check_log_likelihood(
    values: np.ndarray, parameters: Mapping[str, Any], subject: str, *, nan: bool = False
) -> np.ndarray:
    """Return log likelihoods (n,) of parameters (n, *event) in double precision, checked.

    NaN is refused; if ``nan``, it means impossible, -inf.
    """
    count = count_rows(parameters)
    if values.shape != (count,):
        raise InputError(
            subject,
            expected=f"one number for each row of parameters, shape ({count},)",
            got=f"shape {values.shape}",
            do="sum over observables, steps and elements, but not over rows",
        )
    if nan:
        values = np.where(np.isnan(values), -np.inf, values)
    wrong = np.flatnonzero(np.isnan(values) | (values == np.inf))
    if len(wrong):
        example = {name: np.asarray(v)[wrong[0]].tolist() for name, v in parameters.items()}
        raise InputError(
            subject,
            expected="numbers, or -inf where the data are impossible",
            got=f"NaN or inf for {len(wrong)} of {count} draws, the first {example}",
            do="return -inf where a density is zero, and check logarithms and divisions",
        )
    return values


def likelihood_of(
    simulator: Simulator, log_likelihood: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """Return the log likelihood, by default that of a simulator; raise InputError if it has none.

    A function that is not hashable is wrapped, so that the result can be a key.
    """
    if log_likelihood is not None and not callable(log_likelihood):
        raise InputError(
            "Argument 'log_likelihood'",
            expected="a function of parameters and data",
            got=repr(log_likelihood),
            do="pass for example log_likelihood=lambda parameters, data: ...",
        )
    function = simulator.log_likelihood if log_likelihood is None else log_likelihood
    if function is None:
        raise InputError(
            f"Simulator {simulator.name!r}",
            expected="a likelihood, to weigh parameters with",
            got="log_likelihood=None",
            do="declare @bi.simulator(log_likelihood=...), pass log_likelihood=... where there is "
            "such an argument, or compare by simulation with bi.diagnose",
        )
    return function if isinstance(function, Hashable) else functools.partial(function)


Tensors = Mapping[str, tf.Tensor]
LogLikelihood = Callable[[Tensors, Tensors], tf.Tensor]

# A value whose round trip is off by more prior standard deviations than this lies in the last bits
# of its support.
_ROUND_TRIP = 0.1
# Of log likelihoods of one graph and another, relative.
_ROUNDING = 1e-5


class Population(NamedTuple):
    """Particles: unconstrained vectors (n, d), untempered log prior and log likelihood (n,)."""

    vector: tf.Tensor
    log_prior: tf.Tensor
    log_likelihood: tf.Tensor


def evaluate_prior(
    space: ParameterSpace, vector: tf.Tensor
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Return parameters (n, *event) of unconstrained vectors (n, d), and their log prior (n,).

    Log densities that aren't finite become -inf.
    """
    augmented = space.augmented(vector)
    parameters = space.plain(augmented)
    back, log_det = space.to_vector(augmented)
    log_prior = space.prior_log_prob(parameters) - log_det
    # Past the last bits of a bounded support the density stops falling, and particles would drift
    # away.
    exact = tf.reduce_all(tf.abs(back - vector) < _ROUND_TRIP, axis=-1)
    typed = {name: tf.cast(value, space.prior.dtypes[name]) for name, value in parameters.items()}
    return typed, finite_or_never(tf.where(exact, log_prior, -np.inf))


def parameters_of(space: ParameterSpace, vectors: tf.Tensor) -> Arrays:
    """Return parameters (n, *event) of unconstrained vectors (n, d), as arrays."""
    values = space.from_vector(tf.constant(vectors, tf.float32))
    return {name: np.asarray(value, space.prior.dtypes[name]) for name, value in values.items()}


class Target:
    """Log prior and log likelihood of unconstrained vectors, given one observation."""

    def __init__(
        self, space: ParameterSpace, log_likelihood: LogLikelihood, *, nan: bool = False
    ) -> None:
        self.space = space
        self._log_likelihood = log_likelihood
        # Where simulations that fail are drawn again, NaN means impossible.
        self._nan = nan
        #: Number of evaluations so far, in the prior's support, whose likelihood was inf, or NaN
        #: where it may not be: a variable, as they are made inside of compiled loops, some by TFP.
        self.undefined = tf.Variable(0, trainable=False, dtype=tf.int64)

    def draw_prior(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        drawn = self.space.prior.sample(n, seed)
        return self.space.to_vector(self.space.dequantise(drawn, seeds.fold_in(seed, 1)))[0]

    def __call__(self, vector: tf.Tensor, data: Tensors) -> Population:
        """Evaluate vectors (n, d); log densities that aren't finite become -inf."""
        parameters, log_prior = evaluate_prior(self.space, vector)
        log_likelihood = call_likelihood(self._log_likelihood, parameters, data, _real_tensor)
        if not log_likelihood.shape.is_compatible_with(vector.shape[:1]):
            raise InputError(
                "Log likelihood",
                expected="one number for each row of parameters, shape (n,)",
                got=f"shape {tuple(log_likelihood.shape)} for {vector.shape[0]} rows",
                do="sum over observables, steps and elements",
            )
        log_likelihood = tf.ensure_shape(log_likelihood, vector.shape[:1])
        undefined = log_likelihood == np.inf
        if not self._nan:
            undefined |= tf.math.is_nan(log_likelihood)
        # Where the prior has no density, the likelihood is of no concern.
        undefined &= log_prior > -np.inf
        self.undefined.assign_add(tf.math.count_nonzero(undefined))
        return Population(vector, log_prior, finite_or_never(log_likelihood))


def in_graph(
    function: Callable[..., Any], parameters: Tensors, data: Tensors
) -> LogLikelihood | None:
    """Return a likelihood for the use in graphs; None if it refuses their tensors.

    Functions of arrays may refuse. Its operations become part of the graph that calls it: if it
    stayed a function, its gradients would take shapes from it, and XLA would compile them anew for
    each value of the parameters. It stays one if it has an `if` or `while` that depends on tensors.
    """
    polymorphic = tf.types.experimental.PolymorphicFunction
    plain = function.python_function if isinstance(function, polymorphic) else function
    for candidate in (plain, tf.function(plain)):
        try:
            tf.function(candidate, autograph=False).get_concrete_function(parameters, data)
        except Exception:
            continue
        return candidate
    return None


class Traced:
    """A likelihood as a graph keeps it: with globals, closures and attributes as they were.

    Examples
    --------
    >>> scale = [1.0]
    >>> traced = Traced(lambda parameters, data: scale[0] * parameters["a"] * data["y"])
    >>> values = {"a": tf.ones(2)}, {"y": tf.constant(3.0)}
    >>> first = traced.changed(*values)
    >>> scale[0] = 2.0
    >>> first, traced.changed(*values)
    (False, True)
    """

    def __init__(self, log_likelihood: Callable[..., Any]) -> None:
        self._log_likelihood = log_likelihood
        self._traced: Callable[..., Any] | None = None

    def changed(self, parameters: Tensors, data: Tensors) -> bool:
        """Return whether log likelihoods are others than those of the graph of the first call.

        Functions of arrays, which are called and not traced, never change in this sense.
        """
        function = in_graph(self._log_likelihood, parameters, data)
        if function is None:
            return False

        def plain(parameters: Tensors, data: Tensors) -> tf.Tensor:
            # Without arguments that have a default, which concrete functions would ask for.
            return function(parameters, data)

        # Concrete, as TensorFlow warns of functions that calls trace often.
        now = tf.function(plain, autograph=False).get_concrete_function(parameters, data)
        values = now(parameters, data)
        if self._traced is None:
            self._traced = now
            return False
        return not np.allclose(
            values,
            self._traced(parameters, data),
            rtol=_ROUNDING,
            atol=_ROUNDING,
            equal_nan=True,
        )


def tensors_of(
    simulator: Simulator, data: Arrays, *, precise: bool = False
) -> dict[str, tf.Tensor]:
    """Return arrays of one observation as tensors, as likelihoods in the graph take them.

    Observables are of single precision, unless ``precise``. Context has the type in which its
    distribution draws it.
    """
    kind = np.float64 if precise else np.float32
    dtypes = {} if simulator.context is None else simulator.context.dtypes
    return {name: tf.constant(value, dtypes.get(name, kind)) for name, value in data.items()}


def of_arrays(function: Callable[..., Any]) -> LogLikelihood:
    """Return a likelihood of tensors, without gradients, for one that is a function of arrays."""

    def log_likelihood(parameters: Tensors, data: Tensors) -> tf.Tensor:
        def call(*values: np.ndarray) -> np.ndarray:
            # TensorFlow shares its memory with the arrays in and out.
            copies = [value.copy() for value in values]
            densities = function(*tf.nest.pack_sequence_as((parameters, data), copies))
            return real_numbers(densities).astype(np.float32)

        return tf.numpy_function(call, tf.nest.flatten((parameters, data)), tf.float32)

    return log_likelihood


def warn_of_undefined(name: str, undefined: int, evaluations: int) -> None:
    """Warn of likelihoods of a simulator that were NaN or inf and count as zero."""
    if undefined:
        warn(
            f"Log likelihood of {name!r}: NaN or inf in {undefined:,} of {evaluations:,} "
            "evaluations, which count as zero likelihood. Return -inf where the data are "
            "impossible; check logarithms, divisions and overflow elsewhere.",
        )


def _real_tensor(value: Any) -> tf.Tensor:
    tensor = tf.convert_to_tensor(value)
    if not (tensor.dtype.is_floating or tensor.dtype.is_integer):
        raise TypeError(f"returns a tensor of {tensor.dtype.name}, not real numbers")
    return tf.cast(tensor, tf.float32)


def finite_or_never(log_density: tf.Tensor) -> tf.Tensor:
    """Return log densities with -inf for those that aren't finite."""
    return tf.where(tf.math.is_finite(log_density), log_density, -np.inf)


class ExactDensity:
    """Prior times likelihood of a simulator, given one observation, compiled once for all.

    Parameters
    ----------
    simulator : Simulator
    log_likelihood : function ``(parameters, data)``
        Of tensors, if it can be traced (``in_graph``), or of arrays.
    like : ParameterSpace, optional, whose moments standardise vectors; its prior may differ
    """

    def __init__(
        self,
        simulator: Simulator,
        log_likelihood: Callable[..., Any],
        like: ParameterSpace | None = None,
    ) -> None:
        self.simulator = simulator
        # The seed only decides the moments that standardise the vector.
        self.space = ParameterSpace(simulator.prior, seed=0)
        if like is not None:
            if like.event_shapes != self.space.event_shapes:
                raise InputError(
                    "Posterior to start from",
                    expected=f"one of parameters with the shapes {self.space.event_shapes}",
                    got=f"{like.event_shapes}",
                    do="train it on this simulator, or pass draws of these parameters",
                )
            self.space.mean = like.mean
            self.space.scale = like.scale
        # Any observation of the correct shapes, to compile with.
        ones = {name: np.ones(shape) for name, shape in data_shapes(simulator).items()}
        self.any_data = tensors_of(simulator, ones)
        trial = simulator.prior.sample(2, seeds.tensor_seed(0, "pilot"))
        of_tensors = in_graph(log_likelihood, trial, self.any_data)
        self.in_graph = of_tensors is not None
        self.log_likelihood = log_likelihood
        self._call = tf.function(of_tensors) if of_tensors else log_likelihood
        self._traced = Traced(log_likelihood)
        # Where simulations fail, so may the likelihood: the prior is truncated.
        self._redraws = simulator.on_nonfinite == "redraw"
        function = of_tensors or of_arrays(log_likelihood)
        self.target = Target(self.space, function, nan=self._redraws)
        self.sampler = NUTS(self._of_chains)

    def log_density(
        self, parameters: Arrays, data: Arrays, which: str, *, far: bool = False
    ) -> np.ndarray:
        """Return log densities (n,) of parameters (n, *event), checked; ``which`` observation.

        Where parameters are ``far`` from the data, what is undefined counts as zero, and is
        counted.
        """
        typed = self._typed(parameters)
        subject = f"Log likelihood of {which}"
        given = self.tensors(data)
        arguments: Any = typed, given
        if not self.in_graph:
            arguments = map_tensors(lambda value: value.numpy().copy(), arguments)
        log_likelihood = call_likelihood(self._call, *arguments)
        if far:
            undefined = np.isnan(log_likelihood) | (log_likelihood == np.inf)
            wrong = undefined & ~(self._redraws & np.isnan(log_likelihood))
            self.target.undefined.assign_add(np.sum(wrong))
            log_likelihood = np.where(undefined, -np.inf, log_likelihood)
        values = check_log_likelihood(log_likelihood, typed, subject, nan=self._redraws)
        count = len(values)
        if not far and count > 1 and np.isfinite(values[0]) and np.all(values == values[0]):
            warn(
                f"{subject} is the same for all {count:,} draws: check that it uses parameters.",
            )
        log_prior = self.log_prior(parameters)
        return np.where(np.isfinite(log_prior), values + log_prior, -np.inf)

    def log_prior(self, parameters: Arrays) -> np.ndarray:
        """Return log prior densities (n,) of parameters (n, *event)."""
        return self.space.prior_log_prob(self._typed(parameters)).numpy()

    def outdated(self, parameters: Arrays, data: Arrays) -> bool:
        """Return whether the likelihood of parameters (n, *event) has changed since it was traced.

        Ask a new density at once: the first call traces its likelihood.
        """
        return self._traced.changed(self._typed(parameters), self.tensors(data))

    def tensors(self, data: Arrays) -> dict[str, tf.Tensor]:
        """Return the arrays of one observation as tensors."""
        return tensors_of(self.simulator, data, precise=not self.in_graph)

    def vectors(self, parameters: Arrays) -> np.ndarray:
        """Return unconstrained vectors (n, d) of parameters (n, *event)."""
        return self.space.vectors(parameters)

    def parameters(self, vectors: np.ndarray) -> Arrays:
        """Return parameters (n, *event) of unconstrained vectors (n, d)."""
        return parameters_of(self.space, vectors)

    def _typed(self, parameters: Arrays) -> dict[str, tf.Tensor]:
        dtypes = self.simulator.prior.dtypes
        return {name: tf.constant(parameters[name], dtypes[name]) for name in self.space.names}

    def of_vectors(self, vectors: tf.Tensor, data: Tensors) -> tf.Tensor:
        """Return log densities (n,) of unconstrained vectors (n, d), in the graph."""
        evaluated = self.target(vectors, data)
        return evaluated.log_prior + evaluated.log_likelihood

    @functools.cached_property
    def obstacle(self) -> str:
        """Why NUTS can't use it; empty if it can."""
        if not self.in_graph:
            return "a likelihood of arrays has no gradients"

        def slope(vectors: tf.Tensor, data: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(vectors)
                value = self.of_vectors(vectors, data)
            return value, tape.gradient(value, vectors)

        trial = tf.zeros((2, self.space.dimension)), self.any_data
        before = self.target.undefined.numpy()
        note = compiled(slope, *trial, xla="auto", subject="the likelihood").note
        # Of made-up data, likelihoods may be undefined.
        self.target.undefined.assign(before)
        return note

    def _of_chains(self, vectors: tf.Tensor, data: Tensors) -> tf.Tensor:
        """Return log densities (1, chains) of vectors (1, chains, d) and data (1, ...)."""
        return self.of_vectors(vectors[0], {name: value[0] for name, value in data.items()})[None]
