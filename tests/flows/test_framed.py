"""Framed flows: the expected law becomes standard normal, and all that a flow can do stays."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.core.errors import InputError
from bayesinn.flows import Framed, InvertibleFlow, coupling

SEED = (1, 2)


def framed() -> tuple[Framed, dict[str, tf.Tensor]]:
    """A flow whose weights aren't those of the identity, and conditions (5, ...)."""
    generator = np.random.default_rng(1)
    root = np.tril(0.3 * generator.normal(size=(5, 3, 3)))
    root[:, np.arange(3), np.arange(3)] = generator.uniform(0.1, 2.0, size=(5, 3))
    condition = {
        "features": generator.normal(size=(5, 2)),
        "location": generator.normal(size=(5, 3)),
        "root": root,
    }
    condition = {name: tf.constant(value, tf.float32) for name, value in condition.items()}
    flow = Framed(coupling(blocks=2, hidden=(8,)))
    flow.build((3,), {name: value.shape[1:] for name, value in condition.items()})
    for variable in flow.trainable_variables:
        variable.assign_add(0.1 * generator.normal(size=variable.shape))
    return flow, condition


def test_a_correlated_normal_becomes_standard() -> None:
    generator = np.random.default_rng(1)
    root = np.tril(generator.normal(size=(3, 3)))
    root[np.diag_indices(3)] = 0.1, 2.0, 1e-2
    z = generator.normal(size=(5, 3))
    location = generator.normal(size=3)
    # One row serves all vectors.
    given = {
        "location": tf.constant(location[None], tf.float32),
        "root": tf.constant(root[None], tf.float32),
    }
    x = tf.constant(location + z @ root.T, tf.float32)
    flow = Framed(coupling())
    found, log_det = flow.whiten(x, given)
    # Rounding errors for seeds 1, 2, 3: at most 1.1e-5.
    np.testing.assert_allclose(found, z, atol=1e-4)
    np.testing.assert_allclose(log_det, -np.log(0.1 * 2.0 * 1e-2), atol=1e-5)
    back, log_det_back = flow.unwhiten(found, given)
    np.testing.assert_allclose(back, x, atol=1e-5)
    np.testing.assert_allclose(log_det + log_det_back, 0.0, atol=1e-5)


def test_draws_densities_and_codes_belong_together() -> None:
    flow, condition = framed()
    draws = flow.sample(4, condition, seed=SEED)
    assert draws.shape == (5, 4, 3)
    # The same draws, one row at a time, which takes another way.
    z = flow.flow.sample(4, condition, seed=SEED)
    for row in range(5):
        one = {name: value[row : row + 1] for name, value in condition.items()}
        np.testing.assert_allclose(flow.unwhiten(z[row], one)[0], draws[row], atol=1e-5)
    x = draws[:, 0]
    codes = flow.encode(x, condition)
    np.testing.assert_allclose(flow.decode(codes, condition), x, atol=1e-5)
    log_det = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(condition["root"])), axis=-1)
    expected = flow.flow.log_prob(z[:, 0], condition) - log_det
    np.testing.assert_allclose(flow.log_prob(x, condition), expected, atol=1e-5)
    np.testing.assert_array_equal(flow.loss(x, condition), -flow.log_prob(x, condition))


def test_entries_that_are_missing_are_named() -> None:
    with pytest.raises(InputError, match=r"'location': \(3,\), 'root': \(3, 3\)"):
        Framed(coupling()).log_prob(tf.ones((2, 3)), tf.ones((2, 4)))


def test_a_tensor_is_features() -> None:
    flow: InvertibleFlow = coupling(blocks=1, hidden=(8,))
    x = tf.ones((4, 3))
    condition = tf.ones((4, 2))
    expected = flow.log_prob(x, condition)
    np.testing.assert_array_equal(flow.log_prob(x, {"features": condition}), expected)
    draws = flow.sample(5, condition, seed=SEED)
    np.testing.assert_array_equal(flow.sample(5, {"features": condition}, seed=SEED), draws)


def test_a_single_frame_serves_all_events() -> None:
    flow = Framed(coupling(blocks=1, hidden=(8,)))
    condition = {
        "location": tf.constant([[1.0, 2.0, 3.0]]),
        "features": tf.ones((4, 2)),
        "root": tf.eye(3, batch_shape=[1]),
    }
    assert flow.log_prob(tf.ones((4, 3)), condition).shape == (4,)
    draws = flow.sample(5, condition, seed=(1, 2))
    assert draws.shape == (4, 5, 3)
    each = {
        name: tf.repeat(value, 4 // value.shape[0], axis=0) for name, value in condition.items()
    }
    np.testing.assert_allclose(draws, flow.sample(5, each, seed=(1, 2)), rtol=1e-5)


def test_double_precision_arrays_are_cast() -> None:
    flow, condition = framed()
    x = np.linspace(-1.0, 1.0, 15).reshape(5, 3)
    double = {name: np.float64(value) for name, value in condition.items()}
    expected = flow.log_prob(tf.constant(x, tf.float32), condition)
    np.testing.assert_array_equal(flow.log_prob(x, double), expected)
    expected = flow.encode(tf.constant(x, tf.float32), condition)
    np.testing.assert_array_equal(flow.encode(x, double), expected)
