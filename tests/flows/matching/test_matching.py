"""Flows without invertible layers: densities, seeds, compilers, and short trainings."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from bayesinn.core.configuration import clone, describe
from bayesinn.core.errors import InputError
from bayesinn.core.seeds import seeded_initial_weights
from bayesinn.flows import (
    Consistency,
    Diffusion,
    Flow,
    FlowMatching,
    MixtureDensity,
    ResidualMLP,
    coupling,
)
from bayesinn.flows.matching import spread_uniforms
from bayesinn.testing.contracts import perturb

CONDITIONS = ((-1.0, 0.5), (2.0, -1.5))


def small(units: int = 16, blocks: int = 2) -> ResidualMLP:
    return ResidualMLP(units=units, blocks=blocks)


MAKERS = {
    "flow matching": lambda: FlowMatching(small(), density_steps=40),
    "edm": lambda: Diffusion(small(), density_steps=128),
    "variance preserving": lambda: Diffusion(small(), "variance preserving"),
    "consistency": lambda: Consistency(small(), steps=2),
    "mixture": lambda: MixtureDensity(3, (16,)),
}
WITH_DENSITY = [name for name in MAKERS if name != "consistency"]


def random_flow(name: str, dimension: int, scale: float = 0.3) -> Flow:
    with seeded_initial_weights(1):
        flow = MAKERS[name]()
        flow.build((dimension,), (2,))
    perturb(flow, np.random.default_rng(1), scale)
    return flow


@pytest.mark.parametrize("name", WITH_DENSITY)
@pytest.mark.parametrize("dimension", [1, 2])
def test_density_integrates_to_one(name: str, dimension: int) -> None:
    flow = random_flow(name, dimension)
    points = 2_001 if dimension == 1 else 81
    side = np.linspace(-8.0, 8.0, points, dtype="float32")
    grid = np.stack(np.meshgrid(*[side] * dimension), axis=-1).reshape(-1, dimension)
    condition = tf.tile(tf.constant(CONDITIONS[:1]), (len(grid), 1))
    density = np.exp(tf.function(flow.log_prob)(grid, condition), dtype="float64")
    assert density.sum() * (16.0 / (points - 1)) ** dimension == pytest.approx(1.0, abs=5e-3)


@pytest.mark.parametrize("name", WITH_DENSITY)
def test_samples_follow_the_density(name: str) -> None:
    flow = random_flow(name, 1)
    side = np.linspace(-10.0, 10.0, 4_001, dtype="float32")
    draws = flow.sample(5_000, tf.constant(CONDITIONS), seed=(1, 2)).numpy()
    for condition, sample in zip(CONDITIONS, draws, strict=True):
        density = np.exp(
            flow.log_prob(side[:, None], tf.tile(tf.constant([condition]), (4_001, 1)))
        )
        cumulative = np.cumsum(density, dtype="float64") * 0.005
        law = scipy.stats.kstest(sample[:, 0], lambda x, c=cumulative: np.interp(x, side, c))
        assert law.pvalue > 1e-3


@pytest.mark.parametrize("far", [1e3, 1e6])
def test_a_mixture_is_finite_for_data_far_out(far: float) -> None:
    flow = random_flow("mixture", 2)
    condition = far * tf.random.stateless_normal((50, 2), (1, 2))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(flow.loss(tf.zeros((50, 2)), condition))
    weights = [variable.value for variable in flow.trainable_variables]
    for value in (loss, flow.sample(20, condition, seed=(1, 2)), *tape.gradient(loss, weights)):
        assert np.isfinite(value).all()


@pytest.mark.parametrize(("raw", "sd"), [(-1e3, np.exp(-10)), (1.0, np.e), (1e3, np.exp(10))])
def test_scales_of_a_mixture_have_limits_that_draws_and_densities_share(raw, sd) -> None:
    flow = MixtureDensity(1, (4,))
    flow.build((1,), (1,))
    kernel, bias = flow.network.layers[-1].get_weights()
    flow.network.layers[-1].set_weights([0.0 * kernel, np.array([0.0, 0.0, raw])[: len(bias)]])
    condition = tf.ones((1, 1))
    draws = flow.sample(5_000, condition, seed=(1, 2)).numpy()[0, :, 0]
    assert scipy.stats.kstest(draws / sd, "norm").pvalue > 1e-3
    points = tf.constant([[0.0], [sd], [-2.0 * sd]])
    expected = scipy.stats.norm(0.0, sd).logpdf(points[:, 0])
    np.testing.assert_allclose(flow.log_prob(points, tf.ones((3, 1))), expected, atol=1e-3)


@pytest.mark.parametrize("rows", [1, 4, 5])
def test_times_of_a_batch_are_evenly_spread_and_each_is_uniform(rows: int) -> None:
    seeds = tf.stack([tf.range(400), tf.fill((400,), 7)], axis=1)
    each = tf.map_fn(lambda seed: spread_uniforms(tf.zeros((rows, 2)), seed), seeds, tf.float32)
    uniforms = each.numpy()
    assert uniforms.min() >= 0.0
    assert uniforms.max() < 1.0
    gaps = np.diff(np.sort(uniforms, axis=1), axis=1)
    np.testing.assert_allclose(gaps, 1.0 / rows, atol=1e-6)
    # Otherwise a loss of few rows sees the same times at each step.
    for row in range(rows):
        assert scipy.stats.kstest(uniforms[:, row], "uniform").pvalue > 1e-3


@pytest.mark.parametrize("name", MAKERS)
def test_draws_are_a_function_of_the_seed(name: str) -> None:
    flow = random_flow(name, 3)
    condition = tf.constant(CONDITIONS)
    draws = flow.sample(7, condition, seed=(1, 2))
    assert draws.shape == (2, 7, 3)
    np.testing.assert_array_equal(flow.sample(7, condition, seed=(1, 2)), draws)
    assert not np.array_equal(flow.sample(7, condition, seed=(1, 3)), draws)
    graph = tf.function(flow.sample)(7, condition, seed=tf.constant([1, 2]))
    np.testing.assert_allclose(graph, draws, atol=2e-5)
    unconditional = MAKERS[name]()
    unconditional.build((3,))
    assert unconditional.sample(7, seed=(1, 2)).shape == (7, 3)


@pytest.mark.parametrize("name", MAKERS)
def test_compiled_by_xla(name: str) -> None:
    flow = random_flow(name, 2)
    x = tf.random.stateless_normal((6, 2), (3, 4))
    condition = tf.repeat(tf.constant(CONDITIONS), 3, axis=0)
    compiled = tf.function(flow.sample, jit_compile=True)(5, condition, seed=tf.constant([1, 2]))
    assert compiled.shape == (6, 5, 2)
    methods = []
    if flow.density is not None:
        methods.append(flow.log_prob)
    if flow.codes:
        methods += [flow.encode, flow.decode]
    for method in methods:
        xla = tf.function(method, jit_compile=True)(x, condition)
        np.testing.assert_allclose(xla, method(x, condition), atol=2e-4)


@pytest.mark.parametrize("name", MAKERS)
def test_rows_do_not_see_each_other(name: str) -> None:
    flow = random_flow(name, 2)
    x = tf.random.stateless_normal((6, 2), (3, 4))
    condition = tf.repeat(tf.constant(CONDITIONS), 3, axis=0)
    seed = tf.constant([1, 2])
    loss = flow.loss(x, condition, seed=seed)
    assert loss.shape == (6,)
    other = tf.concat([x[:3], x[3:] + 1.0], axis=0)
    np.testing.assert_allclose(flow.loss(other, condition, seed=seed)[:3], loss[:3], rtol=1e-5)


@pytest.mark.parametrize("name", MAKERS)
def test_every_weight_gets_a_gradient(name: str) -> None:
    flow = random_flow(name, 2)
    x = tf.random.stateless_normal((64, 2), (3, 4))
    condition = tf.random.stateless_normal((64, 2), (5, 6))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(flow(x, condition, seed=tf.constant([1, 2]), training=True))
    weights = [variable.value for variable in flow.trainable_variables]
    for gradient in tape.gradient(loss, weights):
        assert np.all(np.isfinite(gradient))
        assert np.any(gradient != 0.0)


@pytest.mark.parametrize("name", MAKERS)
def test_made_again_from_its_description(name: str) -> None:
    flow = MAKERS[name]()
    assert describe(clone(flow)) == describe(flow)


def test_images() -> None:
    flow = FlowMatching(small())
    flow.build((4, 4, 2), (2,))
    draws = flow.sample(3, tf.constant(CONDITIONS), seed=(1, 2))
    assert draws.shape == (2, 3, 4, 4, 2)
    assert flow.log_prob(draws[:, 0], tf.constant(CONDITIONS)).shape == (2,)


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="'solver'"):
        FlowMatching(solver="rk45")
    with pytest.raises(InputError, match="'network'"):
        FlowMatching(network=keras.layers.Dense(3))
    with pytest.raises(InputError, match="'schedule'"):
        Diffusion(schedule="cosine")
    with pytest.raises(InputError, match="'largest_time'"):
        Consistency(largest_time=0.5)
    with pytest.raises(InputError, match="a method log_prob"):
        random_flow("consistency", 2).log_prob(tf.ones((1, 2)), tf.ones((1, 2)))


@pytest.mark.parametrize("name", ["flow matching", "edm", "consistency"])
def test_training_without_a_seed_is_refused(name: str) -> None:
    x = tf.zeros((4, 2))
    with pytest.raises(InputError, match="noise of its own"):
        random_flow(name, 2).loss(x, tf.zeros((4, 2)), training=True)


@pytest.mark.parametrize("name", MAKERS)
def test_a_condition_is_given_if_the_flow_was_built_with_one(name: str) -> None:
    x = tf.ones((4, 2))
    given = tf.ones((4, 3))
    for shape, condition, message in (
        ((3,), None, r"expected: conditions of shape \(3,\)\n  got:      none"),
        (None, given, r"expected: none\n  got:      conditions of shape \(3,\)"),
    ):
        flow = MAKERS[name]()
        flow.build((2,), shape)
        with pytest.raises(InputError, match=f"argument 'condition'\n  {message}"):
            flow.loss(x, condition)
        with pytest.raises(InputError, match=message):
            flow.sample(5, condition, seed=(1, 2))
        if flow.density is not None:
            with pytest.raises(InputError, match=message):
                flow.log_prob(x, condition)
        if flow.codes:
            with pytest.raises(InputError, match=message):
                flow.encode(x, condition)


@pytest.mark.parametrize("name", [*MAKERS, "coupling"])
def test_draws_of_a_flow_without_weights_are_refused(name: str) -> None:
    flow = coupling(blocks=1, hidden=(8,)) if name == "coupling" else MAKERS[name]()
    with pytest.raises(InputError, match="build it, or call log_prob or loss first"):
        flow.sample(5, tf.ones((4, 3)), seed=(1, 2))
    if flow.codes:
        with pytest.raises(InputError, match="build it, or call log_prob or loss first"):
            flow.decode(tf.ones((4, 2)), tf.ones((4, 3)))


def hasty_flow(name: str) -> Flow:
    """A flow that takes a single step, for what doesn't depend on their number."""
    flow = random_flow(name, 2)
    flow.steps = 1
    flow.density_steps = 1
    return flow


@pytest.mark.parametrize("name", MAKERS)
def test_double_precision_arrays_are_cast(name: str) -> None:
    flow = hasty_flow(name)
    x = np.linspace(-1.0, 1.0, 8).reshape(4, 2)
    condition = np.linspace(0.0, 1.0, 8).reshape(4, 2)
    single = [tf.constant(part, tf.float32) for part in (x, condition)]
    np.testing.assert_array_equal(flow.loss(x, condition), flow.loss(*single))
    drawn = flow.sample(3, condition, seed=(1, 2))
    np.testing.assert_array_equal(drawn, flow.sample(3, single[1], seed=(1, 2)))
    if flow.density is not None:
        np.testing.assert_array_equal(flow.log_prob(x, condition), flow.log_prob(*single))
    if flow.codes:
        codes = flow.encode(x, condition)
        np.testing.assert_array_equal(codes, flow.encode(*single))
        np.testing.assert_allclose(
            flow.decode(np.float64(codes), condition), flow.decode(codes, single[1])
        )


def test_arguments_may_be_given_by_name() -> None:
    flow = hasty_flow("flow matching")
    x = tf.ones((4, 2))
    np.testing.assert_array_equal(flow.log_prob(x=x, condition=x), flow.log_prob(x, x))
    drawn = flow.sample(n=3, condition=x, seed=(1, 2))
    np.testing.assert_array_equal(drawn, flow.sample(3, x, seed=(1, 2)))
    np.testing.assert_array_equal(flow.encode(x=x, condition=x), flow.encode(x, x))
    np.testing.assert_array_equal(flow.decode(z=x, condition=x), flow.decode(x, x))
