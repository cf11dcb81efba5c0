"""The divergence of a velocity: the trace of its Jacobian, exact or estimated."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

# Above so many elements the trace is estimated from so many directions.
_MOST_DIRECTIONS = 20


def directions(event_shape: tuple[int, ...]) -> np.ndarray:
    """Return directions (k, *event) whose mean quadratic form is the trace of a matrix.

    Up to 20 elements they are scaled unit vectors, and the trace is exact. Above, they are 20
    random vectors of signs (Hutchinson 1990), the same ones in every call: a density is a function.
    """
    size = math.prod(event_shape)
    if size <= _MOST_DIRECTIONS:
        vectors = math.sqrt(size) * np.eye(size)
    else:
        vectors = np.random.default_rng(1990).choice([-1.0, 1.0], (_MOST_DIRECTIONS, size))
    return vectors.reshape(-1, *event_shape).astype(np.float32)


def with_divergence(
    velocity: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor, vectors: np.ndarray
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return velocities of events x (n, *event), and their divergence (n,)."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        value = velocity(x)
    axes = tuple(range(1, x.shape.rank))
    forms = []
    for vector in vectors:
        along = tf.broadcast_to(tf.cast(vector, x.dtype), tf.shape(x))
        forms.append(tf.reduce_sum(along * tape.gradient(value, x, along), axis=axes))
    return value, tf.add_n(forms) / len(forms)
