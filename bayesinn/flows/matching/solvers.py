"""Solvers of ordinary differential equations, for batches of states."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

#: Takes a time () and a state, any structure of tensors; returns the same structure.
Velocity = Callable[[tf.Tensor, Any], Any]

FIXED_STEPS = ("midpoint", "heun", "rk4")
SOLVERS = (*FIXED_STEPS, "adaptive")
# Errors in units of the state that the adaptive solver allows in each of its steps.
_TOLERANCE = 1e-5


def integrate(velocity: Velocity, state: Any, times: Any, solver: str) -> Any:
    """Return the state at the last of the times, from that at the first.

    Steps go from time to time (k,), forwards or backwards, or from times of each row to others, (k,
    n, 1, ...). The adaptive solver chooses its own, the same ones for all rows.
    """
    if solver == "adaptive":
        return _adaptive(velocity, state, times)
    slope = {"midpoint": _midpoint, "heun": _heun, "rk4": _rk4}[solver]
    knots = tf.convert_to_tensor(times, tf.float32)
    steps = knots.shape[0] - 1

    def advance(number: tf.Tensor, current: Any) -> tuple[tf.Tensor, Any]:
        time = knots[number]
        step = knots[number + 1] - time
        return number + 1, _moved(current, slope(velocity, time, step, current), step)

    _, end = tf.while_loop(
        lambda number, _: number < steps,
        advance,
        (tf.constant(0), state),
        maximum_iterations=steps,
    )
    return end


def _moved(state: Any, slope: Any, step: tf.Tensor) -> Any:
    return tf.nest.map_structure(lambda value, rate: value + step * rate, state, slope)


def _midpoint(velocity: Velocity, time: tf.Tensor, step: tf.Tensor, state: Any) -> Any:
    half = 0.5 * step
    return velocity(time + half, _moved(state, velocity(time, state), half))


def _heun(velocity: Velocity, time: tf.Tensor, step: tf.Tensor, state: Any) -> Any:
    first = velocity(time, state)
    second = velocity(time + step, _moved(state, first, step))
    return tf.nest.map_structure(lambda a, b: 0.5 * (a + b), first, second)


def _rk4(velocity: Velocity, time: tf.Tensor, step: tf.Tensor, state: Any) -> Any:
    half = 0.5 * step
    first = velocity(time, state)
    second = velocity(time + half, _moved(state, first, half))
    third = velocity(time + half, _moved(state, second, half))
    fourth = velocity(time + step, _moved(state, third, step))
    return tf.nest.map_structure(
        lambda a, b, c, d: (a + 2.0 * b + 2.0 * c + d) / 6.0, first, second, third, fourth
    )


def _adaptive(velocity: Velocity, state: Any, times: np.ndarray) -> Any:
    """Integrate with steps of the Dormand-Prince method that keep to a tolerance."""
    start = float(times[0])
    length = float(times[-1]) - start
    direction = np.sign(length)
    solver = tfp.math.ode.DormandPrince(
        rtol=_TOLERANCE, atol=_TOLERANCE, first_step_size=0.01 * abs(length)
    )

    # TFP's clock only runs forwards.
    def rate(clock: tf.Tensor, current: Any) -> Any:
        slope = velocity(start + direction * clock, current)
        return tf.nest.map_structure(lambda value: direction * value, slope)

    result = solver.solve(rate, 0.0, state, solution_times=[abs(length)])
    return tf.nest.map_structure(lambda values: values[-1], result.states)
