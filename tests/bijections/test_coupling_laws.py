"""What couplings can and can't do, exactly: laws of one affine coupling, of two, and of a stack."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayesinn.bijections import Affine, Chain, Coupling, Hierarchical, Orthogonal
from bayesinn.core.seeds import seeded_initial_weights
from bayesinn.flows import Flow, InvertibleFlow
from bayesinn.testing.contracts import default_dtype
from tests.bijections.linear_optimum import (
    correlation,
    divergence,
    matrix,
    one_coupling_leaves,
    standardise_given_passive,
)

LOG_2PI = np.log(2.0 * np.pi)


def train(flow: Flow, draw: Callable[[tf.Tensor], tf.Tensor], steps: int, rate: float) -> None:
    optimizer = keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(rate, steps, alpha=0.01)
    )
    optimizer.build(flow.trainable_variables)

    @tf.function
    def run() -> None:
        for step in tf.range(steps):
            x = draw(tf.stack([step, 1]))
            with tf.GradientTape() as tape:
                loss = -tf.reduce_mean(flow.log_prob(x))
            gradients = tape.gradient(
                loss, [variable.value for variable in flow.trainable_variables]
            )
            optimizer.apply_gradients(zip(gradients, flow.trainable_variables, strict=True))

    run()


@pytest.mark.parametrize("hierarchical", [False, True])
def test_training_one_block_reaches_its_law_on_a_gaussian(hierarchical: bool) -> None:
    """One affine coupling standardises only active given passive; a hierarchical one, all."""
    covariance = correlation(4, seed=4)
    factor = tf.constant(np.linalg.cholesky(covariance).T, tf.float32)
    # Given Gaussian elements, means are linear and variances constant: linear subnets are as good
    # as any. They start at zero, so there is no seed.
    flow = InvertibleFlow(
        Hierarchical(Affine(), hidden=())
        if hierarchical
        else Coupling(Affine(), hidden=(), dual=False)
    )
    flow.build((4,))
    train(
        flow, lambda seed: tf.random.stateless_normal((512, 4), seed) @ factor, steps=500, rate=3e-2
    )
    x = tf.random.stateless_normal((200_000, 4), (7, 7)) @ factor
    truth = -0.5 * tf.reduce_sum(
        x * (x @ tf.constant(np.linalg.inv(covariance), tf.float32)), axis=1
    )
    truth -= 2.0 * LOG_2PI + 0.5 * np.linalg.slogdet(covariance)[1]
    reached = float(tf.reduce_mean(truth - flow.log_prob(x)))
    predicted = 0.0 if hierarchical else one_coupling_leaves(covariance, passive=2)
    # The test would tell them apart: 0.25 is left by the one, nothing by the other. They come
    # within 0.0009 and 0.0003.
    assert divergence(covariance) > one_coupling_leaves(covariance, passive=2) + 0.3 > 0.4
    assert reached == pytest.approx(predicted, abs=0.01)


def test_one_coupling_reaches_its_law_whatever_the_density() -> None:
    """The same law far from Gaussians: a mean and a variance that bend, and non-normal noise."""

    def log_std(passive: tf.Tensor) -> tf.Tensor:
        return 0.5 * tf.sin(passive)

    def draw(seed: tf.Tensor, rows: int = 512) -> tf.Tensor:
        passive_seed, noise_seed = tf.unstack(tf.random.split(tf.convert_to_tensor(seed), 2), num=2)
        passive = tf.random.stateless_uniform((rows, 1), passive_seed, -2.0, 2.0)
        noise = tf.random.stateless_uniform((rows, 1), noise_seed, -np.sqrt(3.0), np.sqrt(3.0))
        return tf.concat([passive, passive**2 - 1.0 + tf.exp(log_std(passive)) * noise], axis=1)

    with seeded_initial_weights(1):
        flow = InvertibleFlow(Coupling(Affine(), hidden=(64, 64), dual=False))
        flow.build((2,))
    train(flow, draw, steps=1000, rate=1e-2)
    x = draw(tf.constant([7, 7]), rows=200_000)
    passive = x[:, 0].numpy()
    # Passive: cross-entropy with the standard normal. Active: entropy of a normal with the true
    # conditional variance.
    predicted = (
        0.5 * (LOG_2PI + np.mean(passive**2)) + 0.5 * (LOG_2PI + 1.0) + np.mean(log_std(passive))
    )
    reached = -float(tf.reduce_mean(flow.log_prob(x)))
    # Weight seeds 1, 2, 3 end 0.0001, 0.0001 and 0.0002 nats above.
    assert reached == pytest.approx(predicted, abs=0.01)


def test_two_couplings_give_the_triangular_factor_of_two_elements() -> None:
    covariance = np.array([[1.7, -0.9], [-0.9, 0.8]])
    with default_dtype("float64"):
        block = Coupling(Affine(clamp=4.0), hidden=())
        block.build((2,))
    standardise_given_passive(block.second_from_first, covariance, passive=1)
    # The second element is now independent of the first, which only has to be scaled.
    standardise_given_passive(block.first_from_second, np.diag([1.0, covariance[0, 0]]), passive=1)
    np.testing.assert_allclose(
        matrix(block, 2), np.linalg.inv(np.linalg.cholesky(covariance)), atol=1e-12
    )


def test_a_stack_of_couplings_and_rotations_whitens_any_gaussian() -> None:
    """With each coupling at its optimum, the divergence never grows and falls to zero."""
    dimension = 6
    covariance = correlation(dimension, seed=2)
    start = divergence(covariance)
    with default_dtype("float64"), seeded_initial_weights(1):
        chain = Chain(
            [link for _ in range(16) for link in (Orthogonal(), Coupling(hidden=(), dual=False))]
        )
        chain.build((dimension,))
    left = []
    for link in chain.bijections:
        if isinstance(link, Coupling):
            expected = one_coupling_leaves(covariance, passive=dimension // 2)
            standardise_given_passive(link.second_from_first, covariance, passive=dimension // 2)
        change = matrix(link, dimension)
        covariance = change @ covariance @ change.T
        if isinstance(link, Coupling):
            left.append(divergence(covariance))
            assert left[-1] == pytest.approx(expected, abs=1e-9)
    assert np.all(np.diff([start, *left]) <= 1e-9)
    assert start > 1.0
    # Rotation seeds 1, 2, 3: 2e-5, 1e-5, 8e-7.
    assert left[-1] < 1e-3
