"""ActNorm, permutation and rotation: initialisation, and what must survive saving."""

from __future__ import annotations

import pathlib
import random

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.bijections import ActNorm, Bijection, Chain, Coupling, Orthogonal, Permutation
from bayesinn.core.configuration import clone
from bayesinn.core.errors import InputError
from bayesinn.flows import coupling
from bayesinn.testing.contracts import perturb


def data(rows: int = 512) -> np.ndarray:
    generator = np.random.default_rng(1)
    mixed = generator.standard_normal((rows, 4)) @ generator.standard_normal((4, 4))
    return (100.0 + 20.0 * mixed).astype("float32")


def test_actnorms_of_a_stack_standardise_the_first_batch() -> None:
    chain = coupling(blocks=4, hidden=(16,)).chain
    x = tf.constant(data())
    condition = tf.random.stateless_normal((512, 2), (1, 2))
    chain.build((4,), (2,))
    perturb(chain, np.random.default_rng(2), 0.3)
    chain.initialize(x, condition)
    h = x
    for layer in chain.bijections:
        h, _ = layer.forward(h, condition)
        if isinstance(layer, ActNorm):
            np.testing.assert_allclose(tf.reduce_mean(h, axis=0), 0.0, atol=1e-3)
            np.testing.assert_allclose(tf.math.reduce_std(h, axis=0), 1.0, atol=1e-2)


def test_actnorm_keeps_constant_elements_finite() -> None:
    x = data()
    x[:, 1] = 7.0
    layer = ActNorm(minimum_std=0.01)
    layer.initialize(x)
    z, log_det = layer.forward(x)
    np.testing.assert_allclose(z[:, 1], 0.0, atol=1e-3)
    assert np.isfinite(log_det).all()


def test_actnorm_amplifies_no_constant_element() -> None:
    x = data()
    x[:, 1] = 7.0
    layer = ActNorm()
    layer.initialize(x)
    x[:, 1] = 8.0
    z, _ = layer.forward(x)
    np.testing.assert_allclose(z[:, 1], 1.0, atol=1e-3)
    np.testing.assert_allclose(tf.math.reduce_std(z, axis=0), [1.0, 0.0, 1.0, 1.0], atol=1e-3)
    with pytest.raises(InputError, match="'minimum_std'"):
        ActNorm(minimum_std=0.0)


def test_actnorm_initialises_once_also_after_loading() -> None:
    layer = ActNorm()
    layer.initialize(data())
    weights = layer.get_weights()
    loaded = clone(layer)
    loaded.build((4,))
    loaded.set_weights(weights)
    for kept in (layer, loaded):
        tf.function(kept.initialize)(tf.constant(5.0 * data()))
        for got, expected in zip(kept.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("layer_class", [Permutation, Orthogonal])
def test_random_choices_are_saved_with_the_weights(
    layer_class: type[Bijection], tmp_path: pathlib.Path
) -> None:
    made = Chain([layer_class(), Coupling(hidden=(8,)), layer_class()])
    x = tf.random.stateless_normal((10, 7), (1, 2))
    expected, _ = made.forward(x)
    np.savez(tmp_path / "weights.npz", *made.get_weights())
    loaded = clone(made)
    assert not np.array_equal(loaded.forward(x)[0], expected)
    with np.load(tmp_path / "weights.npz") as weights:
        loaded.set_weights(list(weights.values()))
    np.testing.assert_array_equal(loaded.forward(x)[0], expected)


def test_orthogonal_is_orthogonal_and_uniform() -> None:
    layer = Orthogonal()
    layer.build((50,))
    matrix = np.asarray(layer.matrix)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(50), atol=1e-6)
    # Haar measure: each entry has mean 0 and variance 1/d. A QR without the signs has a biased
    # diagonal.
    corners = []
    for _ in range(400):
        layer = Orthogonal()
        layer.build((3,))
        corners.append(np.asarray(layer.matrix)[0, 0])
    assert abs(np.mean(corners)) < 4.0 * np.sqrt(1.0 / 3.0 / 400.0)


def test_permutation_never_leaves_two_elements_in_place() -> None:
    for _ in range(20):
        layer = Permutation()
        layer.build((2,))
        assert np.asarray(layer.order).tolist() == [1, 0]


def test_initial_weights_follow_python_random() -> None:
    def weights() -> list[np.ndarray]:
        random.seed(3)
        flow = coupling(blocks=2, hidden=(8,))
        flow.build((3,), (2,))
        return flow.get_weights()

    for first, second in zip(weights(), weights(), strict=True):
        np.testing.assert_array_equal(first, second)
