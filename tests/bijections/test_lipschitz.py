"""Spectral normalisation: never below the largest singular value, and never far above."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayesinn.bijections.residual import (
    ACTIVATIONS,
    LipschitzNetwork,
    convolution_bound,
    limited,
    lipswish,
    spectral_bound,
)
from bayesinn.testing.contracts import perturb


def matrix(shape: tuple[int, int], kind: str, seed: int = 1) -> np.ndarray:
    gaussian = np.random.default_rng(seed).standard_normal(shape)
    if kind == "orthogonal":
        # All singular values equal: the hardest case for power iteration, and for the Schatten
        # norm.
        left, _, right = np.linalg.svd(gaussian, full_matrices=False)
        return left @ right
    if kind == "rank one":
        return gaussian[:, :1] @ gaussian[:1]
    return gaussian


@pytest.mark.parametrize("kind", ["gaussian", "orthogonal", "rank one"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 64), (64, 64), (128, 3)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_bound_is_above_the_largest_singular_value_and_close(
    shape: tuple[int, int], kind: str, scale: float
) -> None:
    kernel = (scale * matrix(shape, kind)).astype("float32")
    exact = np.linalg.svd(kernel.astype("float64"), compute_uv=False)[0]
    ratio = float(spectral_bound(tf.constant(kernel))) / exact
    # Measured over seeds 1, 2, 3: between 1 - 1e-7 and min(shape)^(1/514), 1.0081 for the
    # orthogonal (64, 64).
    assert 1.0 - 1e-6 <= ratio <= min(shape) ** (1.0 / 514.0) + 1e-6


def test_gradient_of_the_bound_is_that_of_the_singular_value() -> None:
    for shape in ((5, 7), (7, 5)):
        kernel = tf.constant(matrix(shape, "gaussian"))
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            bound = spectral_bound(kernel)
        left, _, right = np.linalg.svd(kernel.numpy())
        # Singular values of a 5 x 7 Gaussian are well apart; measured over seeds 1, 2, 3: at most
        # 1e-15.
        np.testing.assert_allclose(
            tape.gradient(bound, kernel), np.outer(left[:, 0], right[0]), atol=1e-9
        )


def operator(kernel: np.ndarray, size: int, padding: str) -> np.ndarray:
    """The matrix of a convolution of square images, from the images of all unit vectors."""
    inputs = size * size * kernel.shape[2]
    units = np.eye(inputs).reshape(inputs, size, size, -1)
    reach = kernel.shape[0] // 2
    mode = "wrap" if padding == "periodic" else "constant"
    padded = np.pad(units, [(0, 0), (reach, reach), (reach, reach), (0, 0)], mode)
    return tf.nn.conv2d(padded, kernel, 1, "VALID").numpy().reshape(inputs, -1)


@pytest.mark.parametrize("shape", [(3, 3, 1, 5), (3, 3, 4, 2), (5, 5, 2, 2), (1, 1, 4, 3)])
def test_convolutions_are_bounded_closely(shape: tuple[int, ...]) -> None:
    for seed in (1, 2, 3):
        kernel = np.random.default_rng(seed).standard_normal(shape)
        bound = float(convolution_bound(tf.constant(kernel)))
        for size in (3, 8):
            assert np.linalg.norm(operator(kernel, size, "zero"), 2) <= bound * (1.0 + 1e-12)
        # Sixteen frequencies along each axis; measured: 1.017 to 1.029.
        periodic = np.linalg.norm(operator(kernel, 16, "periodic"), 2)
        assert periodic <= bound * (1.0 + 1e-12)
        assert bound <= 1.05 * periodic


def test_gradient_of_the_bound_of_a_convolution() -> None:
    kernel = np.random.default_rng(1).standard_normal((3, 3, 2, 2))
    direction = np.random.default_rng(2).standard_normal(kernel.shape)
    with tf.GradientTape() as tape:
        step = tf.Variable(tf.zeros((), tf.float64))
        bound = convolution_bound(kernel + step * direction)
    ends = [float(convolution_bound(tf.constant(kernel + s * direction))) for s in (1e-5, -1e-5)]
    np.testing.assert_allclose(tape.gradient(bound, step), (ends[0] - ends[1]) / 2e-5, rtol=1e-3)


def test_zeros_stay_zeros_and_let_gradients_through() -> None:
    kernel = tf.zeros((4, 4))
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        result = limited(kernel, 0.9)
    np.testing.assert_array_equal(result, 0.0)
    np.testing.assert_array_equal(tape.gradient(result, kernel), 1.0)


def test_small_matrices_are_left_alone() -> None:
    kernel = tf.constant(0.5 * matrix((6, 6), "orthogonal"))
    np.testing.assert_array_equal(limited(kernel, 0.9), kernel)
    reduced = np.linalg.svd(limited(10.0 * kernel, 0.9), compute_uv=False)
    assert reduced[0] <= 0.9


def largest_slope(network: LipschitzNetwork) -> float:
    """What the singular values of all matrices allow at most."""
    return float(
        np.prod([np.linalg.svd(kernel, compute_uv=False)[0] for kernel in network.given().kernels])
    )


def test_slope_keeps_its_bound_for_random_and_for_trained_weights() -> None:
    x = tf.random.stateless_normal((64, 2), (1, 2))
    for seed in (1, 2, 3):
        network = LipschitzNetwork(features=2, hidden=(64, 64), lipschitz=0.9)
        perturb(network, np.random.default_rng(seed), 3.0)
        # No tolerance beyond rounding: the normalisation uses an upper bound.
        assert 0.87 < largest_slope(network) <= 0.9 + 1e-6
    optimizer = keras.optimizers.Adam(0.1)
    for _ in range(10):
        with tf.GradientTape() as tape:
            # Asks for the steepest network there is.
            loss = -tf.reduce_mean(network.linearize(x, network.given())[1].jacobian_vector(x) ** 2)
        # The last bias has no part in the slope, and gets no gradient.
        variables = [
            variable
            for variable in network.trainable_variables
            if variable is not network.biases[-1]
        ]
        optimizer.apply(tape.gradient(loss, variables), variables)
        assert largest_slope(network) <= 0.9 + 1e-6


def test_condition_is_not_limited() -> None:
    network = LipschitzNetwork(features=2, condition_features=3, hidden=(16,), lipschitz=0.5)
    perturb(network, np.random.default_rng(1), 3.0)
    network.condition_kernel.assign(100.0 * network.condition_kernel)
    x, y = tf.random.stateless_normal((2, 500, 2), (1, 2))
    c, other = tf.random.stateless_normal((2, 500, 3), (3, 4))

    def g(x: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        return network.linearize(x, network.given(condition))[0]

    stretched = tf.norm(g(x, c) - g(y, c), axis=-1) / tf.norm(x - y, axis=-1)
    assert float(tf.reduce_max(stretched)) <= 0.5
    moved = tf.norm(g(x, c) - g(x, other), axis=-1) / tf.norm(c - other, axis=-1)
    assert float(tf.reduce_max(moved)) > 5.0


@pytest.mark.parametrize("steepness", [0.1, 0.974, 20.0])
def test_steepest_slopes_of_lipswish(steepness: float) -> None:
    x = tf.constant(np.linspace(-10.0, 10.0, 200_001) / steepness)
    _, slope = lipswish(x, tf.constant(steepness, tf.float64))
    # The extremes of the slope of swish are 1.0998393 and -0.0998393, whatever the steepness.
    np.testing.assert_allclose(1.1 * np.max(slope), 1.0998393, atol=1e-7)
    np.testing.assert_allclose(1.1 * np.min(slope), -0.0998393, atol=1e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_are_those_of_the_values(name: str) -> None:
    x = tf.constant([-1e4, -3.0, -0.1, 0.0, 0.1, 3.0, 1e4], tf.float64)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value, slope = ACTIVATIONS[name](x, tf.constant(0.974, tf.float64))
        np.testing.assert_allclose(slope, tape.gradient(value, x), atol=1e-12)
    curvature = outer.gradient(slope, x)
    assert np.isfinite(curvature).all()
    assert np.any(np.abs(curvature) > 0.1)


@pytest.mark.parametrize(("size", "channels"), [(3, 48), (3, 128), (5, 16)])
def test_the_bound_of_wide_convolutions_is_none_too_low(size: int, channels: int) -> None:
    """Of the identity: all singular values are one, and thousands of eigenvalues are equal."""
    kernel = np.zeros((size, size, channels, channels), np.float32)
    kernel[size // 2, size // 2] = np.eye(channels)
    assert 0.9999 < float(convolution_bound(tf.constant(kernel))) < 1.1
