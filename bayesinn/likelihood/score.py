"""A trained likelihood, to be evaluated in graphs: data encoded once, then parameters asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import AnyRows, map_tensors
from bayesinn.core.errors import warn
from bayesinn.core.precision import full_precision
from bayesinn.simulation.simulations import count_rows
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.parameters import ParameterSpace

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
    def evaluate(self, vectors: np.ndarray, encoded: Encoded) -> np.ndarray:
        """Return log likelihoods (n, k) of vectors (k, d), for each of n data sets."""
        trials = tf.nest.flatten(encoded)[0].shape[1]
        size = max(1, _ROWS_PER_CALL // (trials * self.points))
        count = len(tf.nest.flatten(encoded)[0])
        rows = []
        for number in range(count):
            one = map_tensors(lambda value, n=number: tf.constant(value[n : n + 1]), encoded)
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
            # Integers are trained on the unit intervals above them.
            middle = {
                name: value + 0.5 * (name in self.parameters.discrete)
                for name, value in values.items()
            }
            vector = self.parameters.to_vector(middle)[0]
            terms = self._terms(self.parameters.within_reach(vector), rows)
            terms = tf.where(self.parameters.possible(values), terms, -np.inf)
            parts.append(np.reshape(terms, (-1, draws)))
        return np.concatenate(parts)

    def of_parameters(self, parameters: Mapping[str, tf.Tensor], data: Any) -> tf.Tensor:
        """Return :meth:`total` of parameters (n k, *event) and the first trials of each data set.

        ``data`` are all of :func:`padded`, and the number of trials. A loop over a few at a time
        serves any number with one program. It sums gradients, too: no others can be taken.
        """
        encoded, count = data
        vector = self.parameters.within_reach(self.parameters.to_vector(parameters)[0])
        fixed = tf.stop_gradient(vector)

        def add(start: tf.Tensor, value: tf.Tensor, slope: tf.Tensor) -> tuple[tf.Tensor, ...]:
            places = start + tf.range(TRIALS_AT_ONCE)
            some = map_tensors(lambda part: tf.gather(part, places, axis=1), encoded)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(fixed)
                terms = self._each(fixed, some)
                total = tf.reduce_sum(tf.where(places < count, terms, 0.0), axis=-1)
            return start + TRIALS_AT_ONCE, value + total, slope + tape.gradient(total, fixed)

        zero = tf.zeros_like(fixed)
        _, value, slope = tf.while_loop(
            lambda start, *_: start < count, add, (tf.constant(0), zero[:, 0], zero)
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


def padded(encoded: Encoded) -> tuple[Encoded, np.ndarray]:
    """Return encoded data (n, trials, ...) filled up to a size that one program serves; trials."""
    trials = tf.nest.flatten(encoded)[0].shape[1]
    size = _TRIALS_A_PROGRAM
    while size < trials:
        size *= _TRIALS_A_PROGRAM
    places = np.minimum(np.arange(size), trials - 1)
    return map_tensors(lambda value: value[:, places], encoded), np.asarray(trials, np.int32)


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

    def __init__(self, score: Score, simulator: Simulator, seed: int = 0) -> None:
        self.score = score
        self._name = simulator.name
        rows = simulator.sample(_SETS, seed)
        vectors = score.parameters.to_vector({name: rows[name] for name in simulator.prior.names})
        inputs = [*simulator.prior.names, *simulator.context_names]
        moments = []
        for number, vector in enumerate(np.asarray(score.parameters.within_reach(vectors[0]))):
            each = {name: np.repeat(rows[name][number : number + 1], _TRIALS, 0) for name in inputs}
            context = {name: each[name] for name in simulator.context_names}
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
