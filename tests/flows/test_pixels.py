"""Bits per dimension against laws that are known exactly."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.core.errors import InputError
from bayesinn.flows import bits_per_dimension, dequantise

IMAGES = np.random.default_rng(1).integers(0, 17, (50, 8, 8, 1))


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_the_uniform_density_needs_all_bits(levels: int) -> None:
    bits = bits_per_dimension(lambda x: tf.zeros(len(x)), IMAGES % levels, levels, seed=(1, 2))
    np.testing.assert_array_equal(bits, np.full(50, np.log2(levels), np.float32))


def test_a_law_that_is_constant_on_each_level_needs_its_entropy() -> None:
    chances = np.bincount(IMAGES.ravel(), minlength=17) / IMAGES.size
    table = tf.constant(np.log(17.0 * chances), tf.float32)

    def log_prob(x: tf.Tensor) -> tf.Tensor:
        level = tf.minimum(tf.cast(tf.floor(17.0 * x), tf.int32), 16)
        return tf.reduce_sum(tf.gather(table, level), axis=(1, 2, 3))

    bits = bits_per_dimension(log_prob, IMAGES, 17, seed=(1, 2))
    entropy = -np.sum(chances * np.log2(chances))
    assert np.mean(bits) == pytest.approx(entropy, rel=1e-5)


def test_dequantised_images_are_uniform_within_their_level() -> None:
    x = dequantise(IMAGES, 17, seed=(1, 2)).numpy()
    rest = 17.0 * x - IMAGES
    assert rest.min() > -1e-5
    assert rest.max() < 1.0 + 1e-5
    # 3,200 numbers: the standard error is 0.005.
    assert rest.mean() == pytest.approx(0.5, abs=0.02)
    with pytest.raises(InputError, match="'levels'"):
        dequantise(IMAGES, 1, seed=(1, 2))


def test_rounding_takes_no_number_to_the_next_level() -> None:
    images = tf.fill((1_000_000,), 255.0)
    for seed in range(4):
        assert float(tf.reduce_max(dequantise(images, seed=(1, seed)))) < 1.0


@pytest.mark.parametrize("value", [0.5, 256.0, -1.0, np.nan])
def test_images_of_other_numbers_are_refused(value: float) -> None:
    images = np.array([[0.0, 255.0, value]], np.float32)
    with pytest.raises(InputError, match=rf"from 0 to 255\n  got:      {value:g} among them"):
        bits_per_dimension(lambda x: tf.zeros(len(x)), images, seed=(1, 2))
