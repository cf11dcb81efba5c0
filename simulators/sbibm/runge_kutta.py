"""The classical Runge-Kutta method of order four, for the two differential equations."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def integrate(
    rate: Callable[[tf.Tensor], tf.Tensor],
    start: tf.Tensor,
    step: float,
    steps: int,
    outputs: int,
) -> tf.Tensor:
    """Return the state at ``outputs`` equally spaced times, the first of them the start.

    Parameters
    ----------
    rate : function of the state (n, k), to its rate of change (n, k)
    start : tensor (n, k)
    step : float, in units of time
    steps : int, from each output to the next
    outputs : int

    Returns
    -------
    tensor (outputs, n, k)
    """

    def advance(state: tf.Tensor) -> tf.Tensor:
        first = rate(state)
        second = rate(state + 0.5 * step * first)
        third = rate(state + 0.5 * step * second)
        fourth = rate(state + step * third)
        return state + step / 6.0 * (first + 2.0 * second + 2.0 * third + fourth)

    states = tf.TensorArray(start.dtype, size=outputs, element_shape=start.shape)
    states = states.write(0, start)
    state = start
    for output in tf.range(1, outputs):
        for _ in tf.range(steps):
            state = advance(state)
        states = states.write(output, state)
    return states.stack()
