"""The perceptrons inside of blocks."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.bijections.subnet import HiddenLayers, perceptron


@pytest.mark.parametrize("groups", [1, 3])
def test_dropout_drops_its_share_of_units_in_training_alone(groups: int) -> None:
    network = perceptron(2, 1, HiddenLayers((500,), "relu", dropout=0.4), None, groups)
    plain = perceptron(2, 1, HiddenLayers((500,), "relu"), None, groups)
    x = tf.ones((4, groups, 2) if groups > 1 else (4, 2))
    # Of the last layer, whose kernel starts at zero, the input.
    hidden = network.layers[:-1]
    assert [len(part.layers) for part in (network, plain)] == [3, 2]
    dense = hidden[0](x)
    kept = hidden[1](dense, training=True)
    active = dense.numpy() != 0.0
    # Of a thousand values or more, with a standard error of 0.016 or less.
    assert np.mean(kept.numpy()[active] == 0.0) == pytest.approx(0.4, abs=0.1)
    np.testing.assert_array_equal(hidden[1](dense, training=False), dense)
    np.testing.assert_array_equal(network(x, training=True), tf.zeros_like(network(x)))
