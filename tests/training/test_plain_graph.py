"""Networks say whether XLA pays, and training asks them."""

from __future__ import annotations

import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.bijections import Convolutional, Coupling, Perceptron, Residual
from bayesinn.core.compilation import XLA, Compiled
from bayesinn.training import settings, step
from tests.helpers.fitting import fit

tfd = tfp.distributions


@bi.simulator(prior={"picture": tfd.Sample(tfd.Normal(0.0, 1.0), (4, 4, 1))})
def noise(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"mean": tf.reduce_mean(parameters["picture"], axis=(1, 2))}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[XLA]:
    """Whether programs were to be compiled, of trainings that are long enough for it."""
    found: list[XLA] = []

    def plain(function, *trial, xla, subject) -> Compiled:
        found.append(xla)
        return Compiled(tf.function(function, autograph=False), False)

    monkeypatch.setattr(step, "compiled", plain)
    monkeypatch.setattr(settings, "STEPS_WORTH_COMPILING", 1)
    return found


def test_convolutions_stay_in_the_plain_graph(asked: list[XLA]) -> None:
    image = bi.flows.image(levels=1, blocks=1, filters=(4,), shape=(4, 4, 1))
    for options in ({}, {"xla": True}):
        fit(noise, flow=image, steps=1, **options)
    fit(noise, flow=bi.flows.coupling(blocks=1, hidden=(4,)), steps=1)
    assert asked == [False, True, "auto"]


@pytest.mark.parametrize(
    ("bijection", "shape", "pays"),
    [
        (Coupling(hidden=(4,)), (4,), True),
        (Coupling(hidden=(4,)), (4, 4, 2), False),
        (Coupling(subnet=Perceptron((4,))), (4, 4, 2), True),
        (Coupling(subnet=Convolutional((4,))), (4, 4, 2), False),
        (Residual(hidden=(4,)), (4,), True),
        (Residual(hidden=(4,)), (4, 4, 2), False),
    ],
)
def test_bijections_declare_it(
    bijection: bi.bijections.Bijection, shape: tuple[int, ...], pays: bool
) -> None:
    bijection.build(shape)
    assert bijection.xla_pays is pays
