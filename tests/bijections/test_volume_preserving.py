"""The volume-preserving transform, and the shapes of soft clamps."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayesinn.bijections import (
    Affine,
    Bijection,
    Chain,
    Coupling,
    Hierarchical,
    Orthogonal,
    Permutation,
    Spline,
    VolumePreserving,
)
from bayesinn.core.errors import InputError
from bayesinn.core.seeds import seeded_initial_weights
from bayesinn.testing.contracts import default_dtype, perturb
from tests.bijections.linear_optimum import correlation


def raw_of(scales: list[float]) -> tf.Tensor:
    return tf.constant([[[scale, 0.0] for scale in scales]], tf.float64)


@pytest.mark.parametrize(
    ("clamping", "expected", "tolerance"),
    [
        ("atan", [0.586014, -1.217110, 1.672887], 1e-6),
        # Published code rounds 2 / pi to 0.636.
        ("steep atan", [0.949075, -1.509347, 1.777711], 2e-3),
        ("tanh", [0.916864, -1.745031, 1.899898], 1e-6),
    ],
)
def test_soft_clamps(clamping: str, expected: list[float], tolerance: float) -> None:
    raw = raw_of([1.0, -3.0, 10.0])
    _, log_scale = Affine(clamp=1.9, clamping=clamping).forward(tf.zeros((1, 3), tf.float64), raw)
    np.testing.assert_allclose(log_scale[0], expected, atol=tolerance)
    _, log_scale = Affine(clamp=1.9, clamping=clamping).forward(
        tf.zeros((1, 2), tf.float64), raw_of([-1e9, 1e9])
    )
    np.testing.assert_allclose(log_scale[0], [-1.9, 1.9], atol=1e-6)


def test_log_scales_are_centred() -> None:
    # With a bound far away, tanh leaves the values as they are.
    wide = VolumePreserving(clamp=1e6, clamping="tanh")
    z, log_slope = wide.forward(tf.ones((1, 3), tf.float64), raw_of([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(log_slope[0], [-1.0, 0.0, 1.0], atol=1e-9)
    np.testing.assert_allclose(z[0], np.exp([-1.0, 0.0, 1.0]), atol=1e-9)


def test_log_scales_sum_to_zero_and_stay_within_twice_the_bound() -> None:
    raw = tf.constant(np.random.default_rng(1).standard_cauchy((1000, 5, 2)) * 10.0)
    _, log_slope = VolumePreserving(clamp=1.5).forward(tf.ones((1000, 5), tf.float64), raw)
    np.testing.assert_allclose(tf.reduce_sum(log_slope, axis=1), 0.0, atol=1e-12)
    assert 1.5 < float(tf.reduce_max(tf.abs(log_slope))) < 3.0


def test_a_single_element_is_only_shifted() -> None:
    z, log_slope = VolumePreserving().forward(tf.constant([[3.0]]), tf.constant([[[7.0, 0.5]]]))
    assert float(z[0, 0]) == 3.5
    assert float(log_slope[0, 0]) == 0.0


@pytest.mark.parametrize(
    "factory",
    [
        lambda: Coupling(VolumePreserving(), hidden=(16,)),
        lambda: Hierarchical(VolumePreserving(), hidden=(16,)),
        lambda: Chain([Permutation(), Coupling(VolumePreserving(), hidden=(16,), dual=False)]),
    ],
    ids=["coupling", "hierarchical", "chain"],
)
@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_volumes_are_kept_exactly(factory, dimension: int) -> None:
    bijection = factory()
    bijection.build((dimension,), (3,))
    perturb(bijection, np.random.default_rng(1), 2.0)
    generator = np.random.default_rng(2)
    x = generator.standard_normal((50, dimension))
    condition = generator.standard_normal((50, 3))
    for direction in (bijection.forward, bijection.inverse):
        moved, log_det = direction(x, condition)
        assert float(tf.reduce_max(tf.abs(moved - x))) > 0.1
        np.testing.assert_array_equal(log_det, np.zeros(50))


def test_properties_tell_where_a_transform_may_be_used() -> None:
    assert (Affine().elementwise, Affine().volume_preserving) == (True, False)
    assert (Spline().elementwise, Spline().volume_preserving) == (True, False)
    assert (VolumePreserving().elementwise, VolumePreserving().volume_preserving) == (False, True)
    assert repr(VolumePreserving(clamp=2.0)) == "VolumePreserving(clamp=2.0)"


def test_a_volume_preserving_flow_spreads_a_gaussian_evenly_but_no_further() -> None:
    """Volumes and so the product of latent variances are constant: their sum is least if equal."""
    dimension = 4
    covariance = correlation(dimension, seed=4)
    floor = dimension * np.linalg.det(covariance) ** (1.0 / dimension)
    factor = np.linalg.cholesky(covariance)
    links: list[Bijection] = []
    with default_dtype("float64"), seeded_initial_weights(1):
        for _ in range(3):
            links += [Orthogonal(), Coupling(VolumePreserving(), hidden=(), dual=True)]
        chain = Chain(links)
        chain.build((dimension,))
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.02, 300, alpha=0.01))
    optimizer.build(chain.trainable_variables)

    @tf.function
    def train() -> None:
        for step in tf.range(300):
            x = (
                tf.random.stateless_normal((256, dimension), tf.stack([step, 1]), dtype=tf.float64)
                @ factor.T
            )
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.reduce_sum(chain.forward(x)[0] ** 2, axis=1))
            gradients = tape.gradient(
                loss, [variable.value for variable in chain.trainable_variables]
            )
            optimizer.apply_gradients(zip(gradients, chain.trainable_variables, strict=True))

    train()
    x = tf.random.stateless_normal((200_000, dimension), (7, 7), dtype=tf.float64) @ factor.T
    latent = chain.forward(x)[0].numpy()
    assert floor < dimension - 1.0
    # Weight seeds 1, 2, 3: 1.0005, 1.0004, 1.0004, with a sampling error of 0.002.
    assert 0.99 < np.mean(np.sum(latent**2, axis=1)) / floor < 1.01


def test_bad_arguments_are_explained() -> None:
    with pytest.raises(InputError, match="VolumePreserving, argument 'clamp'"):
        VolumePreserving(clamp=0.0)
    with pytest.raises(InputError, match="'atan', 'steep atan' or 'tanh'"):
        Affine(clamping="relu")
