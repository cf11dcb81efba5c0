"""Fixed points of contractions, and gradients through them without storing the iterations."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from bayesinn.bijections.residual.linearization import Linearization


def fixed_point(
    function: Callable[[tf.Tensor], tf.Tensor], start: tf.Tensor, lipschitz: float, tolerance: float
) -> tf.Tensor:
    """Solve x = function(x) for rows x (n, d), by iteration from ``start``.

    No gradient flows through the result.

    ``lipschitz`` bounds the slope of the function, below one: the distance to the solution shrinks
    by this factor or more in each step. A row stops as soon as its last step shows that it is
    within ``tolerance``, or :func:`least_error` if that is larger, relative to the length of x
    where that is above one, so that its result doesn't depend on the other rows.
    """
    # By Banach's theorem, a step of length s ends within s * lipschitz / (1 - lipschitz) of the
    # solution.
    enough = max(tolerance * (1.0 - lipschitz) / lipschitz, _shortest_step(start.dtype))

    def step(x: tf.Tensor, active: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        moved = function(x)
        distance = tf.norm(moved - x, axis=-1, keepdims=True)
        length = tf.norm(moved, axis=-1, keepdims=True)
        return tf.where(active, moved, x), active & (distance > enough * tf.maximum(length, 1.0))

    state = (tf.stop_gradient(start), tf.fill([tf.shape(start)[0], 1], True))
    most = most_iterations(lipschitz, tolerance)
    x, _ = tf.while_loop(
        lambda _, active: tf.reduce_any(active), step, state, maximum_iterations=most
    )
    return tf.stop_gradient(x)


def least_error(lipschitz: float, dtype: tf.DType | str) -> float:
    """Return the distance to the solution that steps no longer than rounding errors show."""
    return _shortest_step(dtype) * lipschitz / (1.0 - lipschitz)


def _shortest_step(dtype: tf.DType | str) -> float:
    """Return the length of steps, relative to x, that may be rounding errors alone."""
    return 4.0 * float(np.finfo(tf.as_dtype(dtype).as_numpy_dtype).eps)


def most_iterations(lipschitz: float, tolerance: float) -> int:
    """Return the number of steps that take a first step of length ten to within the tolerance."""
    return math.ceil(math.log(0.1 * tolerance * (1.0 - lipschitz)) / math.log(lipschitz))


def with_implicit_gradient(
    x: tf.Tensor, linear: Linearization, lipschitz: float, tolerance: float
) -> tf.Tensor:
    """Return x (n, d) as it is, with the gradient of the solution of x = z - g(x).

    The gradient is found by implicit differentiation. At the solution, dx = (I + J)^-1 (dz - dg),
    with dg the change of g at fixed x, and ``linear`` its Jacobian J there, which gets no gradient.
    Pass ``z - g(x0)``, with x0 the solution without gradient: the gradients, with respect to z and
    to everything in g, are those of the solution. The linear equation is solved as in
    :func:`fixed_point`.
    """
    detached = linear.detached()

    @tf.custom_gradient
    def identity(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            # w (I + J) = upstream is a fixed point too. Scaled, because the tolerance is for
            # lengths around one.
            scale = tf.maximum(
                tf.norm(upstream, axis=-1, keepdims=True), np.finfo(x.dtype.as_numpy_dtype).tiny
            )
            unit = upstream / scale
            return scale * fixed_point(
                lambda w: unit - detached.vector_jacobian(w), unit, lipschitz, tolerance
            )

        return tf.identity(x), gradient

    return identity(x)
