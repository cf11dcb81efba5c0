"""Events of any shape: base class, chains and checks take images; vector bijections refuse them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.bijections import (
    Autoregressive,
    Bijection,
    Chain,
    Coupling,
    Hierarchical,
)
from bayesinn.bijections.bijection import SharedCondition, constant_log_det
from bayesinn.core.configuration import clone
from bayesinn.core.errors import InputError
from bayesinn.flows import GaussianMixture, InvertibleFlow, StudentT
from bayesinn.flows.latents import Latent
from bayesinn.testing import check_bijection
from bayesinn.testing.contracts import perturb

IMAGE = (3, 2, 2)


class ElementwiseAffine(Bijection):
    """Scale and shift each element of an image; the shift depends on the condition."""

    event_rank = 3

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        self.log_scale = self.add_weight(
            shape=event_shape, initializer="zeros", autocast=False, name="log_scale"
        )
        shape = (self.condition_dimension + 1, *event_shape)
        self.shift = self.add_weight(shape=shape, initializer="zeros", autocast=False, name="shift")

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        log_scale = tf.convert_to_tensor(self.log_scale)
        return x * tf.exp(log_scale) + self._shifts(condition), constant_log_det(
            x, tf.reduce_sum(log_scale)
        )

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        log_scale = tf.convert_to_tensor(self.log_scale)
        return (z - self._shifts(condition)) * tf.exp(-log_scale), constant_log_det(
            z, -tf.reduce_sum(log_scale)
        )

    def _shifts(self, condition: tf.Tensor | None) -> tf.Tensor:
        fixed, slopes = tf.split(tf.convert_to_tensor(self.shift), [1, self.condition_dimension])
        return fixed if condition is None else fixed + tf.tensordot(condition, slopes, axes=1)


@pytest.mark.parametrize(
    "make",
    [
        ElementwiseAffine,
        lambda: Chain([ElementwiseAffine(), ElementwiseAffine()]),
        lambda: Chain([Chain([ElementwiseAffine()]), ElementwiseAffine()], reversible=True),
    ],
    ids=["alone", "chain", "reversible chain"],
)
def test_images_keep_the_contract(make: Callable[[], Bijection]) -> None:
    check_bijection(make, event_shape=IMAGE)


def test_chain_of_images() -> None:
    chain = Chain([ElementwiseAffine(), ElementwiseAffine()], reversible=True)
    chain.build(IMAGE, (4,))
    perturb(chain, np.random.default_rng(1), 0.3)
    x = tf.random.stateless_normal((10, *IMAGE), (1, 2))
    condition = tf.random.stateless_normal((10, 4), (1, 3))
    assert (chain.event_shape, chain.condition_shape) == (IMAGE, {"features": (4,)})
    assert chain.check_round_trip(x, condition) < 1e-5
    chain.initialize(x, condition)
    z, log_det = chain.forward(x, condition)
    scales = [tf.reduce_sum(link.log_scale.value) for link in chain.bijections]
    np.testing.assert_allclose(log_det, np.full(10, sum(scales)), rtol=1e-5)
    draws = chain.inverse_of_draws(tf.stack([z, 2.0 * z], axis=1), condition)
    assert draws.shape == (10, 2, *IMAGE)
    np.testing.assert_allclose(draws[:, 0], x, atol=1e-5)


class Squeeze(Bijection):
    """Turn blocks of 2 x 2 pixels into channels."""

    event_rank = 3

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        height, width, channels = event_shape
        return height // 2, width // 2, 4 * channels

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.nn.space_to_depth(x, 2), constant_log_det(x)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.nn.depth_to_space(z, 2), constant_log_det(z)


class Flatten(Bijection):
    """Turn images into vectors, to be transformed by bijections of vectors."""

    event_rank = 3

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (math.prod(event_shape),)

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.reshape(x, (-1, self.dimension)), constant_log_det(x)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.reshape(z, (-1, *self.event_shape)), constant_log_det(z)


def of_three_shapes(reversible: bool = False) -> Chain:
    links = [ElementwiseAffine(), Squeeze(), ElementwiseAffine(), Flatten(), Coupling(hidden=(8,))]
    return Chain(links, reversible=reversible)


@pytest.mark.parametrize("reversible", [False, True])
def test_chains_build_link_by_link_through_shapes(reversible: bool) -> None:
    check_bijection(lambda: of_three_shapes(reversible), event_shape=(2, 4, 1))
    chain = of_three_shapes(reversible)
    chain.build((2, 4, 1), (3,))
    assert [link.event_shape for link in chain.bijections] == [
        (2, 4, 1),
        (2, 4, 1),
        (1, 2, 4),
        (1, 2, 4),
        (8,),
    ]
    assert chain.latent_shape == (8,)
    with pytest.raises(InputError, match=r"Chain.inverse\n  expected: events of shape \(8,\)"):
        chain.inverse(tf.ones((5, 2, 4, 1)), tf.ones((5, 3)))


class WrongShape(Squeeze):
    """Declares the shape of its inputs for its outputs."""

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return event_shape


def test_a_wrong_output_shape_is_found() -> None:
    with pytest.raises(InputError, match=r"WrongShape\.forward, events(?s:.*)output_shape"):
        check_bijection(WrongShape, event_shape=(2, 2, 1), near_identity=False)


@pytest.mark.parametrize(
    "latent", [None, StudentT(5.0), GaussianMixture(3)], ids=["normal", "t", "mixture"]
)
@pytest.mark.parametrize("flat", [True, False])
def test_flows_of_images(latent: Latent | None, flat: bool) -> None:
    chain = of_three_shapes() if flat else Chain([ElementwiseAffine()])
    flow = InvertibleFlow(chain, None if latent is None else clone(latent))
    flow.build((2, 4, 1), (3,))
    perturb(flow, np.random.default_rng(1), 0.2)
    condition = tf.random.stateless_normal((4, 3), (1, 2))
    draws = flow.sample(5, condition, seed=(1, 2))
    assert draws.shape == (4, 5, 2, 4, 1)
    repeated = tf.repeat(condition, 5, axis=0)
    images = tf.reshape(draws, (20, 2, 4, 1))
    codes = flow.encode(images, repeated)
    np.testing.assert_allclose(flow.decode(codes, repeated), images, atol=1e-4)
    # The density of an image is that of its elements as a vector.
    expected = flow.latent.log_prob(tf.reshape(codes, (20, 8))) + chain.forward(images, repeated)[1]
    np.testing.assert_allclose(flow.log_prob(images, repeated), expected, rtol=1e-5)
    assert flow(images, repeated).shape == (20,)


@pytest.mark.parametrize("make", [Autoregressive, Hierarchical])
def test_bijections_of_vectors_refuse_images(make: Callable[[], Bijection]) -> None:
    for bijection in (make(), Chain([make()])):
        with pytest.raises(
            InputError,
            match=r"shape of events\n  expected: \(d,\), a vector\n  got:      \(3, 2, 2\)",
        ):
            bijection.forward(tf.ones((5, *IMAGE)))


def test_wrong_image_shapes_are_explained() -> None:
    layer = ElementwiseAffine()
    with pytest.raises(InputError, match=r"ElementwiseAffine, shape of events\n  expected: 3 axes"):
        layer.forward(tf.ones((5, 3)))
    layer.build(IMAGE)
    with pytest.raises(
        InputError, match=r"events of shape \(3, 2, 2\) with conditions of shape None"
    ):
        layer.inverse(tf.ones((5, 2, 3, 2)))


class Counted(ElementwiseAffine):
    """Remembers the number of rows of its last condition."""

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        self.rows = len(condition.values if isinstance(condition, SharedCondition) else condition)
        return super().inverse(z, condition)


def test_conditions_arrive_repeated_unless_they_may_be_shared() -> None:
    counted = Counted()
    counted.inverse_of_draws(tf.ones((5, 7, *IMAGE)), tf.ones((5, 4)))
    assert counted.rows == 35
