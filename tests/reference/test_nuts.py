"""NUTS: several densities at once, of other scales, correlations and modes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.stats import kstest, norm

from bayesinn.reference import NUTS, Chains

tfd = tfp.distributions

SDS = np.array([[1.0, 0.01], [0.1, 3.0]], np.float32)
CORRELATION = 0.95


def correlated(x: tf.Tensor, sds: tf.Tensor) -> tf.Tensor:
    """Return log densities of two correlated elements, with means of two sds."""
    z = x / sds[:, None] - 2.0
    cross = 2.0 * CORRELATION * z[..., 0] * z[..., 1]
    return -0.5 * (tf.reduce_sum(z**2, axis=-1) - cross) / (1.0 - CORRELATION**2)


@pytest.fixture(scope="module")
def chains() -> Chains:
    start = tf.random.stateless_normal((2, 6, 2), (1, 2))
    return NUTS(correlated).run(start, tf.constant(SDS), draws=500, seed=3)


def test_draws_of_each_density(chains: Chains) -> None:
    assert chains.vectors.shape == (2, 6, 500, 2)
    for row, sds in zip(chains.vectors, SDS, strict=True):
        for element, sd in enumerate(sds):
            draws = row[..., element].ravel() / sd
            assert kstest(draws, norm(2.0, 1.0).cdf).statistic < 0.06
        assert np.corrcoef(row.reshape(-1, 2).T)[0, 1] == pytest.approx(CORRELATION, abs=0.02)


def test_densities_are_those_of_the_draws(chains: Chains) -> None:
    flat = tf.constant(chains.vectors.reshape(2, -1, 2))
    again = correlated(flat, tf.constant(SDS)).numpy().reshape(chains.log_density.shape)
    np.testing.assert_allclose(chains.log_density, again, atol=1e-2)
    assert chains.diverged.mean() < 0.01


def test_chains_of_equal_seeds_are_equal(chains: Chains) -> None:
    start = tf.random.stateless_normal((2, 6, 2), (1, 2))
    again = NUTS(correlated).run(start, tf.constant(SDS), draws=500, seed=3)
    np.testing.assert_array_equal(again.vectors, chains.vectors)
