"""Learned mixing layers: their matrices, where they start, and what they can learn."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayesinn.bijections import ActNorm, Bijection, Chain, Householder, LULinear, Orthogonal
from bayesinn.core.errors import InputError
from bayesinn.core.seeds import seeded_initial_weights
from bayesinn.testing.contracts import default_dtype, perturb
from tests.bijections.linear_optimum import correlation, divergence, matrix


def made[B: Bijection](factory: Callable[[], B], dimension: int, seed: int = 1) -> B:
    with default_dtype("float64"), seeded_initial_weights(seed):
        layer = factory()
        layer.build((dimension,))
    return layer


def test_lu_starts_as_the_random_rotation() -> None:
    for seed in (1, 2, 3):
        rotation = matrix(made(Orthogonal, 5, seed), 5)
        np.testing.assert_allclose(matrix(made(LULinear, 5, seed), 5), rotation, atol=1e-12)


def test_householder_starts_from_the_random_rotation() -> None:
    # Reflections drawn independently of it leave a uniform rotation uniform.
    for seed in (1, 2, 3):
        layer = made(Householder, 5, seed)
        np.testing.assert_array_equal(layer.matrix, made(Orthogonal, 5, seed).matrix)
        new = matrix(layer, 5)
        np.testing.assert_allclose(new.T @ new, np.eye(5), atol=1e-12)


@pytest.mark.parametrize("reflections", [1, 3, 8])
def test_householder_is_a_product_of_reflections(reflections: int) -> None:
    layer = made(lambda: Householder(reflections), 5)
    perturb(layer, np.random.default_rng(1), 3.0)
    product = np.asarray(layer.matrix)
    for vector in np.asarray(layer.vectors):
        product = product @ (np.eye(5) - 2.0 * np.outer(vector, vector) / (vector @ vector))
    # Vectors are rows, x times the matrix: the matrix of the columns is the transpose.
    np.testing.assert_allclose(matrix(layer, 5), product.T, atol=1e-12)


def test_householder_stays_orthogonal_in_single_precision() -> None:
    layer = Householder()
    layer.build((50,))
    perturb(layer, np.random.default_rng(1), 10.0)
    found = layer.forward(tf.eye(50))[0].numpy()
    np.testing.assert_allclose(found.T @ found, np.eye(50), atol=2e-5)


def test_householder_reaches_every_orthogonal_matrix_of_its_determinant() -> None:
    layer = made(Householder, 4)
    target = np.linalg.qr(np.random.default_rng(2).standard_normal((4, 4)))[0]
    rotation = np.asarray(layer.matrix)
    # Four reflections keep the determinant.
    target[:, 0] *= np.linalg.det(target) * np.linalg.det(rotation)
    rest = rotation.T @ target
    vectors = []
    for i in range(4):
        vector = rest[:, i] - np.eye(4)[i]
        if np.linalg.norm(vector) < 1e-9:
            break
        rest -= 2.0 * np.outer(vector, vector @ rest) / (vector @ vector)
        vectors.append(vector)
    # A pair of equal reflections does nothing.
    vectors += [np.ones(4)] * (4 - len(vectors))
    layer.vectors.assign(np.stack(vectors))
    np.testing.assert_allclose(matrix(layer, 4), target.T, atol=1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 6])
def test_lu_is_invertible_whatever_its_weights(dimension: int) -> None:
    layer = made(LULinear, dimension)
    sign = np.linalg.slogdet(matrix(layer, dimension))[0]
    perturb(layer, np.random.default_rng(1), 1.5)
    x = np.random.default_rng(2).standard_normal((10, dimension))
    found = matrix(layer, dimension)
    z, log_det = layer.forward(x)
    back, inverse_log_det = layer.inverse(z)
    np.testing.assert_allclose(z, x @ found.T, atol=1e-12)
    np.testing.assert_allclose(back, x, atol=1e-9)
    np.testing.assert_allclose(log_det, np.full(10, np.linalg.slogdet(found)[1]), atol=1e-12)
    np.testing.assert_array_equal(inverse_log_det, -log_det)
    assert np.linalg.slogdet(found)[0] == sign


@pytest.mark.parametrize(
    "layers",
    [lambda: [LULinear()], lambda: [Householder(), ActNorm()]],
    ids=["lu", "householder and actnorm"],
)
def test_learned_mixing_whitens_any_gaussian(layers: Callable[[], list[Bijection]]) -> None:
    """A learned matrix finds the whitening factor, reflections the axes, ActNorm the scales."""
    covariance = correlation(4, seed=4)
    chain = made(lambda: Chain(layers()), 4)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 400, alpha=0.01))
    optimizer.build(chain.trainable_variables)

    def linear_part() -> tuple[tf.Tensor, tf.Tensor]:
        # ActNorm's shifts are no part of it.
        moved, log_det = chain.forward(tf.eye(5, 4, dtype=tf.float64))
        return moved[:4] - moved[4:], log_det[0]

    @tf.function
    def train() -> None:
        for _ in tf.range(400):
            with tf.GradientTape() as tape:
                rows, log_det = linear_part()
                # Expected negative log likelihood of the Gaussian, up to a constant, without
                # sampling.
                loss = (
                    0.5 * tf.linalg.trace(tf.matmul(rows, covariance @ rows, transpose_a=True))
                    - log_det
                )
            gradients = tape.gradient(
                loss, [variable.value for variable in chain.trainable_variables]
            )
            optimizer.apply_gradients(zip(gradients, chain.trainable_variables, strict=True))

    assert divergence(covariance) > 0.5
    train()
    factor = linear_part()[0].numpy().T
    # Weight seeds 1, 2, 3: below 2e-12 for both.
    assert divergence(factor @ covariance @ factor.T) < 1e-6


def test_bad_arguments_are_explained() -> None:
    with pytest.raises(InputError, match="an integer of 1 or more"):
        Householder(reflections=0)
