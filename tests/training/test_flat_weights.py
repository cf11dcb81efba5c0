"""All trained weights as one vector."""

from __future__ import annotations

import keras
import numpy as np

from bayesinn.training.step import FlatWeights


def test_weights_come_back_as_they_were_and_in_their_places() -> None:
    network = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(2)])
    network.build((None, 4))
    layout = FlatWeights([network])
    before = [variable.numpy() for variable in network.trainable_variables]
    vector = layout.pack()
    np.testing.assert_array_equal(vector, np.concatenate([np.ravel(part) for part in before]))
    layout.assign(vector[::-1])
    layout.assign(vector)
    for variable, value in zip(network.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
