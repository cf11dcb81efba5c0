"""Regularisers and constraints of Keras layers act in training; losses that layers add do not."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.training.step import FlatWeights
from tests.helpers.models import small_flow

STRENGTH = 0.25


def test_a_penalty_has_the_gradient_of_the_regularisers_and_no_value() -> None:
    network = keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(STRENGTH))
    network.build((None, 4))
    layout = FlatWeights([network])
    vector = tf.constant(layout.pack())
    with tf.GradientTape() as tape:
        tape.watch(vector)
        penalty = layout.penalty(layout.unpack(vector))
    kernel, bias = layout.unpack(tape.gradient(penalty, vector))
    assert penalty.numpy() == 0.0
    np.testing.assert_allclose(kernel, 2.0 * STRENGTH * network.kernel.numpy(), rtol=1e-6)
    np.testing.assert_array_equal(bias, np.zeros(3))


def test_constraints_of_each_network_change_its_own_weights() -> None:
    networks = [keras.layers.Dense(2, kernel_constraint="non_neg") for _ in range(2)]
    for network in networks:
        network.build((None, 2))
    layout = FlatWeights(networks)
    vector = np.array([1.0, -2.0, 3.0, -4.0, -5.0, 6.0, -7.0, 8.0, 9.0, -10.0, -11.0, 12.0])
    expected = [1.0, 0.0, 3.0, 0.0, -5.0, 6.0, 0.0, 8.0, 9.0, 0.0, -11.0, 12.0]
    assert layout.constrained
    np.testing.assert_array_equal(layout.constrain(tf.constant(vector)), expected)


class OneLayer(bi.summaries.Summary):
    """A dense layer, with what Keras offers to regularise it."""

    def __init__(
        self,
        kernel_constraint: Any = None,
        kernel_regularizer: Any = None,
        activity_regularizer: Any = None,
    ) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(
            4,
            kernel_constraint=kernel_constraint,
            kernel_regularizer=kernel_regularizer,
            activity_regularizer=activity_regularizer,
        )

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        return self.dense(x)


@bi.simulator(prior={"mean": tfp.distributions.Normal(0.0, 1.0)})
def readings(parameters, seed):
    mean = parameters["mean"][:, None]
    return {"x": mean + tf.random.stateless_normal((tf.shape(mean)[0], 3), seed)}


def kernel(networks: int = 1, **options: Any) -> np.ndarray:
    summary = OneLayer(**options)
    posterior = bi.AmortizedPosterior(readings, summary, small_flow(blocks=1), networks=networks)
    posterior.fit(steps=60, batch_size=32, seed=1, progress=False)
    network = posterior.model.members[-1]
    return network.summaries["x"].dense.kernel.numpy()


@pytest.mark.parametrize("networks", [1, 2])
def test_training_heeds_regularisers_and_constraints(networks: int) -> None:
    plain = kernel(networks)
    assert plain.min() < 0.0
    assert kernel(networks, kernel_constraint="non_neg").min() >= 0.0
    shrunk = kernel(networks, kernel_regularizer=keras.regularizers.L2(10.0))
    # In 60 steps, which the average remembers: measured .61 and .64.
    assert np.sum(shrunk**2) < 0.8 * np.sum(plain**2)


def test_losses_that_a_layer_adds_are_refused() -> None:
    with pytest.raises(InputError, match="activity_regularizer"):
        kernel(activity_regularizer="l2")
