"""Fisher scoring: a damped Newton's method with the expected information, for many data sets.

It treats the data sets at once.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from .straightening import difference_points
from .working_model import WorkingModel

# Added to the diagonal of the information matrix, in turn.
_DAMPINGS = np.array((0.0, 3.0, 30.0, 300.0, 3000.0))
# At this information, in units of the prior's, elements compensate half: a ridge is then much
# thinner than the prior.
_HALF_INFORMATION = 10.0
# In prior standard deviations; the first is that of difference quotients.
_DIFFERENCE = 0.01
_LONGEST_STEP = 1.0
_SMALLEST_SD = 1e-3
# A fit has ended when its log density grows by less than this in a round.
_ENDED = 0.1
# Further rounds are for the eighth of a batch that improves most.
_SHARES = 8


class Rounds(NamedTuple):
    """How long a fit goes on; see :class:`~bayesinn.simulators.fisher_scoring.FisherScoring`."""

    rounds: int = 1
    reuses: int = 0
    further: int = 0
    xla: bool = True


class Fit(NamedTuple):
    """The result of scoring, with vectors (n, d)."""

    origin: tf.Tensor
    location: tf.Tensor
    # share of the information on each element that comes from the data, given the others
    information_fraction: tf.Tensor
    # of the covariance of straightened vectors, as tfp.math.fill_triangular reads it
    triangle: tf.Tensor
    step: tf.Tensor  # that would come next, without damping
    log_density: tf.Tensor  # (n,), of data and location in the working model, up to a constant

    @property
    def covariance(self) -> tf.Tensor:
        """Covariance (n, d, d) in double precision."""
        lower = tf.cast(tfp.math.fill_triangular(self.triangle), tf.float64)
        return (
            lower + tf.linalg.matrix_transpose(lower) - tf.linalg.diag(tf.linalg.diag_part(lower))
        )


class _Derivatives(NamedTuple):
    """What the data say near vectors (n, d): roots of the information, and its directions."""

    root: tf.Tensor  # (n, d, 2 k)
    residuals: tf.Tensor  # (n, k)
    known: tf.Tensor  # information (n, d) along each direction
    directions: tf.Tensor  # (n, d, d), a column each


def improve(
    model: WorkingModel, effort: Rounds, values: tf.Tensor, origin: tf.Tensor, training: bool
) -> Fit:
    """Improve vectors by scoring; where nothing fits, return the start and the prior's covariance.

    Most fits end after a few rounds, some need many. Further rounds are only for those that
    improved in their last one. In training, there are at most ``effort.further`` of them, each for
    the eighth of the rows that improved most; otherwise a fit does not depend on the other rows,
    and has as many as it needs, up to that number.
    """
    scoring = _Scoring(model, effort, training)
    origin = scoring.begin(values, origin)
    vector, log_density = scoring.climb(values, origin)
    # The last derivatives are for the covariance.
    found = scoring.differentiate(values, vector)
    step = scoring.candidate_steps(found, found.residuals, vector)[0]
    vector = model.wrap_angles(vector)
    information = tf.reduce_sum(found.root**2, axis=-1)
    information_fraction = information / (_HALF_INFORMATION + information)
    covariance = scoring.covariance(found, vector, information_fraction)
    # Predictions may overflow. NaN would stop the training.
    rows = (
        log_density[:, None],
        found.residuals,
        vector,
        information_fraction,
        tf.reduce_sum(covariance, axis=-1),
    )
    finite = [tf.math.is_finite(tf.reduce_sum(row, axis=-1)) for row in rows]
    good = tf.reduce_all(finite, axis=0)
    covariance = tf.where(good[:, None, None], covariance, np.eye(len(scoring.spacing)))
    triangle = tf.linalg.band_part(tf.cast(covariance, tf.float32), -1, 0)
    return Fit(
        origin,
        tf.where(good[:, None], vector, origin),
        tf.where(good[:, None], information_fraction, 0.0),
        tfp.math.fill_triangular_inverse(triangle),
        tf.where(good[:, None], step, 0.0),
        tf.where(good, log_density, 0.0),
    )


class _Scoring:
    """The steps of scoring for a working model, compiled."""

    def __init__(self, model: WorkingModel, effort: Rounds, training: bool) -> None:
        self.model = model
        self.effort = effort
        self.training = training
        # Read each time: the space gets other scales when a posterior is loaded.
        with tf.init_scope():
            self.spacing = model.spacing()
        # Half of a whole number, as predictions may have kinks there.
        halves = np.where(self.spacing > 0.0, 0.5 * self.spacing, _DIFFERENCE)
        self._differences = halves.astype(np.float32)
        self._parameters_of = self._compile(model.parameters_of)
        self._predict = self._compile(model.predict)
        self._derive = self._compile(functools.partial(model.derive, self._differences))
        self._evaluate = self._compile(model.evaluate)
        # A loop of the graph: unrolled, it would take a minute to trace.
        self._run_round = tf.function(self._one_round, autograph=False)

    def _compile(self, part: Callable[..., Any]) -> Callable[..., Any]:
        # Each is traced once, wherever it is used. Loops over time are many times faster with XLA,
        # which compiles each number of rows anew: it is always the same in training. Compiled
        # together, parameters and predictions would be computed again wherever they are used.
        xla = (self.training and self.effort.xla) or None
        return tf.function(part, jit_compile=xla, autograph=False)

    def begin(self, values: tf.Tensor, origin: tf.Tensor) -> tf.Tensor:
        """Return where the model begins; the origin where that is nowhere."""
        begun = self._compile(self.model.begin)(values, origin)
        near = tf.math.is_finite(begun) & (tf.abs(begun) <= self.model.space.reach)
        usable = tf.reduce_all(near, axis=-1)
        return tf.where(usable[:, None], begun, origin)

    def climb(self, values: tf.Tensor, vector: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return better vectors (n, d) after all rounds, and their log densities (n,)."""
        # The first round has no density to compare with: all improve.
        lowest = tf.fill(tf.shape(vector)[:1], vector.dtype.min)
        state = (vector, lowest, vector[:, 0])
        improve_all = functools.partial(self._improve_all, values)
        state = _repeated(improve_all, state, self.effort.rounds)
        if self.effort.further:
            rounds_left = tf.fill(tf.shape(vector)[:1], self.effort.further)
            state = tf.while_loop(
                lambda vector, log_density, gain, left: tf.reduce_any(gain > 0.0),
                functools.partial(self._improve_some, values),
                (*state, rounds_left),
                maximum_iterations=self.effort.further if self.training else None,
            )
        return state[:2]

    def differentiate(self, values: tf.Tensor, vector: tf.Tensor) -> _Derivatives:
        """Return the derivatives of predictions at vectors (n, d)."""
        points = difference_points(vector, self._differences)
        predictions = self._predict(self._parameters_of(points))
        root, residuals = self._derive(values, *predictions)
        return _Derivatives(root, residuals, *_decomposed(root))

    def candidate_steps(
        self, found: _Derivatives, residuals: tf.Tensor, vector: tf.Tensor
    ) -> tf.Tensor:
        """Return steps (m, n, d) from vectors with these residuals, by derivatives found before."""
        score = self.model.score(found.root, residuals, vector)
        return _candidates(score, found.known, found.directions)

    def covariance(
        self, found: _Derivatives, vector: tf.Tensor, information_fraction: tf.Tensor
    ) -> tf.Tensor:
        """Return the covariance (n, d, d) of vectors, straightened where the model asks for it."""
        scaled = found.directions / (1.0 + found.known)[:, None, :]
        covariance = tf.matmul(scaled, found.directions, transpose_b=True)
        # The data hold no information between whole numbers.
        covariance += np.diag(self.spacing.astype(np.float64) ** 2 / 12.0 + _SMALLEST_SD**2)
        if not (self.model.compensating or self.model.periodic):
            return covariance
        slopes_of = functools.partial(self.model.straightening_slopes, self._differences)
        slopes = self._compile(slopes_of)(vector, information_fraction)
        return tf.matmul(slopes, tf.matmul(covariance, slopes, transpose_b=True))

    def _one_round(self, values: tf.Tensor, vector: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Take a step and its ``reuses`` with the same derivatives."""
        found = self.differentiate(values, vector)

        def one_step(
            vector: tf.Tensor, residuals: tf.Tensor, _: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            candidates = vector + self.candidate_steps(found, residuals, vector)
            return _best(*self._evaluate(values, candidates))

        state = (vector, found.residuals, vector[:, 0])
        vector, _, log_density = _repeated(one_step, state, 1 + self.effort.reuses)
        return vector, log_density

    def _improve_all(
        self, values: tf.Tensor, vector: tf.Tensor, log_density: tf.Tensor, _: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        vector, improved = self._run_round(values, vector)
        return vector, improved, _gain(log_density, improved)

    def _improve_some(
        self,
        values: tf.Tensor,
        vector: tf.Tensor,
        log_density: tf.Tensor,
        gain: tf.Tensor,
        left: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        """Do a round for the rows that gained most in their last one."""
        state = (vector, log_density, gain, left)
        # Always as many, as XLA needs fixed shapes; some of them may not move.
        count = (tf.shape(gain)[0] + _SHARES - 1) // _SHARES
        chosen = tf.math.top_k(gain, count).indices
        old, before, last_gain, rounds_left = (tf.gather(part, chosen) for part in state)
        new, after = self._run_round(tf.gather(values, chosen), old)
        moves = last_gain > 0.0
        new = tf.where(moves[:, None], new, old)
        after = tf.where(moves, after, before)
        next_gain = tf.where(rounds_left > 1, _gain(before, after), 0.0)
        updates = (new, after, next_gain, rounds_left - 1)
        return tuple(
            tf.tensor_scatter_nd_update(part, chosen[:, None], update)
            for part, update in zip(state, updates, strict=True)
        )


def _gain(before: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
    """Return the gain of log density in a round; zero for fits that have ended."""
    gain = after - tf.where(tf.math.is_finite(before), before, before.dtype.min)
    return tf.where(gain > _ENDED, gain, 0.0)


def _repeated(body: Callable[..., Any], state: tuple[tf.Tensor, ...], times: int) -> Any:
    return tf.while_loop(lambda *_: True, body, state, maximum_iterations=times)


def _decomposed(root: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return double-precision eigenvalues (n, d) and eigenvectors (n, d, d); zeros for NaN.

    They are those of the information.

    The smallest values, of directions known from the prior alone, may be a millionth of the
    largest; in single precision, standard deviations along them would be wrong. The products stay
    single, for speed: they could not hold information a hundred million times that of the prior.
    """
    information = tf.matmul(root, root, transpose_b=True)
    finite = tf.math.is_finite(tf.reduce_sum(information, axis=(1, 2), keepdims=True))
    known, directions = tf.linalg.eigh(tf.cast(tf.where(finite, information, 0.0), tf.float64))
    return tf.maximum(known, 0.0), directions


def _candidates(score: tf.Tensor, known: tf.Tensor, directions: tf.Tensor) -> tf.Tensor:
    """Return steps (m, n, d), one for each damping and one of zeros.

    They are zeros, too, where a score isn't a number.
    """
    score = tf.where(tf.math.is_finite(tf.reduce_sum(score, axis=-1, keepdims=True)), score, 0.0)
    along = tf.linalg.matvec(directions, tf.cast(score, tf.float64), transpose_a=True)
    # One decomposition for all dampings.
    steps = tf.linalg.matvec(directions, along / (1.0 + known + _DAMPINGS[:, None, None]))
    steps = tf.cast(tf.clip_by_value(steps, -_LONGEST_STEP, _LONGEST_STEP), tf.float32)
    return tf.concat([steps, tf.zeros_like(steps[:1])], axis=0)


def _best(
    vector: tf.Tensor, residuals: tf.Tensor, log_density: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Select the candidate with the highest density."""
    density = tf.where(tf.math.is_finite(log_density), log_density, log_density.dtype.min)
    best = tf.argmax(density, axis=0, output_type=tf.int32)
    index = tf.stack([best, tf.range(tf.shape(best)[0])], axis=-1)
    return (
        tf.gather_nd(vector, index),
        tf.gather_nd(residuals, index),
        tf.gather_nd(log_density, index),
    )
