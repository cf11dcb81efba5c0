"""Fisher scoring: a damped Newton's method with the expected information, for many data sets at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.summaries.fitted.straightening import Straightening
from bayesinn.summaries.fitted.working_model import around, differences

# Added to the diagonal of the information matrix, in turn.
_DAMPINGS = np.array((0.0, 3.0, 30.0, 300.0, 3000.0))
# So much information, in units of the prior's, is half enough to compensate: a ridge is thin beside the prior, then.
_HALF_TOLD = 10.0
# In prior standard deviations.
_LONGEST_STEP, _SMALLEST_SD = 1.0, 1e-3
# A fit has ended when its log density grows by less than that in a round.
_ENDED = 0.1
# Further rounds are for one of so many parts of a batch at a time.
_SHARES = 8


class Fit(NamedTuple):
    """Where scoring ended.

    Attributes
    ----------
    origin : tensor (n, d)
        Where it began.
    location : tensor (n, d)
        The estimate.
    told : tensor (n, d)
        How well the data tell each element, given the others: from 0 for not at all to nearly 1.
    covariance : tensor (n, d, d), float64
        Of straightened vectors about it, as far as the data and the prior tell.
    step : tensor (n, d)
        The one that would come next, without damping.
    log_density : tensor (n,)
        Of data and estimate in the working model, up to a constant.
    """

    origin: tf.Tensor
    location: tf.Tensor
    told: tf.Tensor
    covariance: tf.Tensor
    step: tf.Tensor
    log_density: tf.Tensor

    def flat(self) -> tf.Tensor:
        """Side by side, (n, p), in single precision."""
        lower = tf.linalg.band_part(tf.cast(self.covariance, tf.float32), -1, 0)
        vectors = [self.origin, self.location, self.told, self.step]
        return tf.concat([*vectors, tfp.math.fill_triangular_inverse(lower), self.log_density[:, None]], axis=-1)

    @classmethod
    def of(cls, flat: tf.Tensor, dimension: int) -> Fit:
        """The inverse of :meth:`flat`, for vectors of that dimension."""
        *vectors, covariance, log_density = tf.split(flat, [*4 * [dimension], -1, 1], axis=-1)
        lower = tf.cast(tfp.math.fill_triangular(covariance), tf.float64)
        symmetric = lower + tf.linalg.matrix_transpose(lower) - tf.linalg.diag(tf.linalg.diag_part(lower))
        origin, location, told, step = vectors
        return cls(origin, location, told, symmetric, step, log_density[:, 0])


def improve(
    model: Straightening,
    values: tf.Tensor,
    origin: tf.Tensor,
    *,
    rounds: int,
    reuses: int = 0,
    further: int = 0,
    training: bool = False,
    xla: bool = False,
) -> Fit:
    """Steps towards what fits to data; none, and knowledge of the prior alone, where nothing does.

    Most fits have ended after a few rounds, some need many. Further rounds are for those alone that have improved in
    their last one. What is beside a data set does not matter to its fit, except in training, where time is short.

    Parameters
    ----------
    model : Straightening
    values : tensor (n, k)
    origin : tensor (n, d)
        Vectors to start from, of the space.
    rounds : int
        How often derivatives are taken, beside those for the covariance at the end.
    reuses : int
        More steps in each round, with its derivatives but new residuals.
    further : int
        The most rounds of a row after those for all.
    training : bool
        In training, there are only so many further rounds in all, each for the eighth of the rows that has improved
        most; else each row has as many as it needs, up to that number.
    xla : bool
        Whether to compile predictions. Loops over time are many times faster then, but each number of rows is compiled
        anew.
    """
    # Looked up anew each time: the space takes over other scales when a posterior is loaded.
    with tf.init_scope():
        spacing = model.spacing()
    steps = differences(spacing)
    parts: list[Callable[..., Any]] = [
        functools.partial(_begin, model),
        model.parameters_of,
        model.predict,
        functools.partial(model.derive, steps),
        model.evaluate,
        functools.partial(model.turn, steps),
    ]
    if xla:
        # Parameters, predictions and what is made of them apart: together, XLA makes them anew wherever they are used.
        parts = [tf.function(part, jit_compile=True, autograph=False) for part in parts]
    begin, parameters_of, predict, derive, evaluate, turn = parts

    def derivatives(values: tf.Tensor, vector: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        root, residuals = derive(values, *predict(parameters_of(around(vector, steps))))
        return (root, residuals, *_decomposed(root))

    # Loops of the graph: unrolled, they would take a minute to trace.
    def one_round(values: tf.Tensor, vector: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        root, residuals, known, directions = derivatives(values, vector)

        def one_step(vector: tf.Tensor, residuals: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            candidates = vector + _candidates(model.score(root, residuals, vector), known, directions)
            return _best(*evaluate(values, candidates))

        vector, _, log_density = _repeated(one_step, (vector, residuals, vector[:, 0]), 1 + reuses)
        return vector, log_density

    def for_all(vector: tf.Tensor, log_density: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, ...]:
        vector, improved = one_round(values, vector)
        return vector, improved, _gain(log_density, improved)

    def for_some(vector: tf.Tensor, log_density: tf.Tensor, gain: tf.Tensor, left: tf.Tensor) -> tuple[tf.Tensor, ...]:
        whole = vector, log_density, gain, left
        # Always as many, as XLA needs it; there may be more places than rows that move.
        chosen = tf.math.top_k(gain, (tf.shape(gain)[0] + _SHARES - 1) // _SHARES).indices
        old, density, gain, left = (tf.gather(part, chosen) for part in whole)
        new, improved = one_round(tf.gather(values, chosen), old)
        new, improved = tf.where(gain[:, None] > 0.0, new, old), tf.where(gain > 0.0, improved, density)
        left -= 1
        parts = new, improved, tf.where(left > 0, _gain(density, improved), 0.0), left
        return tuple(
            tf.tensor_scatter_nd_update(all_rows, chosen[:, None], part)
            for all_rows, part in zip(whole, parts, strict=True)
        )

    begun = begin(values, origin)
    usable = tf.reduce_all(tf.math.is_finite(begun) & (tf.abs(begun) <= model.space.reach), axis=-1)
    vector = origin = tf.where(usable[:, None], begun, origin)
    # The first round has no density to compare with: all improve.
    state = vector, tf.fill(tf.shape(vector)[:1], vector.dtype.min), vector[:, 0]
    state = _repeated(for_all, state, rounds)
    if further:
        state = tf.while_loop(
            lambda *state: tf.reduce_any(state[2] > 0.0),
            for_some,
            (*state, tf.fill(tf.shape(vector)[:1], further)),
            maximum_iterations=further if training else None,
        )
    vector, log_density = state[:2]
    # The last derivatives are for the covariance.
    root, residuals, known, directions = derivatives(values, vector)
    step = _candidates(model.score(root, residuals, vector), known, directions)[0]
    covariance = tf.matmul(directions / (1.0 + known)[:, None, :], directions, transpose_b=True)
    # Nothing is known between whole numbers.
    covariance += np.diag(spacing.astype(np.float64) ** 2 / 12.0 + _SMALLEST_SD**2)
    vector = model.wound_back(vector)
    information = tf.reduce_sum(root**2, axis=-1)
    told = information / (_HALF_TOLD + information)
    if model.compensating or model.periodic:
        turned = turn(vector, told)
        covariance = tf.matmul(turned, tf.matmul(covariance, turned, transpose_b=True))
    # Predictions may overflow. What isn't a number would stop the training.
    good = tf.math.is_finite(log_density + tf.reduce_sum(residuals, axis=-1) + tf.reduce_sum(vector, axis=-1))
    good &= tf.math.is_finite(tf.reduce_sum(covariance, axis=(1, 2)) + tf.cast(tf.reduce_sum(told, -1), tf.float64))
    return Fit(
        origin,
        tf.where(good[:, None], vector, origin),
        tf.where(good[:, None], told, 0.0),
        tf.where(good[:, None, None], covariance, np.eye(len(spacing))),
        tf.where(good[:, None], step, 0.0),
        tf.where(good, log_density, 0.0),
    )


def _begin(model: Straightening, values: tf.Tensor, origin: tf.Tensor) -> tf.Tensor:
    parameters = model.begin(values, model.space.from_vector(origin))
    return model.settled(values, model.vector_of(parameters))[0]


def _gain(before: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
    """Of log density in a round; zero for fits that have ended."""
    gain = after - tf.where(tf.math.is_finite(before), before, before.dtype.min)
    return tf.where(gain > _ENDED, gain, 0.0)


def _repeated(body: Callable[..., Any], state: tuple[tf.Tensor, ...], times: int) -> Any:
    return tf.while_loop(lambda *_: True, body, state, maximum_iterations=times)


def _decomposed(root: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Eigenvalues (n, d) and eigenvectors (n, d, d) of the information, in double precision; zeros for no numbers.

    The smallest values, of what the prior alone knows, may be a millionth of the largest: in single precision, standard
    deviations along them would be wrong. The products stay single, for speed: information a hundred million times that
    of the prior would be too much for them.
    """
    information = tf.matmul(root, root, transpose_b=True)
    finite = tf.math.is_finite(tf.reduce_sum(information, axis=(1, 2), keepdims=True))
    known, directions = tf.linalg.eigh(tf.cast(tf.where(finite, information, 0.0), tf.float64))
    return tf.maximum(known, 0.0), directions


def _candidates(score: tf.Tensor, known: tf.Tensor, directions: tf.Tensor) -> tf.Tensor:
    """Steps (m, n, d), one for each damping and one of zeros; zeros, too, where a score isn't a number."""
    score = tf.where(tf.math.is_finite(tf.reduce_sum(score, axis=-1, keepdims=True)), score, 0.0)
    along = tf.linalg.matvec(directions, tf.cast(score, tf.float64), transpose_a=True)
    # One decomposition for all dampings.
    steps = tf.linalg.matvec(directions, along / (1.0 + known + _DAMPINGS[:, None, None]))
    steps = tf.cast(tf.clip_by_value(steps, -_LONGEST_STEP, _LONGEST_STEP), tf.float32)
    return tf.concat([steps, tf.zeros_like(steps[:1])], axis=0)


def _best(vector: tf.Tensor, residuals: tf.Tensor, log_density: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Of m candidates, the one with the highest density."""
    density = tf.where(tf.math.is_finite(log_density), log_density, log_density.dtype.min)
    best = tf.argmax(density, axis=0, output_type=tf.int32)
    index = tf.stack([best, tf.range(tf.shape(best)[0])], axis=-1)
    return tf.gather_nd(vector, index), tf.gather_nd(residuals, index), tf.gather_nd(log_density, index)
