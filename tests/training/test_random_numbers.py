"""Random numbers in a training step: a named generator, as XLA's own takes thirty times a step."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core import seeds
from bayesinn.core.compilation import Dropout
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import WorkerSource

tfd = tfp.distributions
PHILOX = 1


@bi.simulator(
    prior={"rate": tfd.Normal(0.0, 1.0), "count": tfd.Poisson(4.0), "third": tfd.Normal(0.0, 1.0)}
)
def counted(parameters, seed):
    x = parameters["rate"][:, None] + tf.random.stateless_normal((len(parameters["rate"]), 6), seed)
    return {"x": x + tf.cast(parameters["count"], tf.float32)[:, None]}


@pytest.mark.parametrize(
    ("summary", "flow"),
    [
        (
            bi.summaries.SetTransformer(width=8, heads=2, dropout=0.1),
            bi.flows.coupling(1, (8,), dropout=0.1),
        ),
        (bi.summaries.Identity(), bi.flows.autoregressive(1, hidden=(8,), dropout=0.1)),
        (bi.summaries.Identity(), bi.flows.hint(1, hidden=(8,), dropout=0.1)),
        (bi.summaries.Identity(), bi.flows.residual(1, hidden=(8,))),
    ],
    ids=["set transformer, coupling", "autoregressive", "hierarchical", "residual"],
)
def test_generators_are_named(summary: bi.summaries.Summary, flow: bi.flows.Flow) -> None:
    posterior = bi.AmortizedPosterior(counted, summary, flow).fit(
        steps=1, batch_size=8, seed=1, progress=False
    )
    batch = {name: tf.convert_to_tensor(value) for name, value in counted.sample(8, seed=2).items()}

    def loss() -> tf.Tensor:
        return posterior.model.loss(
            batch, seeds.tensor_seed(1, "dequantise"), tf.constant(0.5), True
        )

    graph = tf.function(loss, autograph=False).get_concrete_function().graph
    functions = [
        function.graph for function in graph._functions.values() if hasattr(function, "graph")
    ]
    draws = [
        op for part in (graph, *functions) for op in part.get_operations() if "Stateless" in op.type
    ]
    generators = [
        tf.get_static_value(op.inputs[3])
        for op in draws
        if op.type.endswith("V2") and len(op.inputs) > 3
    ]
    assert len(generators) >= 2
    assert set(map(int, generators)) == {PHILOX}


def test_each_step_has_simulations_of_its_own() -> None:
    """Of workers: other ones in each step, and after an interruption the same as without."""
    simulator = bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)})(
        lambda parameters, seed: {"x": parameters["mean"]}
    )
    draws = [simulator.draw(8, seed) for seed in range(6)]
    simulator.engine = SimpleNamespace(
        start=lambda rows, entropy: lambda: draws[entropy[-1]],
    )
    source = WorkerSource(simulator, TrainingSettings(6, 2, 8, 1))
    batches = {step: batch["x"] for step, batch, _ in source._generate(0) if step >= 0}
    assert list(batches) == list(range(6))
    for step, x in batches.items():
        np.testing.assert_array_equal(x, draws[step].observables["x"])
    later = {step: batch["x"] for step, batch, _ in source._generate(1) if step >= 0}
    assert list(later) == [2, 3, 4, 5]
    assert all(np.array_equal(x, batches[step]) for step, x in later.items())


def test_dropout_is_that_of_keras() -> None:
    ours = Dropout(0.3, seed=5)
    theirs = keras.layers.Dropout(0.3, seed=5)
    x = tf.ones((50, 40))
    for _ in range(3):
        np.testing.assert_array_equal(ours(x, training=True), theirs(x, training=True))
    np.testing.assert_array_equal(ours(x), x)
    assert (
        len(np.unique(Dropout(0.5, noise_shape=(None, 1), seed=1)(x, training=True), axis=1).T) == 1
    )
