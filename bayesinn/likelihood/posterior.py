"""Posteriors of any number of trials from a learned likelihood and a prior, sampled by NUTS.

First the contract of what is learned (:class:`Score`), then its errors, the posterior, and the
estimators that have one.
"""

from __future__ import annotations

import copy
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core import seeds
from bayesinn.core.compilation import AnyRows, full_precision, map_tensors
from bayesinn.core.errors import InputError, check_draws, check_integer, check_type, warn
from bayesinn.core.progress import Progress
from bayesinn.estimators.estimator import Estimator
from bayesinn.posterior.answers import inference_data, prior_terms
from bayesinn.posterior.posterior import Posterior
from bayesinn.reference.importance import Target
from bayesinn.reference.nuts import NUTS, Convergence
from bayesinn.reference.smc import next_temperature
from bayesinn.simulation.derived import derived_simulator
from bayesinn.simulation.prior import Entry, Prior, support_of
from bayesinn.simulation.simulations import count_rows, join, take
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import (
    Observations,
    axes,
    check_observations,
    data_shapes,
    warn_of_missing,
)
from bayesinn.spaces.parameters import ParameterSpace

if TYPE_CHECKING:
    import xarray


# Evaluations of the network in one call.
_ROWS_PER_CALL = 100_000

#: Trials whose likelihoods chains evaluate together.
TRIALS_AT_ONCE = 8
# Programs are compiled for up to so many trials, and for each power of it beyond.
_TRIALS_A_PROGRAM = 128

#: Nested tensors (n, ...) of one structure.
Encoded = Any


class Score(ABC):
    """Log likelihoods of single trials, up to a constant for each; and of several, their sum.

    An author writes :meth:`encode` and :meth:`term`.
    """

    #: Evaluations of the network for one trial.
    points: int = 1

    def __init__(self, parameters: ParameterSpace) -> None:
        self.parameters = parameters
        self._compiled = AnyRows(self.total, leading=(1, 2))
        self._terms = AnyRows(self.term, leading=(1, 1))
        self._slopes = AnyRows(self._slopes_graph, leading=(1, 1))

    @abstractmethod
    def encode(self, data: Arrays) -> Encoded:
        """Return what :meth:`term` needs of checked observables and context (n, ...)."""

    @abstractmethod
    def term(self, vector: tf.Tensor, encoded: Encoded) -> tf.Tensor:
        """Return log likelihoods (n,) of one trial for each of n parameter vectors (n, d)."""

    def total(self, vector: tf.Tensor, encoded: Encoded) -> tf.Tensor:
        """Return log likelihoods (n k,) of k vectors for each of n data sets (n, trials, ...).

        Vectors are (n k, d).
        """
        return tf.reduce_sum(self._each(vector, encoded), axis=-1)

    def _each(self, vector: tf.Tensor, encoded: Encoded) -> tf.Tensor:
        """Return log likelihoods (n k, trials) of each trial."""
        first = tf.nest.flatten(encoded)[0]
        trials = _size(first, 1)
        each = _size(vector, 0) // _size(first, 0)

        def spread(value: tf.Tensor) -> tf.Tensor:
            repeated = tf.repeat(value, each, axis=0)
            return tf.reshape(repeated, (-1, *value.shape[2:]))

        rows = map_tensors(spread, encoded)
        terms = self.term(tf.repeat(vector, trials, axis=0), rows)
        return tf.reshape(terms, (-1, trials))

    @full_precision()
    def evaluate(self, vectors: np.ndarray, encoded: Encoded, counts: np.ndarray) -> np.ndarray:
        """Return log likelihoods (n, k) of vectors (k, d), for each of n data sets.

        They are those of the first trials of each data set, ``counts`` (n,).
        """
        rows = []
        for number, trials in enumerate(counts):
            size = max(1, _ROWS_PER_CALL // (trials * self.points))
            one = map_tensors(
                lambda value, n=number, m=trials: tf.constant(value[n : n + 1, :m]), encoded
            )
            parts = [
                self._compiled(tf.constant(vectors[start : start + size]), one)
                for start in range(0, len(vectors), size)
            ]
            rows.append(np.concatenate(parts))
        return np.stack(rows)

    @full_precision()
    def pairs(self, parameters: Arrays, encoded: Encoded) -> np.ndarray:
        """Return log likelihoods (n, draws) of parameters (n, draws, *event), a trial for each n.

        They are -inf outside the support of the prior.
        """
        draws = next(iter(parameters.values())).shape[1]
        size = max(1, _ROWS_PER_CALL // (draws * self.points))
        parts = []
        for start in range(0, count_rows(parameters), size):
            chosen = slice(start, start + size)
            values = {
                name: tf.constant(value[chosen].reshape(-1, *value.shape[2:]), tf.float32)
                for name, value in parameters.items()
            }
            rows = map_tensors(
                lambda value, chosen=chosen: tf.repeat(value[chosen], draws, axis=0), encoded
            )
            vector = self.parameters.to_vector(self.parameters.middle(values))[0]
            terms = self._terms(self.parameters.within_reach(vector), rows)
            terms = tf.where(self.parameters.possible(values), terms, -np.inf)
            parts.append(np.reshape(terms, (-1, draws)))
        return np.concatenate(parts)

    def of_parameters(self, parameters: Mapping[str, tf.Tensor], data: Any) -> tf.Tensor:
        """Return :meth:`total` of parameters (n k, *event) and the first trials of each data set.

        ``data`` are all of :func:`padded`, and the numbers of trials (n,). A loop over a few at a
        time serves any number with one program. It sums gradients, too: no others can be taken.
        """
        encoded, counts = data
        most = tf.reduce_max(counts)
        vector = self.parameters.within_reach(self.parameters.to_vector(parameters)[0])
        fixed = tf.stop_gradient(vector)
        last = tf.repeat(counts, _size(fixed, 0) // _size(counts, 0))[:, None]

        def add(start: tf.Tensor, value: tf.Tensor, slope: tf.Tensor) -> tuple[tf.Tensor, ...]:
            places = start + tf.range(TRIALS_AT_ONCE)
            some = map_tensors(lambda part: tf.gather(part, places, axis=1), encoded)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(fixed)
                terms = self._each(fixed, some)
                total = tf.reduce_sum(tf.where(places < last, terms, 0.0), axis=-1)
            return start + TRIALS_AT_ONCE, value + total, slope + tape.gradient(total, fixed)

        zero = tf.zeros_like(fixed)
        _, value, slope = tf.while_loop(
            lambda start, *_: start < most, add, (tf.constant(0), zero[:, 0], zero)
        )
        # Of this value and slope, as the tape sees neither.
        value = tf.stop_gradient(value)
        slope = tf.stop_gradient(tf.where(tf.math.is_finite(slope), slope, 0.0))
        return value + tf.reduce_sum(slope * (vector - fixed), axis=-1)

    @full_precision()
    def slopes(self, vectors: np.ndarray, encoded: Encoded) -> np.ndarray:
        """Return gradients (n, d) of log likelihoods of a trial each by vectors (n, d)."""
        return self._slopes(np.asarray(vectors, np.float32), encoded).numpy()

    def _slopes_graph(self, vector: tf.Tensor, encoded: Encoded) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(vector)
            terms = self.term(vector, encoded)
        return tape.gradient(terms, vector)


def padded(encoded: Encoded) -> Encoded:
    """Return encoded data (n, trials, ...) filled up to a size that one program serves."""
    trials = tf.nest.flatten(encoded)[0].shape[1]
    size = _TRIALS_A_PROGRAM
    while size < trials:
        size *= _TRIALS_A_PROGRAM
    places = np.minimum(np.arange(size), trials - 1)
    return map_tensors(lambda value: value[:, places], encoded)


def _size(value: tf.Tensor, axis: int) -> int | tf.Tensor:
    """Return the size of an axis, as a plain number where it is known."""
    known = value.shape[axis]
    return tf.shape(value)[axis] if known is None else known


# Of the posterior's sd: errors that shift posteriors by less are hard to see.
_MOST_SHIFT = 0.2
# Parameters, and trials simulated of each.
_SETS = 50
_TRIALS = 2_000
_COUNTS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200)


class TrialErrors:
    """How far errors of a likelihood shift posteriors of several trials, measured by simulation.

    The gradient of the log likelihood, the score, has a mean of zero over data of its parameters.
    That of a learned likelihood has a bias. It shifts the posterior of n trials by n times the
    bias, divided by the precision, which is n times the covariance of the score, and that of the
    prior. In units of the posterior's sd, the shift grows as the root of n.

    Attributes
    ----------
    most_trials : int
        Number of trials up to which the shift, a root mean square over the prior, is below 0.2 sd;
        200 where it is for all that can be measured, 0 where it is for none.
    """

    def __init__(
        self, score: Score, simulator: Simulator, seed: int = 0, per_trial: Collection[str] = ()
    ) -> None:
        self.score = score
        self.per_trial = frozenset(per_trial)
        self._name = simulator.name
        rows = simulator.sample(_SETS, seed)
        vectors = score.parameters.to_vector({name: rows[name] for name in simulator.prior.names})
        inputs = [*simulator.prior.names, *simulator.context_names]
        moments = []
        for number, vector in enumerate(np.asarray(score.parameters.within_reach(vectors[0]))):
            each = {name: np.repeat(rows[name][number : number + 1], _TRIALS, 0) for name in inputs}
            context = {name: each[name] for name in simulator.context_names}
            if simulator.context is not None and per_trial:
                own_seed = seeds.tensor_seed(seed, "context", number)
                drawn = simulator.context.sample(_TRIALS, own_seed)
                context |= {name: drawn[name].numpy() for name in per_trial}
            parameters = {name: each[name] for name in simulator.prior.names}
            own = seeds.integer_seed(seed, "trials", number)
            data = simulator.simulate(parameters, own, context or None)
            encoded = score.encode({**data, **context})
            slopes = score.slopes(np.repeat(vector[None], _TRIALS, 0), encoded).astype(np.float64)
            slopes = slopes[np.isfinite(slopes).all(axis=1)]
            if len(slopes) > 1:
                moments.append((slopes.mean(axis=0), np.atleast_2d(np.cov(slopes.T)), len(slopes)))
        self._moments = moments
        reached = [count for count in _COUNTS if self.shift(count)[0] <= _MOST_SHIFT]
        self.most_trials = max(reached, default=0)

    def shift(self, trials: int) -> tuple[float, float]:
        """Return the shift of posteriors of so many trials, in sds, and the smallest one seen."""
        squares = []
        noise = []
        for mean, covariance, count in self._moments:
            # Parameter vectors are standardised: the prior's precision is one.
            precision = trials * covariance + np.eye(len(mean))
            seen = trials**2 * mean @ np.linalg.solve(precision, mean)
            chance = trials**2 * np.trace(np.linalg.solve(precision, covariance)) / count
            squares.append((seen - chance) / len(mean))
            noise.append(chance / len(mean) * np.sqrt(2.0 / len(mean)))
        least = 3.0 * np.sqrt(np.sum(np.square(noise))) / len(noise)
        return float(np.sqrt(max(np.mean(squares), 0.0))), float(np.sqrt(least))

    def warn(self, trials: int) -> None:
        """Warn if errors of so many trials shift posteriors."""
        shift, least = self.shift(trials)
        if shift > np.hypot(_MOST_SHIFT, least):
            warn(
                f"The learned likelihood of {self._name!r} holds for up to {self.most_trials:,} "
                f"trials: errors add up, and those of {trials:,} shift posteriors by {shift:.2g} "
                "of their sd. Train longer, or with more simulations."
            )


# Prior draws from which the chains of an observation start, and how many of them must share the
# weight, for each chain: the likelihood is tempered until they do, so that several modes are found.
_PRIOR_DRAWS = 2_048
_STARTS_A_CHAIN = 4
# Fewest draws of each chain: R-hat of fewer draws is not reliable.
_FEWEST_STEPS = 250
# Number of evaluations of the network at once.
_ROWS_AT_ONCE = 30_000


class VectorDensity:
    """The density of unconstrained vectors from a prior and a likelihood, and what samples it.

    Compiling the sampler takes longer than sampling: posteriors of one prior share it.
    """

    def __init__(self, prior: Prior, score: Score) -> None:
        self.score = score
        self.space = ParameterSpace(prior, seed=0)
        self.target = Target(self.space, score.of_parameters)
        self.sampler = NUTS(self._log_density)

    def _log_density(self, vector: tf.Tensor, encoded: Any) -> tf.Tensor:
        """Return log densities (n_obs, chains) of vectors (n_obs, chains, d)."""
        rows = tf.reshape(vector, (-1, self.space.dimension))
        found = self.target(rows, encoded)
        return tf.reshape(found.log_prior + found.log_likelihood, vector.shape[:2])


class Sampled(NamedTuple):
    """Draws (n_obs, chains, draws, *event), log densities (n_obs, chains, draws), statistics."""

    draws: Arrays
    log_density: np.ndarray
    convergence: Convergence


class LikelihoodPosterior(Posterior):
    """The posterior of parameters given independent trials; made by ``likelihood.posterior(...)``.

    Chains start at prior draws to which a tempered likelihood gives weight. They move in the
    unconstrained space; see :class:`bayesinn.reference.nuts.NUTS`. There is no normalised density;
    the unnormalised density of draws is ``lp`` in :meth:`infer`.

    Attributes
    ----------
    simulator : Simulator
        Simulator of all trials of a data set, with the prior of the posterior.
    """

    def __init__(
        self,
        simulator: Simulator,
        density: VectorDensity,
        trials: int | None,
        observed: Mapping[str, Any] | None,
        chains: int,
        errors: Callable[[], TrialErrors] | None = None,
    ) -> None:
        self.simulator = simulator
        self.trials = trials
        self.chains = chains
        self._density = density
        self._score = density.score
        self._space = density.space
        self._errors = errors
        self.observed: dict[str, Any] | None = None
        if observed is not None:
            self._check(observed)
            # What becomes of the user's arrays later was not observed.
            self.observed = copy.deepcopy(dict(observed))

    def sample(
        self, data: Mapping[str, Any] | None = None, *, draws: int = 1_000, seed: int = 0
    ) -> Arrays:
        """Draw from the posterior of each data set, by default of the observed data.

        Parameters
        ----------
        data : dict of name to array (n_obs, [trials,] ...), observables and context
            Or one data set, without the first axis.
        draws, seed : int

        Returns
        -------
        dict of parameter to array (n_obs, draws, *event), or (draws, *event)
            Draws of all chains in turn. A warning names chains that have not converged.
        """
        observations = self._check(data)
        count = check_draws(draws, self.simulator.prior.event_shapes, observations.count)
        sampled = self._run(observations, count, seed)
        values = {
            name: np.moveaxis(value, 1, 2).reshape(len(value), -1, *value.shape[3:])[:, :count]
            for name, value in sampled.draws.items()
        }
        return observations.all_like_data(values)

    def infer(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        draws: int = 1_000,
        seed: int = 0,
        predictive: bool = True,
        progress: bool = False,
    ) -> xarray.DataTree:
        """Return posterior draws and all that ArviZ needs; see :meth:`AmortizedPosterior.infer`.

        There are several chains, of equal length: ``draws``, the number of all of them together, is
        rounded up to a multiple of the chains. ``lp`` is unnormalised. The group ``convergence``
        has R-hat and effective sample sizes of each parameter.
        """
        observations = self._check(data)
        count = check_draws(draws, self.simulator.prior.event_shapes, observations.count)
        sampled = self._run(observations, count, seed)
        joined = {
            name: value.reshape(len(value), -1, *value.shape[3:])
            for name, value in sampled.draws.items()
        }
        density = sampled.log_density.reshape(observations.count, -1)
        tree = inference_data(
            self.simulator,
            observations,
            joined,
            density,
            None,
            seed,
            predictive,
            progress,
            self.chains,
            prior_terms(self._space, joined),
        )
        tree["convergence"] = sampled.convergence.tree(self.simulator, observations.batched)
        return tree

    def about(self) -> dict[str, str]:
        return {
            "Posterior": f"{self.chains} chains of NUTS",
            "Trials": "one" if self.trials is None else f"{self.trials}",
        }

    def __repr__(self) -> str:
        return f"LikelihoodPosterior of {self.simulator.name!r}, {self.chains} chains of NUTS"

    def _check(self, data: Mapping[str, Any] | Observations | None) -> Observations:
        data = self.observed if data is None else data
        if data is None:
            raise InputError(
                f"{self!r}",
                expected="data, as nothing was observed when the posterior was made",
                got="none",
                do="pass them, or make it with likelihood.posterior(observed)",
            )
        observations = check_observations(self.simulator, data)
        if observations is not data:
            warn_of_missing(self.simulator, observations)
        return observations

    def _run(self, observations: Observations, draws: int, seed: int) -> Sampled:
        encoded, counts = self._encode(observations)
        if self._errors is not None and self.trials is not None and self.trials > 1:
            self._errors().warn(self.trials)
        rows = self.chains * TRIALS_AT_ONCE * self._score.points
        # In groups of equal size, so that one program serves all; the last is filled up.
        groups = -(-observations.count // max(1, _ROWS_AT_ONCE // rows))
        size = -(-observations.count // groups)
        parts = []
        for number, start in enumerate(range(0, observations.count, size)):
            chosen = np.minimum(np.arange(start, start + size), observations.count - 1)
            part = map_tensors(lambda value, chosen=chosen: value[chosen], encoded)
            own = seeds.integer_seed(seed, "nuts", number)
            parts.append(self._run_group(part, counts[chosen], draws, own))
        drawn, densities, divergences = zip(*parts, strict=True)
        values = take(join(drawn), slice(observations.count))
        log_density = np.concatenate(densities)[: observations.count]
        diverged = np.concatenate(divergences)[: observations.count]
        convergence = Convergence.measure(values, diverged)
        convergence.warn(f"{self.simulator.name!r}")
        # Evenly along the chains, which are longer than was asked for.
        each = -(-draws // self.chains)
        kept = np.linspace(0, log_density.shape[2] - 1, each).round().astype(int)
        values = {name: value[:, :, kept] for name, value in values.items()}
        return Sampled(values, log_density[:, :, kept], convergence)

    def _run_group(
        self, encoded: Any, counts: np.ndarray, draws: int, seed: int
    ) -> tuple[Any, ...]:
        steps = max(-(-draws // self.chains), _FEWEST_STEPS)
        start = self._starts(encoded, counts, seed)
        data = padded(encoded), counts
        sampler = self._density.sampler
        with Progress("NUTS", shown=not sampler.compiled(start, data)) as progress:
            progress.stage("compiling the sampler, once for any number of trials")
            chains = sampler.run(start, data, draws=steps, seed=seed)
        augmented = self._space.augmented(
            tf.constant(chains.vectors.reshape(-1, self._space.dimension))
        )
        flat = self._space.plain(augmented)
        shape = chains.log_density.shape
        values = {
            name: value.numpy().reshape(*shape, *value.shape[1:]) for name, value in flat.items()
        }
        # From the density of vectors to that of parameters.
        log_det = self._space.to_vector(augmented)[1].numpy().reshape(shape)
        return values, chains.log_density + log_det, chains.diverged

    def _encode(self, observations: Observations) -> tuple[Any, np.ndarray]:
        """Return what the likelihood needs of all trials, nested arrays (n_obs, trials, ...).

        Also return the numbers of trials (n_obs,) of each data set, which come first.
        """
        trials, counts = self._trials(observations)
        shape = next(iter(trials.values())).shape[:2]
        encoded = self._score.encode(
            {name: value.reshape(-1, *value.shape[2:]) for name, value in trials.items()}
        )
        return map_tensors(
            lambda value: np.asarray(value).reshape(*shape, *value.shape[1:]), encoded
        ), counts

    def _trials(self, observations: Observations) -> tuple[Arrays, np.ndarray]:
        """Return observables and context (n_obs, trials, ...) of each trial; counts (n_obs,).

        Trials that are missing come last, as copies of one that is not. They are not counted.
        """
        arrays = observations.arrays
        if self.trials is None:
            each = {name: value[:, None] for name, value in arrays.items()}
            return each, np.ones(observations.count, np.int32)
        there = np.ones((observations.count, self.trials), bool)
        for name in self.simulator.observable_shapes if self.simulator.missing is None else ():
            values = arrays[name].reshape(*there.shape, -1)
            there &= ~np.isnan(values).any(axis=2)
        counts = there.sum(axis=1, dtype=np.int32)
        if not counts.all():
            which = f" in observation {np.argmin(counts)}" if observations.batched else ""
            raise InputError(
                f"Data for {self.simulator.name!r}",
                expected="one trial or more that is not missing",
                got=f"NaN in each of {self.trials:,}{which}",
                do="leave this data set out: its posterior is the prior",
            )
        places = np.argsort(~there, axis=1, kind="stable")
        last = np.minimum(np.arange(self.trials), counts[:, None] - 1)
        places = np.take_along_axis(places, last, axis=1)
        rows = np.arange(observations.count)[:, None]
        each = {
            name: value[rows, places]
            if name in self.simulator.per_trial
            else np.repeat(value[:, None], self.trials, axis=1)
            for name, value in arrays.items()
        }
        return each, counts

    def _starts(self, encoded: Any, counts: np.ndarray, seed: int) -> tf.Tensor:
        """Return vectors (n_obs, chains, d) drawn from the prior by a tempered likelihood."""
        vectors = self._density.target.draw_prior(_PRIOR_DRAWS, seeds.tensor_seed(seed, "prior"))
        draws = self._space.from_vector(vectors)
        known = self._score.parameters.to_vector(draws)[0].numpy()
        likelihood = self._score.evaluate(known, encoded, counts)
        share = min(0.5, _STARTS_A_CHAIN * self.chains / _PRIOR_DRAWS)
        generator = seeds.generator(seed, "starts")
        starts = []
        for row in likelihood:
            finite = np.flatnonzero(np.isfinite(row))
            if len(finite) < self.chains:
                raise InputError(
                    f"Data for {self.simulator.name!r}",
                    expected=f"{self.chains} prior draws under which the data are possible",
                    got=f"{len(finite)} of {_PRIOR_DRAWS:,}",
                    do="check their units, and what is constant, or whole, in simulations",
                )
            least = min(0.9, share * len(row) / len(finite))
            _, weights, _ = next_temperature(row[finite], 0.0, least)
            chosen = generator.choice(finite, self.chains, replace=False, p=weights / weights.sum())
            starts.append(vectors.numpy()[chosen])
        return tf.constant(np.stack(starts))


tfd = tfp.distributions

_CHECKED_DRAWS = 2_000


class TrialLikelihood(ABC):
    """The likelihood of one trial, up to a factor that doesn't depend on the parameters.

    An author writes :meth:`score`.
    """

    simulator: Simulator
    #: Whether it is zero, and not merely unknown, for parameters whose simulations fail.
    excludes_failures: ClassVar[bool] = False
    _known: VectorDensity | None = None
    _errors: TrialErrors | None = None

    @abstractmethod
    def score(self) -> Score:
        """Return the evaluator of the trained likelihood."""

    def posterior(
        self,
        observed: Mapping[str, Any] | None = None,
        *,
        prior: Mapping[str, Entry] | tfd.JointDistributionNamed | None = None,
        trials: int | None = None,
        per_trial: str | Collection[str] = (),
        chains: int = 8,
    ) -> LikelihoodPosterior:
        """Return the posterior, sampled by NUTS.

        Trials with NaN in any observable are missing, and left out of the sum of log likelihoods.
        This is correct if whether a trial is missing doesn't depend on what it would have shown.
        Where the simulator declares missing values, the network sees them, and nothing is left out.

        Parameters
        ----------
        observed : dict of name to array
            The default data of the posterior: observables (...) as the simulator declares them, or
            (trials, ...) of independent trials with the same parameters. Context is (trials, ...)
            if each trial has its own, such as a difficulty, and without that axis if all share it.
        prior : dict of TFP distributions
            Prior in place of the simulator's, for the same parameters and inside its support. Far
            from the simulator's prior, the likelihood was never trained.
        trials : int
            Number of independent trials in each data set, if ``observed`` is left out.
        per_trial : str, or several
            Names of the context of which each trial has its own, if ``observed`` is left out.
        chains : int, number of chains, 2 or more

        Examples
        --------
        >>> import bayesinn as bi
        >>> likelihood = bi.AmortizedLikelihood(bi.get_simulator("linear"))
        >>> _ = likelihood.fit(steps=20, batch_size=64, seed=1, progress=False)
        >>> likelihood.posterior({"y": [1.5, 1.1, 0.9]}).simulator.observable_shapes
        {'y': (3,)}
        """
        simulator = self.simulator
        names = {per_trial} if isinstance(per_trial, str) else set(per_trial)
        if observed is not None:
            trials, more = self._count_trials(observed, trials)
            names |= more
        if trials is not None:
            trials = check_integer("Argument 'trials'", trials)
        if names and (trials is None or not names <= {*simulator.context_names}):
            raise InputError(
                "Argument 'per_trial'",
                expected=f"context of several trials, among {list(simulator.context_names)}",
                got=f"{sorted(names, key=str)}, trials={trials}",
                do="pass trials=..., and names as the simulator declares them",
            )
        check_integer("Argument 'chains'", chains, least=2)
        space = self.score().parameters
        if space.discrete:
            raise InputError(
                f"Posterior of {simulator.name!r} by NUTS",
                expected="continuous parameters, which chains can move in",
                got=f"integers: {list(space.discrete)}",
                do="use bi.AmortizedPosterior, or round a continuous parameter in the simulator",
            )
        if prior is not None:
            _check_prior(Prior(prior), space)
        elif simulator.on_nonfinite == "redraw" and not self.excludes_failures:
            warn(
                f"The prior of {simulator.name!r} includes parameters for which simulations fail, "
                "where nothing was learned. Pass posterior(prior=...) without them if there are "
                "some, or use bi.AmortizedPosterior, whose prior is that of parameters that succeed"
            )
        own = [name for name in simulator.context_names if name in names]
        derived = derived_simulator(simulator, trials, prior, per_trial=own)
        density = self._density() if prior is None else VectorDensity(derived.prior, self.score())
        # Others may take hours for so many simulations.
        cheap = simulator.simulates and simulator.in_graph
        errors = functools.partial(self.trial_errors, own) if cheap else None
        return self._posterior(derived, density, trials, observed, chains, errors)

    def _posterior(self, *parts: Any) -> LikelihoodPosterior:
        """Return the posterior of its parts; another class may check more."""
        return LikelihoodPosterior(*parts)

    def trial_errors(self, per_trial: Collection[str] = ()) -> TrialErrors:
        """Measure how far errors, which add up over trials, shift posteriors of several trials.

        It takes 100,000 simulations, once for each training. Posteriors of several trials ask for
        it before they are first sampled, if the simulator is one of TensorFlow or JAX. Context that
        is named in ``per_trial`` differs between the trials.

        Returns
        -------
        TrialErrors
            With ``most_trials``, the number up to which the likelihood holds, and ``shift(trials)``
        """
        if not self.simulator.simulates:
            raise InputError(
                f"Errors of the likelihood of {self.simulator.name!r}",
                expected="a simulator that can be run, to measure them",
                got="stored simulations",
                do="diagnose likelihood.posterior(trials=...) on data sets that were kept aside",
            )
        score = self.score()
        known = self._errors
        if known is None or known.score is not score or known.per_trial != frozenset(per_trial):
            self._errors = known = TrialErrors(score, self.simulator, per_trial=per_trial)
        return known

    def _density(self) -> VectorDensity:
        """Return the density with the simulator's own prior, made once for each training."""
        score = self.score()
        if self._known is None or self._known.score is not score:
            self._known = VectorDensity(self.simulator.prior, score)
        return self._known

    def _count_trials(
        self, observed: Mapping[str, Any], trials: int | None
    ) -> tuple[int | None, set[str]]:
        """Return the number of trials that were observed; None for data without such an axis.

        Also return the names of the context that has it.
        """
        do = "pass observables and context by name"
        check_type("Argument 'observed'", observed, Mapping, "a dict of name to array", do)
        counts = {}
        shapes = data_shapes(self.simulator)
        for name, shape in shapes.items():
            more = axes(observed[name]) - len(shape) if name in observed else 0
            if more > 1:
                raise InputError(
                    f"Argument 'observed', {name!r}",
                    expected=f"one data set, {shape} or (trials, ...)",
                    got=f"an array with {more} axes more than that",
                    do="for several data sets: likelihood.posterior(trials=n).sample(data)",
                )
            if more == 1:
                counts[name] = len(observed[name])
        if 0 in counts.values():
            raise InputError(
                "Argument 'observed'",
                expected="one trial or more",
                got=f"{counts}",
                do="draw from the prior, which is the posterior without trials",
            )
        numbers = set(counts.values())
        if counts and trials is not None:
            numbers.add(trials)
        if len(numbers) > 1:
            raise InputError(
                "Argument 'observed'",
                expected="the same number of trials under each name that has an axis of trials",
                got=f"{counts}" if trials is None else f"{counts}, trials={trials}",
                do="count them; context that all trials share has no such axis",
            )
        more_names = {name for name in counts if name in self.simulator.context_names}
        return next(iter(counts.values()), trials), more_names


class LikelihoodEstimator(TrialLikelihood, Estimator):
    """A likelihood that is trained; an author writes :meth:`score`."""

    ask = (
        "make its posterior in Python: bi.load(folder).posterior(observed), or "
        ".posterior(trials=n) to diagnose"
    )
    simulated = True
    simulator: Simulator


def _check_prior(prior: Prior, space: ParameterSpace) -> None:
    """Refuse a prior of other parameters, or outside the support of the training prior."""
    subject = "Argument 'prior'"
    if prior.event_shapes != space.event_shapes:
        raise InputError(
            subject,
            expected=f"a prior of {space.event_shapes}",
            got=f"{prior.event_shapes}",
            do="name the parameters as the simulator does",
        )
    draws = prior.sample(_CHECKED_DRAWS, seeds.tensor_seed(0, "prior"))
    laws = {name: prior.distribution(name, draws) for name in prior.names}
    integers = [name for name, law in laws.items() if support_of(name, law).discrete]
    if integers:
        raise InputError(
            subject,
            expected="continuous parameters, which chains can move in",
            got=f"integers: {integers}",
            do="give them continuous distributions",
        )
    share = float(tf.reduce_mean(tf.cast(space.possible(draws), tf.float32)))
    if share < 1.0:
        raise InputError(
            subject,
            expected="a prior inside the support of the one that the likelihood was trained on",
            got=f"{100 * (1.0 - share):.2g} % of its draws outside",
            do="narrow it, or train with a wider prior",
        )
