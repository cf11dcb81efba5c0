"""The networks inside of couplings."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayesinn.bijections import Convolutional, Coupling, Perceptron, Spline, Subnet
from bayesinn.bijections.coupling import Perceptrons
from bayesinn.core.configuration import clone, describe, rebuild
from bayesinn.core.seeds import seeded_initial_weights
from bayesinn.flows import MixtureDensity, ResidualMLP
from bayesinn.testing import check_bijection


@pytest.mark.parametrize("groups", [1, 3])
def test_dropout_drops_its_share_of_units_in_training_alone(groups: int) -> None:
    network = Perceptrons((500,), "relu", 0.4, groups).network(2, 1)
    plain = Perceptrons((500,), "relu", 0.0, groups).network(2, 1)
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


@dataclasses.dataclass(frozen=True, repr=False)
class Linear(Subnet):
    """One dense layer, of a user."""

    scale: float = 1.0

    def network(self, features, outputs, dtype=None) -> keras.layers.Layer:
        return keras.layers.Dense(outputs, kernel_initializer="zeros", dtype=dtype)


def test_a_subnet_of_a_user_keeps_the_contract() -> None:
    check_bijection(lambda: Coupling(subnet=Linear()), dimensions=(1, 3))
    check_bijection(lambda: Coupling(subnet=Linear()), event_shape=(2, 2, 3))


def test_subnets_are_saved_by_public_names() -> None:
    for subnet in (Perceptron((8,)), Convolutional((8, 8), 5), Linear(2.0)):
        block = Coupling(subnet=subnet)
        assert repr(clone(block)) == repr(block)
        assert rebuild(describe(subnet)) == subnet
    assert describe(Perceptron())["class"] == "bijections.Perceptron"
    assert describe(Convolutional())["class"] == "bijections.Convolutional"
    # As it was saved before there were subnets.
    arguments = {"transform": None, "hidden": [8], "activation": "relu", "dropout": 0.0}
    old = rebuild({"class": "bijections.Coupling", "arguments": {**arguments, "dual": True}})
    assert repr(old) == "Coupling(hidden=(8,), activation='relu')"


def test_a_perceptron_is_what_the_arguments_of_a_coupling_make() -> None:
    blocks = []
    for options in (
        {"hidden": (8,), "activation": "relu"},
        {"subnet": Perceptron((8,), activation="relu")},
    ):
        with seeded_initial_weights(1):
            blocks.append(Coupling(**options))
            blocks[-1].build((3,), (2,))
    for got, expected in zip(blocks[1].get_weights(), blocks[0].get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_sizes_may_be_integers_of_numpy() -> None:
    size = np.int64(8)
    assert Perceptron((size, size)) == Perceptron((8, 8))
    assert (
        repr(Convolutional(np.array([8]), np.int64(1)))
        == "Convolutional(filters=(8,), kernel_size=1)"
    )
    x = tf.ones((2, 4, 4, 2))
    Coupling(Spline(bins=size), subnet=Convolutional((size,), size)).forward(x)
    Coupling(Spline(bins=size), hidden=(size,)).forward(tf.ones((2, 3)))
    MixtureDensity(components=size).build((3,))
    network = ResidualMLP(units=size, blocks=np.int64(1))
    network.build((3,))
    assert network(tf.ones((2, 3)), tf.zeros((1,))).shape == (2, 3)
