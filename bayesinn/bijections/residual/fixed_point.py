"""Fixed points of contractions, and gradients through them that don't remember the way."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from bayesinn.bijections.residual.linearization import Linearization


def fixed_point(
    function: Callable[[tf.Tensor], tf.Tensor], start: tf.Tensor, lipschitz: float, tolerance: float
) -> tf.Tensor:
    """Solve x = function(x) row by row, by repeating it.

    The distance to the solution shrinks by the factor ``lipschitz`` in each step, or more. A row rests as soon as its
    last step shows that it is close enough, so that its result doesn't depend on the rows beside it. No gradient flows
    through the result.

    Parameters
    ----------
    function : callable
        Maps (n, d) to (n, d), row by row; a contraction.
    start : tensor (n, d)
    lipschitz : float
        Bound of the function's slope, below one.
    tolerance : float
        Largest distance to the solution, relative to the length of x where that is above one. Where rounding doesn't
        allow it, as near as rounding allows.

    Returns
    -------
    tensor (n, d)

    References
    ----------
    Behrmann, Grathwohl, Chen, Duvenaud and Jacobsen (2019), Invertible residual networks, arXiv:1811.00995.

    Examples
    --------
    >>> import tensorflow as tf
    >>> x = fixed_point(lambda x: 1.0 - 0.5 * x, tf.zeros((1, 1)), lipschitz=0.5, tolerance=1e-6)
    >>> round(float(x[0, 0]), 5)
    0.66667
    """
    # By Banach's theorem, a step of length s ends within s * lipschitz / (1 - lipschitz) of the solution.
    rounding = 4.0 * np.finfo(start.dtype.as_numpy_dtype).eps
    enough = max(tolerance * (1.0 - lipschitz) / lipschitz, rounding)

    def resume(x: tf.Tensor, active: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        moved = function(x)
        step = tf.norm(moved - x, axis=-1, keepdims=True)
        length = tf.norm(moved, axis=-1, keepdims=True)
        return tf.where(active, moved, x), active & (step > enough * tf.maximum(length, 1.0))

    active = tf.fill([tf.shape(start)[0], 1], True)
    x, _ = tf.while_loop(
        lambda _, active: tf.reduce_any(active),
        resume,
        (tf.stop_gradient(start), active),
        maximum_iterations=most_iterations(lipschitz, tolerance),
    )
    return tf.stop_gradient(x)


def most_iterations(lipschitz: float, tolerance: float) -> int:
    """Steps after which a first step of length ten has shrunk until the solution is within the tolerance."""
    return math.ceil(math.log(0.1 * tolerance * (1.0 - lipschitz)) / math.log(lipschitz))


def with_implicit_gradient(x: tf.Tensor, linear: Linearization, lipschitz: float, tolerance: float) -> tf.Tensor:
    """Leave x as it is, and solve the linear equation in its gradient that implicit differentiation asks for.

    If x = z - g(x), then dx = (I + J)^-1 (dz - dg), with dg the change of g at fixed x. Give ``z - g(x0)``, with x0
    the solution without gradient, and from here on gradients are those of the solution itself: with respect to z, and
    to everything in g.

    Parameters
    ----------
    x : tensor (n, d)
    linear : Linearization
        The Jacobian J of g at x, which gets no gradient.
    lipschitz : float
        Bound of the norm of J, below one.
    tolerance : float
        For the solution of the linear equation, as in :func:`fixed_point`.

    Returns
    -------
    tensor (n, d)
    """
    detached = linear.detached()

    @tf.custom_gradient
    def identity(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            # w (I + J) = upstream is a fixed point too. Scaled, because the tolerance is for lengths around one.
            scale = tf.maximum(tf.norm(upstream, axis=-1, keepdims=True), np.finfo(x.dtype.as_numpy_dtype).tiny)
            unit = upstream / scale
            return scale * fixed_point(lambda w: unit - detached.vector_jacobian(w), unit, lipschitz, tolerance)

        return tf.identity(x), gradient

    return identity(x)
