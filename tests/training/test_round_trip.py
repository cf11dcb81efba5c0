"""The round-trip monitor: silent for exact reversible chains, with correct advice for others."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import keras
import numpy as np
import pytest
import tensorflow as tf

import bayesinn as bi
from bayesinn.bijections import ActNorm, Affine, Bijection, Chain, Coupling, Orthogonal
from bayesinn.bijections.chain import reversible_chains, round_trip_errors
from bayesinn.flows import InvertibleFlow
from bayesinn.hierarchical.network import TwoStages
from bayesinn.inverse import LatentMixture
from bayesinn.inverse.split_latent import SplitLatent
from bayesinn.simulators.linear import linear
from bayesinn.training.step import TrainingModel
from tests.helpers.fitting import equal, fit

INEXACT = "gradients of a reversible chain are inexact"
STORED = "activations are stored while that lasts"


class Drifting(Bijection):
    """The identity, whose inverse is off by a weight that has no gradient."""

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        self.drift = self.add_weight(shape=(), initializer="zeros", name="drift")

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return x + 0.0 * tf.convert_to_tensor(self.drift), tf.zeros_like(x[:, 0])

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return z + tf.convert_to_tensor(self.drift), tf.zeros_like(z[:, 0])


class SetWeights(keras.callbacks.Callback):
    """Sets weights, by part of their path, at ends of epochs; sees what the monitor decided."""

    model: TrainingModel

    def __init__(
        self, plan: Mapping[int, Mapping[str, float]], interrupt: int | None = None
    ) -> None:
        super().__init__()
        self.plan = plan
        self.interrupt = interrupt
        self.stored: list[bool] = []
        self.functions: list[object] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        network = self.model.problem.network
        chains = reversible_chains(
            network.chain if hasattr(network, "chain") else network.flow.chain
        )
        self.stored.append(any(chain.stores_activations for chain in chains))
        self.functions.append(self.model.train_function)
        for part, value in self.plan.get(epoch, {}).items():
            found = [variable for variable in network.trainable_variables if part in variable.path]
            assert found
            for variable in found:
                variable.assign(tf.broadcast_to(value, variable.shape))
            self.model.flat.assign(self.model.weight_layout.pack())
        if epoch == self.interrupt:
            raise KeyboardInterrupt


@contextmanager
def warned() -> Iterator[list[str]]:
    """Texts of the warnings about round trips."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    texts += [
        str(warning.message) for warning in caught if "recomputed inputs" in str(warning.message)
    ]


def drifting(reversible: bool = True) -> Chain:
    # One-sided, which is compiled sooner.
    links = [Coupling(hidden=(8,), dual=False), Drifting(), Coupling(hidden=(8,), dual=False)]
    return Chain(links, reversible=reversible)


# In epoch 1 a little, from 3 on much, from 5 on not any more. The monitor notices at the end of the
# epoch after.
PLAN = {1: {"drift": 5e-3}, 3: {"drift": 0.3}, 5: {"drift": 0.0}}


def test_healthy_chains_are_left_alone_in_silence() -> None:
    watching = SetWeights({})
    with warned() as texts:
        fit(flow=InvertibleFlow(drifting()), optimization=bi.Optimization(callbacks=[watching]))
    assert texts == []
    assert watching.stored == 10 * [False]
    assert len(set(watching.functions)) == 1


def test_drift_is_noticed_once_and_answered(monkeypatch) -> None:
    traced = []
    original = TrainingModel._row_losses

    def counted(self, *arguments, **options):
        traced.append(1)
        return original(self, *arguments, **options)

    monkeypatch.setattr(TrainingModel, "_row_losses", counted)
    watching = SetWeights(PLAN)
    with warned() as texts:
        posterior = fit(
            flow=InvertibleFlow(drifting()), optimization=bi.Optimization(callbacks=[watching])
        )
    assert [INEXACT in text for text in texts] == [True, False]
    assert [STORED in text for text in texts] == [False, True]
    assert watching.stored == 4 * [False] + 2 * [True] + 4 * [False]
    # One function for each way; going back needs no third.
    assert watching.functions[0] is watching.functions[-1] is not watching.functions[4]
    assert len(set(watching.functions)) == 2
    # Keras' look at it, and each of the two.
    assert len(traced) <= 3
    assert np.isfinite(posterior.history["loss"]).all()


@pytest.mark.parametrize("xla", [False, True])
def test_stored_activations_give_right_gradients(xla: bool) -> None:
    """An ordinary chain, which is not watched, is trained the same."""
    # Without effect in the step whose wrong gradients nobody knows of yet.
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.0, 0.1])
    histories = []
    for reversible in (False, True):
        with warned():
            posterior = fit(
                # Inside another chain, whose other links have no need to be reversible.
                flow=InvertibleFlow(Chain([ActNorm(), drifting(reversible)])),
                optimization=bi.Optimization(
                    optimizer=keras.optimizers.SGD(rate),
                    callbacks=[SetWeights({0: {"drift": 0.3}})],
                    xla=xla,
                ),
            )
        histories.append(posterior.history["loss"])
    # Measured equal to the bit over three seeds; 0.004 apart without the monitor.
    np.testing.assert_allclose(histories[1], histories[0], atol=1e-5)


@pytest.mark.parametrize("xla", [False, True])
def test_a_resumed_run_decides_the_same(tmp_path, monkeypatch, xla) -> None:
    monkeypatch.setattr("bayesinn.training.callbacks._SECONDS_BETWEEN_WRITES", 0.0)
    plan = {1: {"drift": 0.3}}
    with warned():
        whole = fit(flow=InvertibleFlow(drifting()), callbacks=[SetWeights(plan)], xla=xla)
        options = {
            "flow": InvertibleFlow(drifting()),
            "checkpoint": tmp_path / "checkpoint",
            "xla": xla,
        }
        with pytest.raises(KeyboardInterrupt):
            fit(callbacks=[SetWeights(plan, interrupt=4)], **options)
        watching = SetWeights(plan)
        resumed = fit(callbacks=[watching], resume=True, **options)
    assert watching.stored == 5 * [True]
    assert equal(whole, resumed)


def test_rounding_errors_of_large_scales_are_found() -> None:
    """The second element, e^18 times smaller than the first when both are mixed, is lost."""
    links: list[Bijection] = [
        Coupling(hidden=(8,)),
        ActNorm(),
        Orthogonal(),
        Coupling(Affine(clamp=1.0), hidden=(8,)),
    ]
    stretch = {1: {"log_scale": tf.constant([9.0, -9.0])}}
    with warned() as texts:
        fit(
            flow=InvertibleFlow(Chain(links, reversible=True)),
            optimization=bi.Optimization(callbacks=[SetWeights(stretch)]),
        )
    assert [STORED in text for text in texts] == [True]
    assert "Chain of 4 bijections" in texts[0]


def test_every_kind_of_network_is_watched() -> None:
    generator = np.random.default_rng(1)
    x = generator.standard_normal((200, 3))
    labels = np.repeat([0, 1], 100)
    options = {"batch_size": 50, "seed": 1, "progress": False}
    for train in (
        lambda watching: LatentMixture(drifting()).fit(
            x, labels, epochs=4, optimization=bi.Optimization(callbacks=[watching]), **options
        ),
        lambda watching: SplitLatent(linear, width=4, chain=drifting()).fit(
            steps=4, optimization=bi.Optimization(callbacks=[watching]), **options
        ),
    ):
        watching = SetWeights({0: {"drift": 0.3}})
        with warned() as texts:
            train(watching)
        assert [STORED in text for text in texts] == [True]
        assert watching.stored == [False, True, True, True]


def test_chains_inside_chains_are_checked_where_they_stand() -> None:
    inner = drifting()
    alone = drifting()
    outer = Chain([Coupling(hidden=(8,)), inner], reversible=True)
    whole = Chain([ActNorm(), outer, Orthogonal(), alone])
    assert reversible_chains(whole) == [outer, inner, alone]
    assert reversible_chains(Chain([ActNorm()])) == reversible_chains(ActNorm()) == []
    x = tf.random.stateless_normal((50, 3), (1, 2))
    whole.build((3,))
    # Errors are relative to elements above one, and so tell where a chain stands.
    whole.bijections[0].shift.assign(3 * [200.0])
    alone.bijections[1].drift.assign(1.0)
    errors = [float(error) for error in round_trip_errors(whole, x)]
    assert max(errors[:2]) < 1e-5
    mixed = whole.bijections[2].forward(outer.forward(whole.bijections[0].forward(x)[0])[0])[0]
    assert errors[2] == pytest.approx(float(alone.round_trip_error(mixed)), rel=1e-6)
    inner.bijections[1].drift.assign(50.0)
    assert min(float(error) for error in round_trip_errors(whole, x)[:2]) > 0.1
    assert round_trip_errors(Chain([ActNorm()]), x) == []


class DriftOf(keras.callbacks.Callback):
    """Makes the inverse of one network inexact at the end of the first epoch."""

    model: TrainingModel

    def __init__(self, member: int) -> None:
        super().__init__()
        self.member = member

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if epoch == 0:
            network = self.model.problem.members[self.member]
            (drift,) = [one for one in network.trainable_variables if "drift" in one.path]
            drift.assign(0.3)
            self.model.flat.assign(self.model.weight_layout.pack())


@pytest.mark.parametrize("member", [0, 1])
def test_the_worst_of_several_networks_decides(member: int) -> None:
    with warned() as texts:
        posterior = bi.AmortizedPosterior(linear, flow=InvertibleFlow(drifting()), networks=2)
        posterior.fit(
            steps=10,
            batch_size=32,
            seed=1,
            optimization=bi.Optimization(callbacks=[DriftOf(member)]),
            progress=False,
        )
    assert [STORED in text for text in texts] == [True]
    # One program trains both networks: the chain of the first.
    first = posterior.model.members[0]
    assert [chain.stores_activations for chain in reversible_chains(first.flow.chain)] == [True]


def test_both_stages_of_a_hierarchical_posterior_are_watched() -> None:
    stages = TwoStages(InvertibleFlow(drifting()), ["mean", "spread"])
    stages.__dict__["_places"] = (np.array([0, 1]), np.array([2, 3]))
    condition = {"features": tf.zeros((5, 3)), "person": tf.zeros((5, 4))}
    stages.build((4,), {"features": (3,), "person": (4,)})
    inputs = stages.watched_inputs(tf.ones((5, 4)), condition)
    assert [type(bijection) for bijection in stages.watched] == [Chain, Chain]
    assert [(x.shape[1], given.shape[1]) for x, given in inputs] == [(2, 3), (2, 6)]
