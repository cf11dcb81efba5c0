"""Mixed precision: products with weights in bfloat16 in training, all else in single precision."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.simulators.linear import entropy, linear
from bayesinn.training.step import TrainingModel, mixed_precision
from tests.helpers.fitting import equal, fit
from tests.helpers.models import series
from tests.helpers.shared_training import Interrupt
from tests.simulators.test_scoring import linear as fitted_line
from tests.simulators.working_models import Linear, scoring
from tests.truth.test_conjugate import exact_linear

PRODUCTS = {"MatMul", "BatchMatMulV2", "Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"}
#: What a layer does around its product, its bias, and the sum over rows that is the bias' gradient.
AROUND = {"Cast", "Reshape", "ExpandDims", "Squeeze", "Identity", "ShapeN", "Shape"}
AROUND |= {"BiasAdd", "BiasAddGrad", "AddV2", "Sum"}
PERCEPTRON = bi.summaries.MLP(4, (8,))
SPLINES = {"flow": bi.flows.coupling(2, (8,), transform=bi.bijections.Spline(bins=4))}


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tf.Graph, tf.Tensor, tf.Tensor]]:
    """Graphs of the steps that are traced, with the sum of losses and its gradient."""
    found = []
    original = TrainingModel._differentiate

    def kept(self, *arguments):
        total, gradient, moved = original(self, *arguments)
        found.append((total.graph, total, gradient))
        return total, gradient, moved

    monkeypatch.setattr(TrainingModel, "_differentiate", kept)
    return found


def kinds(graph: tf.Graph, dtype: tf.DType) -> Counter:
    """Operations by type that read or write a dtype."""
    return Counter(
        operation.type
        for operation in graph.get_operations()
        if dtype in {tensor.dtype.base_dtype for tensor in (*operation.inputs, *operation.outputs)}
    )


@pytest.mark.parametrize(
    ("options", "products", "more"),
    [
        # Two of the summary, two of each subnet, two subnets a block; each has two gradients, the
        # first none of data.
        ({"summary": PERCEPTRON, **SPLINES}, {"MatMul": 3 * 10 - 1}, set()),
        # Masks of kernels.
        (
            {"summary": PERCEPTRON, "flow": bi.flows.autoregressive(1, hidden=(8,))},
            {"MatMul": 3 * 4 - 1},
            {"Mul", "Const"},
        ),
        (
            {"simulator": series, "summary": bi.summaries.ConvLSTM(4, (8,), lstm_units=4)},
            {"Conv2D": 1},
            set(),
        ),
    ],
)
def test_products_are_in_half_the_bits_and_nothing_else(traced, options, products, more) -> None:
    fit(steps=2, mixed_precision=True, **options)
    fit(steps=2, **options)
    (mixed, total, gradient), (plain, *_) = traced
    assert total.dtype == gradient.dtype == tf.float32
    half = kinds(mixed, tf.bfloat16)
    single = kinds(mixed, tf.float32)
    before = kinds(plain, tf.float32)
    # No logarithm, exponential, softmax, activation: bijections, their log determinants and losses
    # are in float32.
    assert set(half) <= PRODUCTS | AROUND | more
    assert single["Exp"] + single["Softplus"] == before["Exp"] + before["Softplus"] > 0
    for name, count in products.items():
        assert half[name] == count
        # Rotations are products, too.
        assert single[name] == before[name] - count
    assert not kinds(plain, tf.bfloat16)


def layers(posterior: bi.AmortizedPosterior) -> list[keras.layers.Layer]:
    return posterior.model.network._flatten_layers()


def test_layers_are_as_before_also_after_an_error() -> None:
    posterior = fit(mixed_precision=True, **SPLINES)

    def state():
        return [
            (layer.dtype_policy.name, getattr(layer, "activation", None))
            for layer in layers(posterior)
        ]

    def fail():
        assert "mixed_bfloat16" in {name for name, _ in state()}
        raise ZeroDivisionError

    before = state()
    assert {name for name, _ in before} == {"float32"}
    with pytest.raises(ZeroDivisionError), mixed_precision(posterior.model, True):
        fail()
    assert state() == before


def test_what_is_trained_first_is_exact() -> None:
    summary = scoring(Linear())
    posterior = fit(fitted_line, summary, steps=6, mixed_precision=True)
    ours = posterior.model.network.summaries["x"]
    with mixed_precision(posterior.model, True):
        policies = {
            name: {
                layer.dtype_policy.name
                for layer in part._flatten_layers()
                if isinstance(layer, keras.layers.Dense)
            }
            for name, part in {
                "first": ours.first,
                "head": ours.head,
                "second": ours.network,
            }.items()
        }
    assert policies == {"first": {"float32"}, "head": {"float32"}, "second": {"mixed_bfloat16"}}


@pytest.mark.parametrize("xla", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_same_seed_same_bits_also_when_resumed(tmp_path: Path, xla: bool) -> None:
    options = {"epochs": 4, "mixed_precision": True, "xla": xla, "summary": PERCEPTRON}
    first = fit(**options)
    second = fit(**options)
    plain = fit(**{**options, "mixed_precision": False})
    assert equal(first, second)
    assert not equal(first, plain)
    place = {"checkpoint": tmp_path, "resume": True}
    with pytest.raises(KeyboardInterrupt):
        fit(callbacks=[Interrupt()], **place, **options)
    with pytest.raises(InputError, match="mixed_precision True"):
        fit(**place, **{**options, "mixed_precision": False})
    assert equal(fit(**place, **options), first)


def test_reversible_chains_see_the_same_networks_twice() -> None:
    flows = [bi.flows.coupling(3, (16,), reversible=reversible) for reversible in (False, True)]
    stored, again = (
        fit(flow=flow, steps=60, mixed_precision=True).history["loss"].to_numpy() for flow in flows
    )
    np.testing.assert_allclose(again, stored, atol=0.02)


@pytest.mark.slow
def test_the_posterior_is_the_exact_one() -> None:
    posterior = bi.AmortizedPosterior(
        linear, bi.summaries.MLP(16, (32,)), bi.flows.coupling(4, (32,))
    )
    posterior.fit(
        steps=1_000, seed=1, optimization=bi.Optimization(mixed_precision=True), progress=False
    )
    fresh = linear.sample(20_000, seed=77)
    exact = exact_linear(fresh)[1]
    gap = np.mean(
        exact - posterior.log_prob({name: fresh[name] for name in ("x1", "x2")}, {"y": fresh["y"]})
    )
    # Measured over seeds 1-3: 0.0003, 0.0003, 0.0000, and the same in single precision.
    assert abs(gap) < 0.002
    # Measured with half the bits in the loss: 0.006, 0.007, -0.002.
    assert posterior.history["loss"].iloc[-5:].mean() == pytest.approx(entropy(), abs=0.03)


def test_it_is_true_or_false() -> None:
    with pytest.raises(InputError, match="'mixed_precision'"):
        bi.Optimization(mixed_precision="bfloat16")  # type: ignore[arg-type]
