"""Equal links of a chain run as a loop under XLA, with the results of links one after another."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayesinn.bijections import (
    ActNorm,
    Affine,
    Autoregressive,
    Bijection,
    Chain,
    Composed,
    Coupling,
    Haar,
    Hierarchical,
    Householder,
    LULinear,
    Orthogonal,
    Permutation,
    Residual,
    Spline,
)
from bayesinn.bijections.chain import equal_groups
from bayesinn.core.compilation import compiled_by_xla, tracing_for_xla
from bayesinn.testing.contracts import default_dtype, perturb

LINKS: dict[str, Callable[[], list[Bijection]]] = {
    "blocks": lambda: [ActNorm(), Orthogonal(), Coupling(hidden=(8,))],
    "splines": lambda: [Permutation(), Coupling(Composed([Affine(), Spline(3)]), hidden=(8,))],
    "trained mixing": lambda: [Householder(), LULinear()],
    "autoregressive": lambda: [Autoregressive(hidden=(8,))],
    "hierarchical": lambda: [Hierarchical(hidden=(8,))],
    "residual": lambda: [Residual(hidden=(8, 8))],
    "chains": lambda: [Chain([ActNorm(), Orthogonal()])],
}


def three(links: Callable[[], list[Bijection]]) -> Chain:
    return Chain([link for _ in range(3) for link in links()])


def results(
    chain: Chain, x: tf.Tensor, condition: tf.Tensor | None, looped: bool
) -> list[np.ndarray]:
    """Return maps in both directions and gradients of the first."""

    @tf.function(autograph=False)
    def compute() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            z, log_det = chain.forward(x, condition)
            loss = tf.reduce_sum(z**2) + tf.reduce_sum(log_det)
        weights = [weight.value for weight in chain.trainable_variables]
        gradients = tape.gradient(loss, [x, *weights])
        return [z, log_det, *chain.inverse(z, condition), *gradients]

    # As XLA would be given it, but in a plain graph, which compiles in no time.
    with tracing_for_xla(looped):
        traced = compute.get_concrete_function()
    return [value.numpy() for value in traced()]


@pytest.mark.parametrize("name", LINKS)
def test_a_loop_computes_what_the_links_compute(name: str) -> None:
    with default_dtype("float64"):
        chain = three(LINKS[name])
        chain.build((3,), (2,))
        generator = np.random.default_rng(1)
        perturb(chain, generator, 0.1)
        x = tf.constant(generator.standard_normal((5, 3)))
        condition = tf.constant(generator.standard_normal((5, 2)))
        expected = results(chain, x, condition, looped=False)
        got = results(chain, x, condition, looped=True)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_a_loop_of_image_blocks_computes_what_they_compute() -> None:
    chain = Chain([Haar(), *(Coupling(hidden=(4,)) for _ in range(3))])
    chain.build((4, 4, 1))
    generator = np.random.default_rng(1)
    perturb(chain, generator, 0.1)
    x = tf.constant(generator.standard_normal((2, 4, 4, 1)), tf.float32)
    expected = results(chain, x, None, looped=False)
    got = results(chain, x, None, looped=True)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_groups_differ_in_their_weights_alone() -> None:
    chain = Chain(
        [
            Haar(),
            *(link for _ in range(3) for link in (ActNorm(), Coupling(hidden=(4,)))),
            Coupling(hidden=(5,)),
            Coupling(hidden=(4,), dual=False),
        ]
    )
    chain.build((4, 4, 2))
    sizes = [(len(groups), len(groups[0])) for groups in equal_groups(chain.bijections)]
    assert sizes == [(1, 1), (3, 2), (1, 1), (1, 1)]


def test_reversible_chains_stay_as_they_are() -> None:
    chains = [Chain([ActNorm()], reversible=True) for _ in range(2)]
    outer = Chain(chains)
    outer.build((2,))
    assert [len(groups) for groups in equal_groups(outer.bijections)] == [1, 1]


def test_random_states_go_on_as_without_a_loop() -> None:
    """Each link drops units of its own, and other ones in the next call."""

    def masks(looped: bool) -> list[np.ndarray]:
        chain = three(lambda: [Coupling(hidden=(64,), dropout=0.5)])
        keras.utils.set_random_seed(1)
        chain.build((2,))
        perturb(chain, np.random.default_rng(1), 1.0)
        states = [state for state in chain.non_trainable_variables if "seed" in state.path]
        for number, state in enumerate(states):
            state.assign(np.array([number, 7]))
        layer = keras.layers.Lambda(lambda x: chain.forward(x)[0])

        @tf.function(autograph=False)
        def call() -> tf.Tensor:
            return layer(tf.ones((4, 2)), training=True)

        with tracing_for_xla(looped):
            traced = call.get_concrete_function()
        return [traced().numpy(), traced().numpy(), *(state.numpy() for state in states)]

    expected = masks(looped=False)
    got = masks(looped=True)
    assert not np.array_equal(expected[0], expected[1])
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_xla_is_given_loops_and_the_plain_graph_is_not() -> None:
    chain = three(lambda: [ActNorm()])
    chain.build((2,))
    seen = []

    def forward(x: tf.Tensor) -> tf.Tensor:
        z, _ = chain.forward(x)
        seen.append({node.type for node in tf.compat.v1.get_default_graph().get_operations()})
        return z

    x = tf.ones((3, 2))
    plain = tf.function(forward, autograph=False)(x)
    fused = compiled_by_xla(forward)(x)
    np.testing.assert_allclose(plain, fused)
    assert not {"While", "StatelessWhile"} & seen[0]
    assert {"While", "StatelessWhile"} & seen[1]
