"""Frames: the expected posterior becomes standard normal, and they train only the estimate."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from bayesinn.flows import coupling
from bayesinn.posterior.network import PosteriorNetwork
from bayesinn.summaries import Condition, Frame, Summary


class Framing(Summary):
    """Gives whatever frame it is handed."""

    frames = True


def frame(location: np.ndarray, root: np.ndarray, estimate: tf.Tensor | None = None) -> Frame:
    location = tf.constant(location, tf.float32)
    root = tf.constant(root, tf.float32)
    return Frame(
        location, root, tf.zeros_like(location), location if estimate is None else estimate
    )


def test_a_correlated_normal_becomes_standard() -> None:
    generator = np.random.default_rng(1)
    root = np.tril(generator.normal(size=(3, 3)))
    root[np.diag_indices(3)] = 0.1, 2.0, 1e-2
    z = generator.normal(size=(5, 3))
    location = generator.normal(size=3)
    # One row serves all vectors.
    given = frame(location[None], root[None])
    vector = tf.constant(location + z @ root.T, tf.float32)
    found, log_det = Framing().whiten(vector, given)
    # Rounding errors for seeds 1, 2, 3: at most 1.1e-5.
    np.testing.assert_allclose(found, z, atol=1e-4)
    np.testing.assert_allclose(log_det, -np.log(0.1 * 2.0 * 1e-2), atol=1e-5)
    back, log_det_back = Framing().unwhiten(found, given)
    np.testing.assert_allclose(back, vector, atol=1e-5)
    np.testing.assert_allclose(log_det + log_det_back, 0.0, atol=1e-5)


def test_the_loss_trains_the_estimate_and_its_value_stays_in_nats() -> None:
    network = PosteriorNetwork({"x": Framing()}, coupling(blocks=1, hidden=(4,)))
    x = tf.constant([[1.0, 3.0]])
    estimate = tf.Variable([[0.0, 1.0]])
    location = np.zeros((1, 2))
    root = np.eye(2)[None]
    with tf.GradientTape() as tape:
        condition = Condition(
            tf.zeros((1, 1)), frame(location, root, tf.convert_to_tensor(estimate))
        )
        loss = network.loss(x, condition, tf.constant([1, 2]))
    np.testing.assert_array_equal(loss, -network.log_prob(x, condition))
    # The gradient of half the squared distance.
    assert tape.gradient(loss, estimate).numpy().tolist() == [[-1.0, -2.0]]
    far = Condition(tf.zeros((1, 1)), frame(location, root, tf.constant([[1e3, 1e30]])))
    np.testing.assert_array_equal(
        network.loss(x, far, tf.constant([1, 2])), -network.log_prob(x, far)
    )


def test_everything_a_summary_gives_is_compared() -> None:
    condition = Condition(tf.ones((2, 5)), frame(np.zeros((2, 3)), np.tile(np.eye(3), (2, 1, 1))))
    assert condition.flat().shape == (2, 3 + 6 + 5)
    assert Condition(tf.ones((2, 5))).flat().shape == (2, 5)
