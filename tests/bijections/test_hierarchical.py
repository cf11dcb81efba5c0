"""Hierarchical coupling: its Jacobian's shape, likeness to plain coupling, and Gaussian truth."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.bijections import Affine, Coupling, Hierarchical
from bayesinn.bijections.coupling import ConditionalTransform, Perceptrons
from bayesinn.core.errors import InputError
from bayesinn.core.seeds import seeded_initial_weights
from bayesinn.testing.contracts import default_dtype, perturb
from tests.bijections.linear_optimum import (
    conditional_covariance,
    correlation,
    divergence,
    matrix,
    one_coupling_leaves,
    standardise_given_passive,
)


def random_block(dimension: int, condition_dimension: int = 0, **arguments: object) -> Hierarchical:
    with default_dtype("float64"), seeded_initial_weights(1):
        block = Hierarchical(hidden=(16,), **arguments)
        block.build((dimension,), (condition_dimension,))
    perturb(block, np.random.default_rng(1), 0.5)
    return block


def jacobian(block: Hierarchical | Coupling, dimension: int) -> np.ndarray:
    x = tf.constant(np.random.default_rng(2).standard_normal((1, dimension)))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        z, _ = block.forward(x)
    return tape.jacobian(z, x, experimental_use_pfor=False).numpy()[0, :, 0, :]


@pytest.mark.parametrize("dimension", [2, 3, 7, 8])
def test_jacobian_is_dense_and_triangular(dimension: int) -> None:
    found = jacobian(random_block(dimension), dimension) != 0.0
    np.testing.assert_array_equal(found, np.tril(np.ones((dimension, dimension), bool)))


def test_levels_limit_the_depth() -> None:
    # Elements 0 to 2 and 3 to 6 are split once more, then no further.
    groups = [slice(0, 1), slice(1, 3), slice(3, 5), slice(5, 7)]
    expected = np.tril(np.ones((7, 7), bool))
    for group in groups:
        expected[group, group] = np.eye(group.stop - group.start, dtype=bool)
    np.testing.assert_array_equal(jacobian(random_block(7, levels=2), 7) != 0.0, expected)


def test_splits_of_one_level_and_shape_are_computed_together() -> None:
    def steps(dimension: int, levels: int | None = None) -> int:
        return len(random_block(dimension, levels=levels).steps)

    # One for the first elements, then one for each level, or two where sizes are uneven.
    assert [steps(1), steps(2), steps(4), steps(32)] == [1, 2, 3, 6]
    assert [steps(7), steps(7, levels=2), steps(7, levels=1), steps(7, levels=50)] == [5, 4, 2, 5]
    assert steps(21) <= 1 + 2 * 5


def test_groups_have_weights_of_their_own_of_the_usual_size() -> None:
    with seeded_initial_weights(1):
        layer = ConditionalTransform(
            Affine(), 3, 1, condition_dimension=2, subnet=Perceptrons((200,), groups=8), groups=8
        )
    kernel = layer.get_weights()[0]
    assert kernel.shape == (8, 5, 200)
    # Glorot's uniform distribution for 5 inputs and 200 outputs, as in a layer without groups.
    assert np.abs(kernel).max() == pytest.approx(np.sqrt(6.0 / 205.0), rel=0.01)
    assert abs(np.corrcoef(kernel[0].ravel(), kernel[1].ravel())[0, 1]) < 0.15


def test_subnets_get_narrower_inside() -> None:
    def widths(hidden: tuple[int, ...]) -> list[list[int]]:
        block = Hierarchical(hidden=hidden)
        block.build((8,), (3,))
        return [
            [weights.shape[-1] for weights in step.get_weights()[:-2:2]] for step in block.steps
        ]

    # First the elements that only the condition speaks of, then outwards.
    assert widths((128, 40)) == [[128, 40], [32, 16], [64, 20], [128, 40]]
    assert widths((4,)) == 4 * [[4]]


@pytest.mark.parametrize("condition_dimension", [0, 3])
def test_one_element_is_coupled_as_in_a_plain_coupling(condition_dimension: int) -> None:
    block = random_block(1, condition_dimension)
    with default_dtype("float64"):
        plain = Coupling(hidden=(16,))
        plain.build((1,), (condition_dimension,))
    plain.set_weights(block.get_weights())
    generator = np.random.default_rng(3)
    x = generator.standard_normal((20, 1))
    condition = generator.standard_normal((20, condition_dimension))
    for got, expected in zip(block.forward(x, condition), plain.forward(x, condition), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_two_elements_are_coupled_as_in_a_one_sided_coupling() -> None:
    block = random_block(2, 3)
    with default_dtype("float64"):
        plain = Coupling(hidden=(16,), dual=False)
        plain.build((2,), (3,))
    plain.set_weights(block.steps[1].get_weights())
    generator = np.random.default_rng(3)
    x = tf.constant(generator.standard_normal((20, 2)))
    condition = tf.constant(generator.standard_normal((20, 3)))
    # The first element, which a one-sided coupling leaves alone, follows the condition.
    first, log_det = block.steps[0].forward(x[:, :1], x[:, :0], condition)
    expected, plain_log_det = plain.forward(tf.concat([first, x[:, 1:]], axis=1), condition)
    z, total = block.forward(x, condition)
    np.testing.assert_array_equal(z, expected)
    np.testing.assert_allclose(total, log_det + plain_log_det, atol=1e-14)


def whitening_block(covariance: np.ndarray) -> Hierarchical:
    """A block with linear subnets, weights in closed form: the triangular factor of a Gaussian."""
    dimension = len(covariance)
    with default_dtype("float64"):
        block = Hierarchical(Affine(clamp=4.0), hidden=())
        block.build((dimension,))
    for alike, step in zip(block.rounds, block.steps, strict=True):
        # Later steps still are the identity. Inside a half, only what the elements before it don't
        # explain counts: the splits further out take the rest away.
        current = matrix(block, dimension)
        inner = []
        for split in alike:
            change = current[split.start : split.stop, split.start : split.stop]
            unexplained = conditional_covariance(
                covariance[: split.stop, : split.stop], given=split.start
            )
            inner.append(change @ unexplained @ change.T)
        standardise_given_passive(
            step, inner[0] if len(inner) == 1 else np.stack(inner), passive=alike[0].passive
        )
    return block


@pytest.mark.parametrize("dimension", [4, 7])
def test_one_block_whitens_any_gaussian_and_one_coupling_does_not(dimension: int) -> None:
    covariance = correlation(dimension, seed=4)
    factor = matrix(whitening_block(covariance), dimension)
    assert one_coupling_leaves(covariance, passive=dimension // 2) > 0.1
    assert divergence(factor @ covariance @ factor.T) < 1e-9
    np.testing.assert_allclose(factor, np.linalg.inv(np.linalg.cholesky(covariance)), atol=1e-9)


def test_fixing_the_first_half_gives_the_conditional() -> None:
    """A block of observables and parameters holds the posterior: of a linear Gaussian model."""
    generator = np.random.default_rng(5)
    design = generator.standard_normal((3, 3))
    noise = 0.25 * np.eye(3)
    # Observables y = design theta + noise come first, then theta, standard normal before any data.
    joint = np.block([[design @ design.T + noise, design], [design.T, np.eye(3)]])
    block = whitening_block(joint)
    observed = np.array([[0.5, -1.0, 2.0]])
    precision = np.eye(3) + design.T @ np.linalg.solve(noise, design)
    mean = np.linalg.solve(precision, design.T @ np.linalg.solve(noise, observed[0]))

    latent = block.forward(np.concatenate([observed, np.zeros((1, 3))], axis=1))[0].numpy()[:, :3]
    # The map is affine: the latent origin goes to the mean, and unit vectors show a factor of the
    # covariance.
    others = np.concatenate([np.zeros((1, 3)), np.eye(3)])
    draws, _ = block.inverse(np.concatenate([np.repeat(latent, 4, axis=0), others], axis=1))
    np.testing.assert_allclose(draws[:, :3], np.repeat(observed, 4, axis=0), atol=1e-9)
    np.testing.assert_allclose(draws[0, 3:], mean, atol=1e-9)
    factor = (draws[1:, 3:] - draws[:1, 3:]).numpy().T
    np.testing.assert_allclose(factor @ factor.T, np.linalg.inv(precision), atol=1e-9)


def test_bad_levels_are_explained() -> None:
    with pytest.raises(InputError, match="an integer of 1 or more"):
        Hierarchical(levels=0)
