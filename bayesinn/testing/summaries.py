"""The requirements of a summary."""

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from bayesinn.bijections.condition import EVERY, entry
from bayesinn.core.configuration import clone
from bayesinn.core.masks import broadcast_mask
from bayesinn.core.seeds import seeded_initial_weights
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries import Summary
from bayesinn.testing.measures import (
    demand,
    demand_compiles,
    demand_equal,
    demand_finite,
    demand_gradients,
    perturb,
)

ROWS = 6


def check_summary(
    summary_factory: Callable[[], Summary],
    shape: Sequence[int],
    masks: bool = True,
    permutation_invariant: bool = False,
    seed: int = 1,
    weight_scale: float = 0.3,
    parameters: ParameterSpace | None = None,
) -> None:
    """Check that a summary keeps its contract; an AssertionError names what is broken.

    The error also says by how much. With random weights:

    - one finite vector for each row; rows don't influence each other
    - a gradient for every weight
    - equal results when compiled, and for a copy from the configuration
    - with masks: masked values, and the amount of padding, don't matter
    - for sets: the order of elements doesn't matter, their number does

    Parameters
    ----------
    summary_factory : callable that makes a new summary without weights: a class, or a lambda
    shape : sequence of int, shape of one observation: (steps,) or (steps, channels), ...
    masks : bool, whether the summary takes observations of varying length
    permutation_invariant : bool, whether the observation is a set
    weight_scale : float, how far weights are moved from their initial values
    parameters : ParameterSpace, optional, to bind the summary to if it needs the parameters

    Examples
    --------
    >>> from bayesinn.summaries import DeepSet
    >>> check_summary(
    ...     lambda: DeepSet(units=4, hidden=(16, 16)), shape=(9, 2), permutation_invariant=True
    ... )
    """
    generator = np.random.default_rng(seed)
    x = tf.constant(generator.standard_normal((ROWS, *shape)), tf.float32)
    with seeded_initial_weights(seed):
        summary = summary_factory()
        numbers = functools.partial(_numbers, summary)
        if parameters is not None:
            summary.bind(parameters)
        first = numbers(x)
    name = repr(summary)
    perturb(summary, generator, weight_scale)
    result = numbers(x)
    demand_finite(first, f"{name}: the result of new weights.")
    demand_finite(result, f"{name}: the result.")
    demand_equal(
        numbers(x[2:3]),
        result[2:3],
        1e-5,
        f"{name}: a row alone and in a batch give different results.",
    )
    weights = tf.constant(generator.standard_normal(result.shape), result.dtype)
    demand_gradients(summary, functools.partial(_weighted, summary, x, None, weights), name)
    # Where many steps follow each other, rounding errors add up: to 1.2e-5, 0.4e-5, 0.6e-5 in a
    # fit, for seeds 1, 2, 3.
    demand_compiles(lambda: [numbers(x)], name, 1e-4)
    copy = clone(summary)
    if parameters is not None:
        copy.bind(parameters)
    copy(x)
    demand(repr(copy) == name, f"{name}: a copy from the configuration is {copy!r}.")
    copy.set_weights(summary.get_weights())
    demand_equal(
        _numbers(copy, x), result, 0.0, f"{name}: a copy with the same weights gives other results."
    )
    if masks:
        _check_masks(summary, x, result, generator)
    if permutation_invariant:
        law = f"{name}: the result depends on the order of elements."
        demand_equal(
            numbers(tf.gather(x, generator.permutation(shape[0]), axis=1)), result, 1e-5, law
        )
    if masks and permutation_invariant:
        differs = tf.reduce_max(tf.abs(numbers(tf.concat([x, x], axis=1)) - result)) > 1e-4
        demand(
            differs,
            f"{name}: a set and the same set twice can't be distinguished; append its size.",
        )


def _weighted(
    summary: Summary, x: tf.Tensor, mask: tf.Tensor | None, weights: tf.Tensor
) -> tf.Tensor:
    """Return a weighted sum of squares: the gradient of a plain one may vanish by symmetry."""
    arguments = (x,) if mask is None else (x, mask)
    return tf.reduce_sum(weights * _numbers(summary, *arguments) ** 2)


def _numbers(summary: Summary, *arguments: tf.Tensor) -> tf.Tensor:
    """Return all entries of the condition as numbers (n, k)."""
    entries = entry(summary(*arguments), EVERY)
    parts = [
        tf.reshape(value, (-1, math.prod(value.shape[1:]))) if len(value.shape) > 2 else value
        for value in entries.values()
    ]
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)


def _check_masks(
    summary: Summary, x: tf.Tensor, result: tf.Tensor, generator: np.random.Generator
) -> None:
    steps = x.shape[1]
    law = f"{summary!r}: a mask without padding changes the result."
    demand_equal(_numbers(summary, x, tf.fill((ROWS, steps), True)), result, 1e-5, law)
    # Anywhere: at the end, or missing values between others; no row is empty.
    there = tf.constant((generator.random((ROWS, steps)) < 0.5) | (np.arange(steps) == 0))
    weights = tf.constant(generator.standard_normal(result.shape), result.dtype)
    garbage = tf.constant(generator.choice([-3e38, -1.0, 1e-30, 7.0, 3e38], x.shape), x.dtype)
    for mask in (there, tf.sequence_mask(1 + tf.range(ROWS) % steps, steps)):
        masked = broadcast_mask(mask, x)
        law = f"{summary!r}: masked numbers change the result."
        filled = tf.where(masked, x, garbage)
        demand_equal(
            _numbers(summary, filled, mask),
            _numbers(summary, tf.where(masked, x, 0.0), mask),
            0.0,
            law,
        )
        loss = functools.partial(_weighted, summary, filled, mask, weights)
        demand_gradients(summary, loss, f"{summary!r}, with masked numbers", zeros=True)
    for length in range(1, steps):
        expected = _numbers(summary, x[:, :length])
        for padding in (steps, steps + 5):
            tail = tf.constant(
                100.0 * generator.standard_normal((ROWS, padding - length, *x.shape[2:])), x.dtype
            )
            mask = tf.sequence_mask(tf.fill((ROWS,), length), padding)
            law = f"{summary!r}: {length} elements give another result when padded to {padding}."
            demand_equal(
                _numbers(summary, tf.concat([x[:, :length], tail], axis=1), mask),
                expected,
                1e-5,
                law,
            )
