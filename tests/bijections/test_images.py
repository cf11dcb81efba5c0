"""Bijections of images keep the contract, and each has the law that it is named after."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy
import tensorflow as tf

from bayesinn.bijections import (
    ActNorm,
    Affine,
    Bijection,
    Chain,
    Convolutional,
    Coupling,
    DCTPooling,
    Haar,
    Householder,
    LULinear,
    MultiScale,
    Orthogonal,
    Permutation,
    Reshape,
    Residual,
    SpaceToDepth,
    Spline,
    VolumePreserving,
)
from bayesinn.bijections.chain import reversible_chains, round_trip_errors
from bayesinn.core.configuration import clone
from bayesinn.core.errors import InputError
from bayesinn.core.seeds import seeded_initial_weights
from bayesinn.flows import image
from bayesinn.testing import check_bijection
from bayesinn.testing.contracts import default_dtype, perturb

SHAPES = ((8, 8, 1), (8, 6, 3), (4, 4, 4))
IDS = ("8x8x1", "8x6x3", "4x4x4")
SMALL = Convolutional(filters=(4,))


def step() -> list[Bijection]:
    return [ActNorm(), Orthogonal(), Coupling(Affine(clamp=1.0), subnet=SMALL)]


def two_levels(
    reversible: bool = False, second: Callable[[], Bijection] = SpaceToDepth
) -> MultiScale:
    return MultiScale([Chain([down(), *step()], reversible) for down in (Haar, second)])


REGISTRY: dict[str, Callable[[], Bijection]] = {
    "Haar": Haar,
    "space to depth": SpaceToDepth,
    "cosine pooling": DCTPooling,
    "reshape": Reshape,
    "actnorm": ActNorm,
    "permutation": Permutation,
    "orthogonal": Orthogonal,
    "householder": Householder,
    "lu": LULinear,
    "affine coupling": lambda: Coupling(subnet=SMALL),
    "spline coupling": lambda: Coupling(Spline(bins=4), hidden=(4,), dual=False),
    "volume-preserving coupling": lambda: Coupling(VolumePreserving(), subnet=SMALL, dual=False),
    "chain": lambda: Chain(step()),
}
LEVELS: dict[str, Callable[[], Bijection]] = {
    "two levels": two_levels,
    "two reversible levels": lambda: two_levels(reversible=True),
    "nothing finished": lambda: MultiScale([Chain([Haar(), *step()]) for _ in "ab"], finished=0.0),
    "ends in a vector": lambda: MultiScale(
        [Chain([Haar(), *step()]), Chain([DCTPooling(), Coupling(hidden=(4,))])], finished=0.75
    ),
}


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
@pytest.mark.parametrize("name", REGISTRY)
def test_bijection_of_images(name: str, shape: tuple[int, int, int]) -> None:
    # Without a condition where that is a case of its own: a single channel has nothing to read.
    conditions = (0, 4) if shape[-1] == 1 else (4,)
    check_bijection(REGISTRY[name], event_shape=shape, condition_dimensions=conditions)


@pytest.mark.parametrize("shape", [(8, 8, 1), (4, 2, 3)], ids=["8x8x1", "4x2x3"])
def test_residual_blocks_of_images(shape: tuple[int, int, int]) -> None:
    # Of little slope, because inverses are iterated until they are exact.
    block = partial(Residual, hidden=(2,), lipschitz=0.3)
    check_bijection(block, event_shape=shape, condition_dimensions=(4,))


@pytest.mark.parametrize("name", LEVELS)
def test_levels_of_images(name: str) -> None:
    check_bijection(LEVELS[name], event_shape=(8, 4, 2), condition_dimensions=(4,))


def test_gated_coupling_of_unequal_halves() -> None:
    subnet = Convolutional(filters=(4,), gated=True)
    block = partial(Coupling, Affine(clamp=1.0), subnet=subnet, split=0.25)
    check_bijection(block, event_shape=(4, 4, 4), condition_dimensions=(4,))


def test_maps_are_conditions_too() -> None:
    # One channel, whose parameters follow from the map alone, and several.
    for event_shape in ((4, 4, 1), (4, 4, 3)):
        block = partial(Coupling, subnet=SMALL, reads="map")
        check_bijection(block, event_shape=event_shape, condition_shape=(4, 4, 2))
    block = partial(Residual, hidden=(2,), lipschitz=0.3, reads="map")
    check_bijection(block, event_shape=(4, 4, 1), condition_shape=(4, 4, 2))
    with pytest.raises(InputError, match=r"maps of the size \(4, 4\)"):
        Coupling(reads="map").forward(tf.ones((5, 4, 4, 3)), tf.ones((5, 2, 2, 3)))
    with pytest.raises(InputError, match=r"maps of the size \(4, 4\)"):
        Residual(reads="map").forward(tf.ones((5, 4, 4, 3)), tf.ones((5, 2, 2, 3)))


def test_levels_read_maps_of_their_resolutions() -> None:
    first = Coupling(subnet=SMALL, reads="fine")
    second = Coupling(subnet=SMALL, reads="coarse")
    scales = MultiScale([Chain([Haar(), first], True), Chain([Haar(), second], True)])
    x = tf.random.stateless_normal((5, 8, 4, 1), (1, 2))
    condition = {
        "features": tf.random.stateless_normal((5, 3), (1, 3)),
        "fine": tf.random.stateless_normal((5, 4, 2, 2), (1, 4)),
        "coarse": tf.random.stateless_normal((5, 2, 1, 6), (1, 5)),
    }
    scales.forward(x, condition)
    perturb(scales, np.random.default_rng(1), 0.3)
    with tf.GradientTape() as tape:
        tape.watch(condition)
        z, log_det = scales.forward(x, condition)
        total = tf.reduce_sum(z**2) - tf.reduce_sum(log_det)
    gradients = tape.gradient(total, condition, unconnected_gradients="zero")
    assert {name for name, value in gradients.items() if np.any(value)} == {"fine", "coarse"}
    x_again, _ = scales.inverse(z, condition)
    np.testing.assert_allclose(x_again, x, atol=1e-4)


def test_a_vector_is_the_same_condition_for_all_pixels() -> None:
    block = Coupling(subnet=SMALL)
    block.build((4, 4, 3), (2,))
    perturb(block, np.random.default_rng(1), 0.3)
    of_maps = Coupling(subnet=SMALL, reads="map")
    of_maps.build((4, 4, 3), (4, 4, 2))
    of_maps.set_weights(block.get_weights())
    x = tf.random.stateless_normal((5, 4, 4, 3), (1, 2))
    vector = tf.random.stateless_normal((5, 2), (1, 3))
    maps = tf.broadcast_to(vector[:, None, None], (5, 4, 4, 2))
    for got, expected in zip(block.forward(x, vector), of_maps.forward(x, maps), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_haar_by_hand() -> None:
    x = np.array([[1.0, 2.0], [3.0, 5.0]])[..., None] * np.array([1.0, 10.0])
    z, _ = Haar().forward(tf.constant(x[None], tf.float32))
    # Averages of both channels, then left to right, top to bottom, and along the diagonals.
    np.testing.assert_allclose(z[0, 0, 0], [5.5, 55.0, -1.5, -15.0, -2.5, -25.0, 0.5, 5.0])
    z, log_det = Haar(rebalance=0.5).forward(tf.constant(x[None], tf.float32))
    np.testing.assert_allclose(z[0, 0, 0, :2], [2.75, 27.5])
    np.testing.assert_allclose(log_det, [8.0 * np.log(0.5)], rtol=1e-6)
    check_bijection(lambda: Haar(rebalance=0.5), event_shape=(4, 2, 3), near_identity=False)


def test_cosine_pooling_is_the_cosine_transform() -> None:
    x = np.random.default_rng(1).standard_normal((2, 4, 6, 3)).astype(np.float32)
    z, _ = DCTPooling().forward(x)
    expected = scipy.fft.dctn(x, axes=(1, 2), norm="ortho").reshape(2, 24, 3)
    pooled = tf.reshape(z, (2, 24, 3))
    # The averages first, then one wave half as long as the longer side.
    np.testing.assert_allclose(pooled[:, 0], np.sqrt(24) * x.mean(axis=(1, 2)), atol=1e-5)
    np.testing.assert_allclose(pooled[:, 1], expected[:, 1], atol=1e-5)
    np.testing.assert_allclose(np.sort(pooled, axis=1), np.sort(expected, axis=1), atol=1e-5)


def test_levels_finish_the_last_channels() -> None:
    scales = MultiScale([Haar(), Haar()], finished=0.75)
    x = tf.random.stateless_normal((5, 8, 4, 1), (1, 2))
    z, _ = scales.forward(x)
    first, _ = Haar().forward(x)
    second, _ = Haar().forward(first[..., :1])
    np.testing.assert_array_equal(z[:, :24], tf.reshape(first[..., 1:], (5, 24)))
    np.testing.assert_array_equal(z[:, 24:], tf.reshape(second, (5, 8)))


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_reversible_levels_have_the_gradients_of_stored_ones(shape: tuple[int, int, int]) -> None:
    x = tf.random.stateless_normal((6, *shape), (1, 2), dtype=tf.float64)
    condition = tf.random.stateless_normal((6, 3), (1, 3), dtype=tf.float64)
    gradients = []
    with default_dtype("float64"):
        for reversible in (False, True):
            with seeded_initial_weights(1):
                scales = two_levels(reversible, second=Haar if shape[1] % 4 == 0 else ActNorm)
                scales.build(shape, (3,))
            perturb(scales, np.random.default_rng(1), 0.3)
            assert len(reversible_chains(scales)) == (2 if reversible else 0)
            assert len(round_trip_errors(scales, x, condition)) == (2 if reversible else 0)
            weights = [variable.value for variable in scales.trainable_variables]
            with tf.GradientTape() as tape:
                tape.watch((x, condition))
                z, log_det = scales.forward(x, condition)
                loss = tf.reduce_sum(z**2) - tf.reduce_sum(log_det)
            gradients.append(tape.gradient(loss, [x, condition, *weights]))
    for stored, recomputed in zip(*gradients, strict=True):
        np.testing.assert_allclose(recomputed, stored, rtol=1e-9, atol=1e-9)


def test_levels_are_initialised_and_copied() -> None:
    scales = two_levels()
    x = 10.0 + 5.0 * tf.random.stateless_normal((500, 8, 4, 2), (1, 2))
    scales.initialize(x)
    for level, events in scales.walk(x):
        h, _ = level.bijections[0].forward(events)
        h, _ = level.bijections[1].forward(h)
        np.testing.assert_allclose(tf.reduce_mean(h, axis=(0, 1, 2)), 0.0, atol=1e-3)
        np.testing.assert_allclose(tf.math.reduce_std(h, axis=(0, 1, 2)), 1.0, atol=1e-3)
    assert repr(clone(scales)) == repr(scales)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Haar().forward(tf.ones((1, 3, 4, 1))), "an even height"),
        (lambda: Haar(rebalance=0.0), "'rebalance'"),
        (lambda: MultiScale([Haar()], finished=1.0), "'finished'"),
        (lambda: Reshape((3, 3, 1)).forward(tf.ones((1, 8))), "a shape of 8 elements"),
        (lambda: Coupling(subnet="wide"), "'subnet'"),
        (lambda: Residual(kernel_size=2), "an odd number"),
        (lambda: Coupling(hidden=(8,), subnet=SMALL), "give them to the subnet"),
        (lambda: image(levels=0), "'levels'"),
        (lambda: image(levels=3, reads=("maps1", "maps2")), "'reads'"),
        (lambda: Coupling(split=1.0), "'split'"),
    ],
)
def test_bad_arguments_are_explained(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("channels", [1, 3, 8])
def test_a_quarter_of_the_channels_is_the_first_half(channels: int) -> None:
    block = Coupling(subnet=SMALL, dual=False, split=0.25)
    x = tf.random.stateless_normal((5, 2, 2, channels), (1, 2))
    block.forward(x)
    perturb(block, np.random.default_rng(1), 0.3)
    same = np.all(block.forward(x)[0] == x, axis=(0, 1, 2))
    # At least one of several, so that there is something to read.
    first = {1: 0, 8: 2}.get(channels, 1)
    assert same.tolist() == [True] * first + [False] * (channels - first)


@pytest.mark.parametrize(
    "options",
    [{}, {"shape": (8, 4, 1)}, {"dense": 1, "mixing": None, "finished": 0.75}],
    ids=["images", "vectors", "then dense"],
)
def test_recipe(options: dict[str, Any]) -> None:
    flow = image(levels=2, blocks=1, filters=(4,), reversible=True, **options)
    shape = options.get("shape")
    events = (8, 4, 1) if shape is None else (32,)
    flow.build(events, (3,))
    perturb(flow, np.random.default_rng(1), 0.2)
    condition = tf.random.stateless_normal((4, 3), (1, 2))
    draws = flow.sample(5, condition, seed=(1, 2))
    assert draws.shape == (4, 5, *events)
    assert repr(clone(flow)) == repr(flow)
    x = tf.reshape(draws, (20, *events))
    repeated = tf.repeat(condition, 5, axis=0)
    codes = flow.encode(x, repeated)
    np.testing.assert_allclose(flow.decode(codes, repeated), x, atol=1e-4)
