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


def improve(
    model: WorkingModel, effort: Rounds, values: tf.Tensor, origin: tf.Tensor, training: bool
) -> Fit:
    """Improve vectors by scoring; where nothing fits, return the start and the prior's covariance.

    Most fits end after a few rounds, some need many. Further rounds are only for those that
    improved in their last one. In training, there are at most ``effort.further`` of them, each for
    the eighth of the rows that improved most; otherwise a fit does not depend on the other rows,
    and has as many as it needs, up to that number.
    """
    # Read each time: the space gets other scales when a posterior is loaded.
    with tf.init_scope():
        spacing = model.spacing()
    # Half of a whole number, as predictions may have kinks there.
    steps = np.where(spacing > 0.0, 0.5 * spacing, _DIFFERENCE).astype(np.float32)

    def compiled(part: Callable[..., Any]) -> Callable[..., Any]:
        # Each is traced once, wherever it is used. Loops over time are many times faster with XLA,
        # which compiles each number of rows anew: it is always the same in training. Compiled
        # together, parameters and predictions would be computed again wherever they are used.
        return tf.function(part, jit_compile=(training and effort.xla) or None, autograph=False)

    parameters_of = compiled(model.parameters_of)
    predict = compiled(model.predict)
    derive = compiled(functools.partial(model.derive, steps))
    evaluate = compiled(model.evaluate)

    def derivatives(
        values: tf.Tensor, vector: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        root, residuals = derive(values, *predict(parameters_of(difference_points(vector, steps))))
        return (root, residuals, *_decomposed(root))

    # Loops of the graph: unrolled, they would take a minute to trace.
    @functools.partial(tf.function, autograph=False)
    def one_round(values: tf.Tensor, vector: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        root, residuals, known, directions = derivatives(values, vector)

        def one_step(
            vector: tf.Tensor, residuals: tf.Tensor, _: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            candidates = vector + _candidates(
                model.score(root, residuals, vector), known, directions
            )
            return _best(*evaluate(values, candidates))

        vector, _, log_density = _repeated(
            one_step, (vector, residuals, vector[:, 0]), 1 + effort.reuses
        )
        return vector, log_density

    def for_all(vector: tf.Tensor, log_density: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, ...]:
        vector, improved = one_round(values, vector)
        return vector, improved, _gain(log_density, improved)

    def for_some(
        vector: tf.Tensor, log_density: tf.Tensor, gain: tf.Tensor, left: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        whole = vector, log_density, gain, left
        # Always as many, as XLA needs fixed shapes; some of them may not move.
        chosen = tf.math.top_k(gain, (tf.shape(gain)[0] + _SHARES - 1) // _SHARES).indices
        data, old, density, gain, left = (tf.gather(part, chosen) for part in (values, *whole))
        new, improved = one_round(data, old)
        new = tf.where(gain[:, None] > 0.0, new, old)
        improved = tf.where(gain > 0.0, improved, density)
        updates = new, improved, tf.where(left > 1, _gain(density, improved), 0.0), left - 1
        scattered = functools.partial(tf.tensor_scatter_nd_update, indices=chosen[:, None])
        return tuple(
            scattered(part, updates=update) for part, update in zip(whole, updates, strict=True)
        )

    begun = compiled(model.begin)(values, origin)
    usable = tf.reduce_all(tf.math.is_finite(begun) & (tf.abs(begun) <= model.space.reach), axis=-1)
    vector = origin = tf.where(usable[:, None], begun, origin)
    # The first round has no density to compare with: all improve.
    state = vector, tf.fill(tf.shape(vector)[:1], vector.dtype.min), vector[:, 0]
    state = _repeated(for_all, state, effort.rounds)
    if effort.further:
        state = tf.while_loop(
            lambda *state: tf.reduce_any(state[2] > 0.0),
            for_some,
            (*state, tf.fill(tf.shape(vector)[:1], effort.further)),
            maximum_iterations=effort.further if training else None,
        )
    vector, log_density = state[:2]
    # The last derivatives are for the covariance.
    root, residuals, known, directions = derivatives(values, vector)
    step = _candidates(model.score(root, residuals, vector), known, directions)[0]
    covariance = tf.matmul(directions / (1.0 + known)[:, None, :], directions, transpose_b=True)
    # The data hold no information between whole numbers.
    covariance += np.diag(spacing.astype(np.float64) ** 2 / 12.0 + _SMALLEST_SD**2)
    vector = model.wrap_angles(vector)
    information = tf.reduce_sum(root**2, axis=-1)
    information_fraction = information / (_HALF_INFORMATION + information)
    if model.compensating or model.periodic:
        slopes = compiled(functools.partial(model.straightening_slopes, steps))(
            vector, information_fraction
        )
        covariance = tf.matmul(slopes, tf.matmul(covariance, slopes, transpose_b=True))
    # Predictions may overflow. NaN would stop the training.
    parts = (
        log_density[:, None],
        residuals,
        vector,
        information_fraction,
        tf.reduce_sum(covariance, axis=-1),
    )
    good = tf.reduce_all(
        [tf.math.is_finite(tf.reduce_sum(part, axis=-1)) for part in parts], axis=0
    )
    covariance = tf.where(good[:, None, None], covariance, np.eye(len(spacing)))
    return Fit(
        origin,
        tf.where(good[:, None], vector, origin),
        tf.where(good[:, None], information_fraction, 0.0),
        tfp.math.fill_triangular_inverse(
            tf.linalg.band_part(tf.cast(covariance, tf.float32), -1, 0)
        ),
        tf.where(good[:, None], step, 0.0),
        tf.where(good, log_density, 0.0),
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
