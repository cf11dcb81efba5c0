"""Every bijection keeps the contract. A new one joins with one line in the registry."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import tensorflow as tf

import bayesinn as bi
from bayesinn.bijections import (
    ActNorm,
    Additive,
    Affine,
    Autoregressive,
    Bijection,
    Chain,
    Composed,
    Convolutional,
    Coupling,
    Hierarchical,
    Householder,
    LULinear,
    Orthogonal,
    Perceptron,
    Permutation,
    Residual,
    Spline,
    VolumePreserving,
)
from bayesinn.core.errors import InputError
from bayesinn.flows import InvertibleFlow, autoregressive, coupling, hint, residual
from bayesinn.testing import check_bijection

REGISTRY: dict[str, Callable[[], Bijection]] = {
    "actnorm": ActNorm,
    "permutation": Permutation,
    "orthogonal": Orthogonal,
    "coupling": lambda: Coupling(hidden=(16,)),
    "affine coupling, one-sided": lambda: Coupling(Affine(clamp=1.0), hidden=(16, 16), dual=False),
    "spline coupling": lambda: Coupling(Spline(), hidden=(16,)),
    "volume-preserving coupling": lambda: Coupling(VolumePreserving(), hidden=(16,)),
    "additive coupling": lambda: Coupling(Additive(), hidden=(16,)),
    "composed coupling": lambda: Coupling(
        Composed([Affine(), Spline(bins=4)]), hidden=(16,), activation="relu"
    ),
    "householder": Householder,
    "lu": LULinear,
    "affine autoregressive": lambda: Autoregressive(hidden=(16,)),
    "spline autoregressive, fast to sample": lambda: Autoregressive(
        Spline(bins=4), hidden=(16,), direction="sampling"
    ),
    "affine hierarchical": lambda: Hierarchical(hidden=(16,)),
    "spline hierarchical": lambda: Hierarchical(Spline(bins=4), hidden=(16,)),
    "volume-preserving hierarchical": lambda: Hierarchical(
        VolumePreserving(), hidden=(16,), levels=2
    ),
    "residual": lambda: Residual(hidden=(16, 16)),
    "chain": lambda: Chain([ActNorm(), Permutation(), Coupling(hidden=(16,)), Orthogonal()]),
    "recipe": lambda: coupling(blocks=2, hidden=(16,), transform=Spline(bins=4)).chain,
}


@pytest.mark.parametrize("name", REGISTRY)
def test_bijection(name: str) -> None:
    # Tolerances are 1e-4 in single and 1e-9 in double precision. Largest round-trip error of the
    # spline recipe, the worst, over seeds 1, 2, 3: 1.7e-5 and 1.9e-14. A row alone and in a batch,
    # of these seeds: 3.1e-5 and 2.6e-15 on one processor, 9.5e-7 and 1.8e-15 on another.
    check_bijection(REGISTRY[name])


class WrongSign(ActNorm):
    """Reports the log-determinant of the other direction."""

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        z, log_det = super().forward(x, condition)
        return z, -log_det


class LooksAtTheBatch(Bijection):
    """Shifts by the mean of the batch: rows influence each other."""

    def __init__(self) -> None:
        super().__init__()

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return x + 0.01 * tf.reduce_mean(x), tf.zeros_like(x[:, 0])

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return z - 0.01 / 1.01 * tf.reduce_mean(z), tf.zeros_like(z[:, 0])


class NotInverted(ActNorm):
    """Its inverse is its forward map."""

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return self.forward(z, condition)


class IdleWeight(ActNorm):
    """Has a weight that does nothing."""

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        self.idle = self.add_weight(shape=(1,), name="idle")


class FarFromIdentity(ActNorm):
    """Starts by doubling everything."""

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        self.log_scale.assign(self.log_scale + 0.7)


class NotANumberFarAway(ActNorm):
    """Has a finite value and a NaN gradient for large inputs."""

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        z, log_det = super().forward(x, condition)
        return tf.where(
            tf.abs(z) < 100.0, z, 100.0 + tf.exp(0.0 * tf.sqrt(tf.minimum(100.0 - tf.abs(z), 0.0)))
        ), log_det


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (WrongSign, "log-determinants don't cancel"),
        (LooksAtTheBatch, "a row alone"),
        (NotInverted, "isn't x"),
        (IdleWeight, "no gradient reaches the weight"),
        (FarFromIdentity, "must be the identity"),
        (NotANumberFarAway, "events of length 1000"),
    ],
)
def test_check_finds_broken_bijections(broken: type[Bijection], law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        check_bijection(broken, (2,), (0,), near_identity=broken is FarFromIdentity)


class BranchesInPython(ActNorm):
    """Asks for a value in Python, which training can't: it has no value while it is traced."""

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        z, log_det = super().forward(x, condition)
        if tf.reduce_all(z == 0.0):
            z = -z
        return z, log_det


def test_check_compiles_as_training_does() -> None:
    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError):
        check_bijection(BranchesInPython, (2,), (0,))


def test_wrong_shapes_are_explained() -> None:
    block = Coupling(hidden=(8,))
    block.build((3,), (2,))
    expected = r"expected: events of shape \(3,\) with conditions of shape \(2,\)\n  got:      "
    with pytest.raises(InputError, match=rf"Coupling.forward\n  {expected}\(4,\) and None"):
        block.forward(tf.ones((5, 4)))
    with pytest.raises(InputError, match=rf"Coupling.inverse\n  {expected}\(3, 1\) and \(2,\)"):
        block.inverse(tf.ones((5, 3, 1)), tf.ones((5, 2)))
    with pytest.raises(InputError, match=rf"Coupling.forward\n  {expected}\(3,\) and \(\)"):
        block.forward(tf.ones((5, 3)), tf.ones((2,)))
    with pytest.raises(InputError, match=r"Coupling, shape of conditions\n  expected: \(c,\)"):
        Coupling().forward(tf.ones((5, 3)), tf.ones((5, 2, 2)))


@pytest.mark.parametrize("make", [Coupling, Permutation, Residual, lambda: Chain([])])
def test_events_without_an_axis_are_explained(make: Callable[[], Bijection]) -> None:
    with pytest.raises(InputError, match=r"do this:  give \(n, 1\)"):
        make().forward(tf.ones((5,)))


@pytest.mark.parametrize("subnet", [None, Convolutional((8,))])
def test_a_series_needs_a_subnet_of_its_own(subnet: Convolutional | None) -> None:
    series = tf.ones((5, 6, 2))
    with pytest.raises(InputError, match=r"(?s)Coupling, argument 'subnet'.*shape \(6, 2\)"):
        Coupling(subnet=subnet).forward(series)
    assert Coupling(subnet=Perceptron((8,))).forward(series)[0].shape == series.shape


def test_chain_refuses_a_bijection_used_twice() -> None:
    with pytest.raises(InputError, match="each an object of its own"):
        Chain(2 * [Coupling()])


def test_bad_arguments_are_explained() -> None:
    for make, message in (
        (lambda: Affine(clamp=0.0), "'clamp'"),
        (lambda: Spline(bins=2000), "at least 2 bins"),
        (lambda: Spline(bins=8.0), "'bins'"),
        (lambda: Spline(bound=math.inf), "'bound'"),
        (lambda: Spline(minimum_slope="small"), "'minimum_slope'"),
        (lambda: Perceptron(dropout=-0.5), "'dropout'"),
        (lambda: Perceptron(hidden=64), "'hidden'"),
        (lambda: Perceptron(activation="siluu"), "'activation'"),
        (lambda: Convolutional(filters=(8.0,)), "'filters'"),
        (lambda: Convolutional(dropout=1.0), "'dropout'"),
        (lambda: Convolutional(kernel_size=0), "'kernel_size'"),
        (lambda: Composed([]), "'transforms'"),
        (lambda: coupling(mixing="shuffle"), "'mixing'"),
        (lambda: coupling(transform="spline"), "'transform'"),
        (lambda: autoregressive(transform=Spline), "'transform'"),
        (lambda: coupling(latent="student"), "'latent'"),
        (lambda: InvertibleFlow(Coupling), "'chain'"),
        (lambda: coupling(blocks=0), "'blocks'"),
        (lambda: autoregressive(direction="both"), "'direction'"),
        (lambda: hint(levels=0), "'levels'"),
        (lambda: residual(blocks=1, lipschitz=1.0), "'lipschitz'"),
    ):
        with pytest.raises(InputError, match=message):
            make()


class OwnNames(ActNorm):
    """Calls the arguments of the contract otherwise."""

    def forward(self, events: tf.Tensor, given: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return super().forward(events, given)


def test_arguments_may_be_given_by_name() -> None:
    x = tf.reshape(tf.range(6.0), (2, 3))
    for bijection in (Coupling(hidden=(8,)), Chain([ActNorm()]), OwnNames()):
        bijection.build(event_shape=(3,), condition_shape=None)
        bijection.initialize(x=x)
        z, _ = bijection.forward(x)
        tf.debugging.assert_equal(bijection.forward(x=x, condition=None)[0], z)
        tf.debugging.assert_equal(bijection.inverse(z=z)[0], bijection.inverse(z)[0])
        with pytest.raises(TypeError, match="'x'"):
            bijection.forward(condition=None)


class Sized(Orthogonal):
    """Needs an argument."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (Sized, "missing a required argument: 'size'"),
        (bi.summaries.MLP, "one that makes a MLP"),
        (3, "3: 3 is not a callable object"),
    ],
)
def test_what_can_be_checked_is_told(given: object, got: str) -> None:
    with pytest.raises(InputError, match=rf"(?s)a class of Bijection .*{got}.*lambda: MyBij"):
        check_bijection(given)


def test_a_bijection_is_checked_by_copies() -> None:
    example = Sized(3)
    check_bijection(example, (2,), (0,))
    assert not example.built


def test_recipes_take_bijections_of_the_user() -> None:
    own = Sized(3)
    for recipe in (coupling, autoregressive, hint):
        flow = recipe(blocks=2, hidden=(8,), mixing=["permutation", own])
        kinds = [type(bijection) for bijection in flow.chain.bijections[:3]]
        assert kinds == [ActNorm, Permutation, Sized]
        assert np.isfinite(flow.log_prob(tf.ones((5, 3)))).all()
    assert not own.built
    assert repr(coupling(blocks=1, mixing=own).chain.bijections[1]) == "Sized(size=3)"
    with pytest.raises(InputError, match=r"coupling\(mixing=...\)"):
        coupling(transform=own)
