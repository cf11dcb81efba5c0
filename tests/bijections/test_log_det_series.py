"""Series for the log-determinant: exact for exact traces, right on average for random ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.bijections import residual
from bayesinn.bijections.residual import (
    Geometric,
    Law,
    Linearization,
    Poisson,
    SeriesNoise,
    roulette_weights,
    series_log_det,
)
from bayesinn.core.errors import InputError

LAWS = [Geometric(0.5), Geometric(0.2), Poisson(2.0)]


def contraction(dimension: int = 6, norm: float = 0.9, seed: int = 1) -> np.ndarray:
    matrix = np.random.default_rng(seed).standard_normal((dimension, dimension))
    return matrix * norm / np.linalg.norm(matrix, 2)


def exact(matrix: np.ndarray) -> float:
    return float(np.linalg.slogdet(np.eye(len(matrix)) + matrix)[1])


def with_exact_traces(linear: Linearization, dimension: int, weights: tf.Tensor) -> tf.Tensor:
    """The series with the sum over all unit vectors in place of random ones."""
    return tf.reduce_sum(series_log_det(linear, tf.eye(dimension, dtype=tf.float64), weights))


def network(rows: int, dimension: int = 3, units: int = 8, seed: int = 1) -> Linearization:
    generator = np.random.default_rng(seed)
    shapes = [(dimension, units), (units, units), (units, dimension)]
    kernels = [generator.standard_normal(shape) for shape in shapes]
    kernels = [tf.constant(0.95 * kernel / np.linalg.norm(kernel, 2)) for kernel in kernels]
    slopes = [tf.constant(generator.uniform(-0.1, 1.0, (rows, units))) for _ in range(2)]
    return Linearization(kernels, slopes)


def test_products_and_log_det_are_those_of_the_matrix() -> None:
    linear = network(rows=5)
    jacobian = linear.jacobian()
    vectors = tf.random.stateless_normal((5, 3), (1, 2), dtype=tf.float64)
    np.testing.assert_allclose(
        linear.jacobian_vector(vectors), tf.linalg.matvec(jacobian, vectors), atol=1e-14
    )
    transposed = tf.linalg.matvec(jacobian, vectors, transpose_a=True)
    np.testing.assert_allclose(linear.vector_jacobian(vectors), transposed, atol=1e-14)
    for dimension in (1, 2, 3, 20):
        linear = network(rows=5, dimension=dimension)
        expected = np.linalg.slogdet(np.eye(dimension) + linear.jacobian())[1]
        np.testing.assert_allclose(linear.log_det(), expected, atol=1e-13)


def test_gradient_of_the_exact_log_det_is_the_inverse() -> None:
    for dimension in (1, 2, 5):
        matrix = contraction(dimension)
        kernel = tf.constant(matrix)
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            log_det = Linearization([kernel], []).log_det()
        inverse = np.linalg.inv(np.eye(dimension) + matrix)
        np.testing.assert_allclose(log_det, [exact(matrix)], atol=1e-13)
        np.testing.assert_allclose(tape.gradient(log_det, kernel), inverse.T, atol=1e-12)


@pytest.mark.parametrize("rows", [0, 1, 7, 8])
def test_many_rows_are_taken_in_pieces(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    linear = network(rows)
    whole = linear.log_det()
    # Two rows of three elements and eight units.
    monkeypatch.setattr(residual, "_NUMBERS_AT_ONCE", 48)
    np.testing.assert_allclose(linear.log_det(), whole, atol=1e-14)

    @tf.function(input_signature=[[tf.TensorSpec((None, 8), tf.float64)] * 2])
    def rows_unknown(slopes: list[tf.Tensor]) -> tf.Tensor:
        return Linearization(linear.kernels, slopes).log_det()

    np.testing.assert_allclose(rows_unknown(linear.slopes), whole, atol=1e-14)


def truncation_bound(dimension: int, lipschitz: float, terms: int) -> float:
    """How far the truncated series can be from log det(I + J), for J (d, d) of limited norm.

    The norm of J is at most ``lipschitz``.
    """
    partial = sum(lipschitz**power / power for power in range(1, terms + 1))
    return dimension * (-math.log1p(-lipschitz) - partial)


def test_truncated_series_keeps_its_bound() -> None:
    for seed in (1, 2, 3):
        matrix = contraction(seed=seed)
        linear = Linearization([tf.constant(matrix.T)], [])
        errors = []
        for terms in (1, 5, 10, 20, 200):
            errors.append(
                abs(float(with_exact_traces(linear, 6, tf.ones(terms, tf.float64))) - exact(matrix))
            )
            assert errors[-1] <= truncation_bound(6, 0.9, terms)
        assert errors[1] < errors[0]
        assert errors[-1] < 1e-9
    # The worst case meets the bound: all eigenvalues at -0.9.
    worst = Linearization([tf.constant(-0.9 * np.eye(6))], [])
    for terms in (5, 10):
        error = float(with_exact_traces(worst, 6, tf.ones(terms, tf.float64))) - 6.0 * math.log(0.1)
        np.testing.assert_allclose(error, truncation_bound(6, 0.9, terms), rtol=1e-12)


def lengths(law: Law) -> list[tuple[float, tf.Tensor]]:
    """All lengths that a series can have: each one's probability, and a uniform number for it."""
    edges = np.unique(np.concatenate([[0.0, 1.0], law.survival()]))
    middles = [tf.constant(middle, tf.float64) for middle in (edges[:-1] + edges[1:]) / 2.0]
    return list(zip(np.diff(edges), middles, strict=True))


@pytest.mark.parametrize("law", LAWS, ids=repr)
@pytest.mark.parametrize("terms", [0, 2, 10])
def test_weights_have_mean_one(law: Law, terms: int) -> None:
    mean = sum(
        probability * roulette_weights(uniform, law, terms).numpy()
        for probability, uniform in lengths(law)
    )
    np.testing.assert_allclose(mean, np.ones(terms + len(law.survival())), rtol=1e-12)


@pytest.mark.parametrize("law", [Geometric(0.5), Poisson(2.0)], ids=repr)
def test_series_of_random_length_has_the_exact_mean(law: Law) -> None:
    # The mean over lengths by summing over them, and over probes by exact traces: nothing random is
    # left.
    matrix = contraction(norm=0.7)
    linear = Linearization([tf.constant(matrix)], [])
    mean = sum(
        probability * float(with_exact_traces(linear, 6, roulette_weights(uniform, law, exact=2)))
        for probability, uniform in lengths(law)
    )
    most = 2 + len(law.survival())
    np.testing.assert_allclose(
        mean, with_exact_traces(linear, 6, tf.ones(most, tf.float64)), atol=1e-12
    )
    # The truncated tail is what is left of the bias; the bounds are 2e-4 and 6e-3, measured over
    # seeds 1, 2, 3 at most 5e-10 and 5e-7.
    assert abs(mean - exact(matrix)) <= truncation_bound(6, 0.7, most)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_mean_over_many_random_series_is_exact(law: Law) -> None:
    # Real eigenvalues up to 0.7 in size, so that late terms matter; random matrices have much
    # smaller ones.
    generator = np.random.default_rng(1)
    draws = 20_000
    rotation = np.linalg.qr(generator.standard_normal((6, 6)))[0]
    matrix = rotation @ np.diag(np.linspace(-0.7, 0.7, 6)) @ rotation.T
    linear = Linearization([tf.constant(matrix)], [])
    estimates = []
    unweighted = []
    numbers, counts = np.unique(
        np.sum(generator.random((draws, 1)) < law.survival(), axis=1), return_counts=True
    )
    for number, count in zip(numbers, counts, strict=True):
        uniform = tf.constant(np.append(law.survival(), 0.0)[number], tf.float64)
        weights = roulette_weights(uniform, law, exact=2)
        assert np.count_nonzero(weights) == 2 + number
        probes = tf.constant(generator.choice([-1.0, 1.0], (count, 6)))
        estimates.append(series_log_det(linear, probes, weights))
        unweighted.append(series_log_det(linear, probes, tf.minimum(weights, 1.0)))
    errors = [np.mean(np.concatenate(values)) - exact(matrix) for values in (estimates, unweighted)]
    standard_error = np.std(np.concatenate(estimates)) / math.sqrt(draws)
    # Measured over seeds 1, 2, 3: at most 1.3 standard errors; without the weights, 4.5 or more.
    assert abs(errors[0]) < 3.0 * standard_error
    assert abs(errors[1]) > 4.0 * standard_error


def test_neumann_gradient_is_that_of_the_log_det() -> None:
    linear = network(rows=1)
    sources = [linear.kernels, linear.slopes]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(sources)
        true = linear.log_det()[0]
        same = Linearization(
            linear.kernels, [tf.repeat(slope, 3, axis=0) for slope in linear.slopes]
        )
        estimate = with_exact_traces(same, 3, tf.ones(300, tf.float64))
    np.testing.assert_allclose(estimate, true, atol=1e-12)
    gradients = zip(tape.gradient(estimate, sources), tape.gradient(true, sources), strict=True)
    for got, expected in gradients:
        for one, other in zip(got, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("law", [None, Geometric(0.5), Poisson(2.0)], ids=repr)
def test_neumann_gradient_is_right_on_average(law: Law | None) -> None:
    rows = 200
    groups = 40
    matrix = contraction(3, 0.6)
    kernel = tf.constant(matrix)
    generator = np.random.default_rng(1)
    gradients = []
    for _ in range(groups):
        probes = tf.constant(generator.choice([-1.0, 1.0], (rows, 3)))
        weights = tf.ones(30, tf.float64)
        if law is not None:
            weights = roulette_weights(tf.constant(generator.random(), tf.float64), law, exact=2)
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            # A linear function z = x A has the Jacobian A^T.
            mean = tf.reduce_mean(series_log_det(Linearization([kernel], []), probes, weights))
        gradients.append(tape.gradient(mean, kernel))
    expected = np.linalg.inv(np.eye(3) + matrix).T
    errors = np.mean(gradients, axis=0) - expected
    # Nine elements; measured over seeds 1, 2, 3: at most 2.7 standard errors.
    assert np.all(np.abs(errors) < 4.5 * np.std(gradients, axis=0) / math.sqrt(groups))


def test_neumann_gradient_follows_the_weight_of_each_row() -> None:
    linear = network(rows=2)
    probes = tf.constant([[1.0, -1.0, 1.0], [1.0, 1.0, -1.0]], tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(linear.kernels)
        rows = tf.unstack(series_log_det(linear, probes, tf.ones(5, tf.float64)))
        weighted = 3.0 * rows[0] - 0.5 * rows[1]
    both = tape.gradient(weighted, linear.kernels)
    for got, first, second in zip(
        both, *(tape.gradient(row, linear.kernels) for row in rows), strict=True
    ):
        np.testing.assert_allclose(got, 3.0 * first - 0.5 * second, atol=1e-14)


def test_gradient_stores_no_more_for_a_longer_series() -> None:
    def operations(terms: int) -> int:
        @tf.function(input_signature=[[tf.TensorSpec((None, 8), tf.float64)] * 2])
        def gradient(slopes: list[tf.Tensor]) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(slopes)
                linear = Linearization(kernels, slopes)
                value = series_log_det(
                    linear, tf.ones_like(slopes[0][:, :3]), tf.ones(terms, tf.float64)
                )
            return tape.gradient(value, slopes)

        kernels = network(rows=1).kernels
        graph = gradient.get_concrete_function().graph
        loops = [operation for operation in graph.get_operations() if "While" in operation.type]
        # One loop, forward: a second would walk back through all terms, with everything they left
        # behind.
        assert len(loops) == 1
        # What the loop carries is of fixed size; a stack of intermediate results would be a
        # variant.
        assert not any(output.dtype == tf.variant for output in loops[0].outputs)
        return len(graph.get_operations())

    assert operations(3) == operations(50)


def test_noise_is_for_training_only() -> None:
    noise = SeriesNoise(terms=3, law=Geometric(0.5))
    x = tf.zeros((1000, 4))
    assert noise(x) is None
    probes, weights = noise(x, training=True)
    assert set(np.unique(probes)) == {-1.0, 1.0}
    # 4,000 signs: a mean of 0.08 is five standard errors away.
    assert abs(float(tf.reduce_mean(probes))) < 0.08
    np.testing.assert_array_equal(weights[:4], 1.0)
    again, _ = noise(x, training=True)
    assert not np.array_equal(again, probes)


def test_noise_is_a_function_of_its_state() -> None:
    noise = SeriesNoise(terms=3, law=Poisson(2.0))
    x = tf.zeros((50, 4))
    noise(x, training=True)
    state = [tf.constant([5, 6], tf.int64)]
    (first, weights), moved = noise.stateless_call([], state, x, training=True)
    (second, same), _ = noise.stateless_call([], state, x, training=True)
    (third, _), _ = noise.stateless_call([], moved, x, training=True)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(weights, same)
    assert not np.array_equal(first, third)


def test_bad_arguments_are_explained() -> None:
    for law, value, name in (
        (Geometric, 1.0, "stop"),
        (Geometric, 0.0, "stop"),
        (Poisson, 0.0, "rate"),
    ):
        with pytest.raises(InputError, match=f"argument '{name}'"):
            law(value)
