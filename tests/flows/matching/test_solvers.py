"""Solvers against closed forms, and the divergence against traces."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.flows.matching import SOLVERS, directions, integrate, with_divergence


def growth(time, state):
    """Each value grows at the rate 2 t; the second counts the time."""
    value, clock = state
    return 2.0 * time * value, tf.ones_like(clock)


@pytest.mark.parametrize("solver", SOLVERS)
def test_both_ways_of_time(solver: str) -> None:
    start = (tf.constant([[1.0], [-2.0]]), tf.zeros((2,)))
    times = np.linspace(0.0, 1.0, 41)
    end = integrate(growth, start, times, solver)
    # Second order: the error of 40 steps is some 1e-3.
    np.testing.assert_allclose(end[0], np.e * start[0], rtol=2e-3)
    np.testing.assert_allclose(end[1], 1.0, rtol=1e-5)
    back = integrate(growth, end, times[::-1], solver)
    np.testing.assert_allclose(back[0], start[0], rtol=2e-3)
    np.testing.assert_allclose(back[1], 0.0, atol=1e-5)


@pytest.mark.parametrize(("solver", "order"), [("midpoint", 2), ("heun", 2), ("rk4", 4)])
def test_order(solver: str, order: int) -> None:
    def error(steps: int) -> float:
        times = np.linspace(0.0, 2.0, steps + 1)
        (value, _) = integrate(growth, (tf.ones((1, 1)), tf.zeros((1,))), times, solver)
        return abs(float(value[0, 0]) / np.exp(4.0) - 1.0)

    assert np.log2(error(8) / error(16)) == pytest.approx(order, abs=0.6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_compiled(solver: str) -> None:
    start = (tf.constant([[1.0], [-2.0]]), tf.zeros((2,)))
    times = np.linspace(0.0, 1.0, 5)
    plain = integrate(growth, start, times, solver)
    for jit_compile in (False, True):
        run = tf.function(lambda state: integrate(growth, state, times, solver), autograph=False)
        if jit_compile:
            run = tf.function(run, jit_compile=True, autograph=False)
        for got, expected in zip(run(start), plain, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_divergence_is_exact_up_to_20_elements() -> None:
    matrix = np.random.default_rng(1).normal(size=(20, 20)).astype(np.float32)
    x = tf.random.stateless_normal((3, 20), (1, 2))
    value, divergence = with_divergence(lambda x: tf.sin(x @ matrix), x, directions((20,)))
    np.testing.assert_allclose(value, np.sin(x @ matrix), atol=1e-5)
    expected = (np.cos(x @ matrix) * np.diag(matrix)).sum(axis=1)
    np.testing.assert_allclose(divergence, expected, atol=1e-4)


def test_divergence_of_images_is_estimated() -> None:
    vectors = directions((6, 6, 1))
    assert vectors.shape == (20, 6, 6, 1)
    assert set(np.unique(vectors)) == {-1.0, 1.0}
    np.testing.assert_array_equal(vectors, directions((6, 6, 1)))
    # A diagonal Jacobian costs the estimate nothing; others leave an error of some sd below.
    x = tf.random.stateless_normal((3, 6, 6, 1), (1, 2))
    _, divergence = with_divergence(lambda x: x**2, x, vectors)
    np.testing.assert_allclose(divergence, 2.0 * tf.reduce_sum(x, axis=(1, 2, 3)), rtol=1e-4)
    matrix = np.random.default_rng(1).normal(size=(36, 36)).astype(np.float32)

    def mixed(x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.reshape(x, (-1, 36)) @ matrix, tf.shape(x))

    _, divergence = with_divergence(mixed, x, vectors)
    sd = np.linalg.norm(matrix + matrix.T) / np.sqrt(2.0 * 20.0)
    np.testing.assert_allclose(divergence, np.trace(matrix), atol=4.0 * sd)
