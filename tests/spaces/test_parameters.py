"""The map between parameters and vectors, for all prior families: no draw leaves the support."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core import seeds
from bayesinn.core.errors import SimulatorError
from bayesinn.simulation.prior import Prior
from bayesinn.spaces.parameters import ParameterSpace, layout_of
from tests.helpers.families import CONTINUOUS, DISCRETE, FAMILIES

tfb = tfp.bijectors
tfd = tfp.distributions

ASCENDING = tfd.TransformedDistribution(
    tfd.Sample(tfd.Normal(0.0, 1.0), 3), tfp.bijectors.Ascending()
)
TRIANGLE = tfd.TransformedDistribution(
    tfd.Sample(tfd.Normal(0.0, 1.0), 3), tfp.bijectors.FillScaleTriL(tfp.bijectors.Exp(), None)
)


def draws(prior: Prior, n: int, seed: int = 2) -> dict[str, tf.Tensor]:
    return prior.sample(n, seeds.tensor_seed(seed, "prior"))


def spread(space: ParameterSpace, values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return space.dequantise(values, seeds.tensor_seed(3, "dequantise"))


@pytest.fixture(scope="module", params=FAMILIES)
def space(request: pytest.FixtureRequest) -> ParameterSpace:
    return ParameterSpace(Prior(FAMILIES[request.param]), seed=1)


def test_there_and_back(space: ParameterSpace) -> None:
    values = draws(space.prior, 2000)
    vector, log_det = space.to_vector(spread(space, values))
    back = space.from_vector(vector)
    assert vector.shape == (2000, space.dimension)
    assert log_det.shape == (2000,)
    assert tuple(back) == space.names
    for name in space.names:
        # Measured at most 1e-6 over three seeds.
        np.testing.assert_allclose(
            back[name], tf.cast(values[name], tf.float32), rtol=1e-5, atol=1e-5
        )


def test_some_of_the_parameters_alone(space: ParameterSpace) -> None:
    values = spread(space, draws(space.prior, 50))
    vector, log_det = space.to_vector(values)
    back = space.from_vector(vector)
    others = tf.zeros(())
    for name in space.names:
        part, its_log_det = space.to_vector(values, (name,))
        assert np.array_equal(part, vector * space.elements_of((name,)))
        assert np.array_equal(space.from_vector(vector, (name,), back)[name], back[name])
        others += its_log_det
    # At most 2e-6 for three seeds.
    np.testing.assert_allclose(others, log_det, rtol=1e-5, atol=1e-5)


def test_the_vector_is_standardised(space: ParameterSpace) -> None:
    vector, _ = space.to_vector(spread(space, draws(space.prior, 5000)))
    # Measured at most 0.041 and 0.072 over three seeds; 0.15 for the sd of a Student-t with 3
    # degrees of freedom.
    np.testing.assert_allclose(np.mean(vector, axis=0), 0.0, atol=0.1)
    np.testing.assert_allclose(np.std(vector, axis=0), 1.0, atol=0.3)


def test_reach_is_twice_what_the_prior_reaches(space: ParameterSpace) -> None:
    vector, _ = space.to_vector(spread(space, draws(space.prior, 5000)))
    # Measured 1.26 to 3.6 times as far over three seeds.
    assert np.all(space.reach > np.max(np.abs(vector), axis=0))
    other = copy.copy(space)
    other.scale = 2.0 * space.scale
    np.testing.assert_allclose(other.reach, 0.5 * space.reach, rtol=1e-6)


@pytest.mark.parametrize("deviation", [1.0, 5.0])
def test_wild_vectors_land_inside_the_support(space: ParameterSpace, deviation: float) -> None:
    generator = np.random.default_rng(1)
    vector = tf.constant(
        deviation * generator.standard_normal((20_000, space.dimension)), tf.float32
    )
    # Compiled, as in sampling: what is known about the prior must not depend on eager tensors.
    values = tf.function(space.from_vector)(vector)
    density = space.prior_log_prob(values)
    inside = np.isfinite(density)
    assert inside.all(), {name: np.asarray(value)[~inside][:3] for name, value in values.items()}


def test_vectors_of_wild_parameters_are_finite(space: ParameterSpace) -> None:
    vector = tf.constant(
        5.0 * np.random.default_rng(1).standard_normal((5000, space.dimension)), tf.float32
    )
    again, log_det = space.to_vector(spread(space, space.from_vector(vector)))
    assert np.isfinite(again).all()
    assert np.isfinite(log_det).all()


def free_coordinates(space: ParameterSpace, values: dict[str, tf.Tensor]) -> tf.Tensor:
    """Parameters (n, dimension) without the last share of each simplex, which the others decide."""
    columns = []
    for name, event_shape in space.event_shapes.items():
        value = values[name]
        if space.elements_of((name,)).sum() < np.prod(event_shape):
            value = value[..., :-1]
        columns.append(tf.reshape(value, (len(value), -1)))
    return tf.concat(columns, axis=-1)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_log_det_is_that_of_the_jacobian(name: str) -> None:
    space = ParameterSpace(Prior(CONTINUOUS[name]), seed=1)
    vector = tf.constant(
        np.random.default_rng(1).standard_normal((40, space.dimension)), tf.float32
    )
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(vector)
        values = space.from_vector(vector)
        columns = tf.unstack(free_coordinates(space, values), axis=-1)
    jacobian = tf.stack([tape.gradient(column, vector) for column in columns], axis=1)
    _, log_det = space.to_vector(values)
    # Measured at most 1.8e-5 over three seeds, and 1.1e-2 for the interval far from zero, where
    # single precision resolves 1/16,000 of the width.
    tolerance = 5e-2 if "far" in name else 2e-4
    np.testing.assert_allclose(log_det, -np.linalg.slogdet(jacobian)[1], atol=tolerance)


@pytest.mark.parametrize("name", DISCRETE)
def test_log_det_of_integers_is_that_of_the_finite_difference(name: str) -> None:
    space = ParameterSpace(Prior(DISCRETE[name]), seed=1)
    values = {
        key: tf.cast(value, tf.float32) + 0.5 if key in space.discrete else value
        for key, value in draws(space.prior, 50).items()
    }
    _, log_det = space.to_vector(values)
    step = 1e-2
    total = np.zeros(50)
    # Each element depends on its own parameter alone once the integers that set its bounds are
    # given.
    for key in space.names:
        ahead, _ = space.to_vector({**values, key: values[key] + step})
        behind, _ = space.to_vector({**values, key: values[key] - step})
        slopes = np.asarray(ahead - behind) / (2 * step)
        own = slopes[:, space.elements_of((key,)) > 0.0]
        total += np.log(np.abs(own)).sum(axis=1)
    # The difference quotient's own error is up to 1e-2 near the bounds of a continuous child.
    assert np.median(np.abs(log_det - total)) < 1e-3
    assert np.quantile(np.abs(log_det - total), 0.9) < 1e-2


def test_density_transforms_back_to_the_prior() -> None:
    """The density of shares, from the vector's known density, is the Dirichlet's: same measure."""
    prior = Prior({"shares": tfd.Dirichlet([1.0, 1.0, 1.0])})
    space = ParameterSpace(prior, seed=1)
    first = np.linspace(0.0005, 0.9995, 1000)
    grid = np.stack(np.meshgrid(first, first), axis=-1).reshape(-1, 2)
    grid = grid[grid.sum(axis=1) < 0.9995]
    shares = np.column_stack([grid, 1.0 - grid.sum(axis=1)]).astype(np.float32)
    vector, log_det = space.to_vector({"shares": tf.constant(shares)})
    density = np.exp(tfd.MultivariateNormalDiag(tf.zeros(2)).log_prob(vector) + log_det)
    # Integrates to one over the first two shares. Measured 0.9990 with this grid.
    assert density.sum() * (first[1] - first[0]) ** 2 == pytest.approx(1.0, abs=0.005)


def test_shares_of_zero_are_finite() -> None:
    space = ParameterSpace(Prior({"shares": tfd.Dirichlet([0.5, 0.5, 0.5])}), seed=1)
    shares = np.array([[0.0, 0.4, 0.6], [1.0, 0.0, 0.0], [0.2, 0.3, 0.5]], np.float32)
    vector, log_det = space.to_vector({"shares": tf.constant(shares)})
    assert np.isfinite(vector).all()
    assert np.isfinite(log_det).all()
    np.testing.assert_allclose(space.from_vector(vector)["shares"], shares, atol=1e-6)


@pytest.mark.parametrize("value", [1e6, -1e6, 2.0**24])
def test_large_integers_are_not_rounded_up(value: float) -> None:
    space = ParameterSpace(Prior({"k": tfd.Poisson(1e6)}), seed=1)
    k = tf.constant(np.full(2_000, value, np.float32))
    spread_out = np.asarray(space.dequantise({"k": k}, tf.constant([1, 2]))["k"])
    np.testing.assert_array_equal(np.floor(spread_out), k)


def test_integers_are_spread_evenly_and_come_back() -> None:
    space = ParameterSpace(Prior({"k": tfd.Poisson(4.0)}), seed=1)
    k = draws(space.prior, 20_000)["k"]
    spread_out = np.asarray(spread(space, {"k": k})["k"])
    fraction = spread_out - np.asarray(k)
    assert fraction.min() >= 0.0
    assert fraction.max() < 1.0
    assert np.mean(fraction) == pytest.approx(0.5, abs=0.01)  # sd of the mean is 0.002
    np.testing.assert_array_equal(np.floor(spread_out), k)


def test_same_seed_same_standardisation() -> None:
    first, second, third = (
        ParameterSpace(Prior(FAMILIES["many"]), seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.mean, second.mean)
    assert not np.array_equal(first.mean, third.mean)


def test_outside_the_support_the_prior_density_is_zero() -> None:
    space = ParameterSpace(Prior(FAMILIES["dependent"]), seed=1)
    values = {"low": tf.constant([0.5, 0.5, 1.5]), "high": tf.constant([1.0, 0.4, 1.8])}
    assert np.isfinite(space.prior_log_prob(values)).tolist() == [True, False, False]


def test_no_smooth_map_for_a_gap_between_integers() -> None:
    with pytest.raises(SimulatorError, match="'k'") as error:
        ParameterSpace(Prior({"k": tfd.FiniteDiscrete([1, 2, 5], probs=[0.2, 0.3, 0.5])}), seed=1)
    assert "consecutive integers" in str(error.value)


@pytest.mark.parametrize(
    "components",
    [
        tfd.Uniform([0.0, 2.0], [1.0, 3.0]),
        tfd.Poisson([1.0, 9.0]),
        tfd.Uniform(0.0, [1.0, 1.0]),
    ],
)
def test_components_without_a_support_in_common(components: tfd.Distribution) -> None:
    prior = {"k": tfd.MixtureSameFamily(tfd.Categorical(probs=[0.3, 0.7]), components)}
    with pytest.raises(SimulatorError, match="Parameter 'k', a mixture") as error:
        ParameterSpace(Prior(prior), seed=1)
    assert "all on the real line, all above zero" in str(error.value)


def test_coinciding_bounds_are_named() -> None:
    prior = Prior({"low": tfd.Uniform(0.0, 1.0), "high": lambda low: tfd.Uniform(low, low)})
    with pytest.raises(SimulatorError, match="'high'") as error:
        ParameterSpace(prior, seed=1)
    assert "dependent bounds never coincide" in str(error.value)


MIXED = {
    "a": tfd.Normal(1.0, 2.0),
    "b": tfd.Uniform(-1.0, 3.0),
    "c": tfd.LogNormal(0.0, 0.5),
    "d": tfd.Dirichlet([2.0, 1.0, 3.0]),
    "e": tfd.Beta(2.0, 3.0),
    "f": tfd.Gamma(2.0, 1.0),
    "g": tfd.Poisson(3.0),
    "h": tfd.TruncatedNormal(0.0, 1.0, -2.0, 1.0),
    "i": tfd.MultivariateNormalDiag([0.0, 1.0]),
    "j": tfd.Normal(-1.0, 1.0),
    "k": tfd.Bernoulli(probs=0.3),
}


def unscaled(prior: dict[str, tfd.Distribution]) -> ParameterSpace:
    space = ParameterSpace(Prior(prior), seed=1)
    space.mean = np.zeros_like(space.mean)
    space.scale = np.ones_like(space.scale)
    return space


def test_many_numbers_are_mapped_together_as_each_alone() -> None:
    space = unscaled(MIXED)
    alone = {name: unscaled({name: prior}) for name, prior in MIXED.items()}
    values = spread(space, draws(space.prior, 50))
    vector, log_det = space.to_vector(values)
    singly = [alone[name].to_vector({name: values[name]}) for name in MIXED]
    # Largest errors relative to values above one, for seeds 2, 3, 4 of the draws: 1.2e-7, 2.0e-7,
    # and 1.8e-7 on the way back.
    np.testing.assert_allclose(
        vector, tf.concat([part for part, _ in singly], axis=-1), rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(
        log_det, tf.add_n([part for _, part in singly]), rtol=1e-6, atol=1e-6
    )
    back = space.from_vector(vector)
    for name, part in zip(MIXED, (part for part, _ in singly), strict=True):
        np.testing.assert_allclose(
            back[name], alone[name].from_vector(part)[name], rtol=1e-6, atol=1e-6
        )


def test_graphs_hardly_grow_with_the_number_of_parameters() -> None:
    def operations(count: int) -> int:
        space = unscaled({f"p{number}": tfd.Uniform(0.0, 1.0 + number) for number in range(count)})
        graph = tf.function(
            lambda vector: space.to_vector(space.from_vector(vector))
        ).get_concrete_function(tf.TensorSpec((None, count)))
        return len(graph.graph.get_operations())

    # 123 both times; one by one, it would be 316 and 2,881.
    assert operations(30) < 1.5 * operations(3)


DOUBLE = {
    "log-normal": lambda: tfd.LogNormal(np.log(0.4), 0.5),
    "uniform": lambda: tfd.Uniform(np.sqrt(2.0), 3.0),
    "truncated": lambda: tfd.TruncatedNormal(np.sqrt(2.0), 3.0, 0.0, 10.0),
    "vector": lambda: tfd.MultivariateNormalDiag(np.zeros(3), np.ones(3)),
    "several": lambda: tfd.Sample(tfd.Gamma(np.sqrt(2.0), 3.0), 2),
    "dirichlet": lambda: tfd.Dirichlet(np.ones(3)),
}


@pytest.mark.parametrize("name", DOUBLE)
def test_double_precision_beside_single(name: str) -> None:
    """NumPy's numbers make it so; networks compute in single precision."""
    prior = Prior({"a": DOUBLE[name](), "b": tfd.Normal(0.0, 1.0)})
    space = ParameterSpace(prior, seed=1)
    values = draws(prior, 200)
    assert values["a"].dtype == tf.float64
    vector, log_det = space.to_vector(spread(space, values))
    assert vector.dtype == log_det.dtype == space.prior_log_prob(values).dtype == tf.float32
    np.testing.assert_allclose(space.from_vector(vector)["a"], values["a"], rtol=1e-4, atol=1e-4)
    expected = tf.cast(prior.distribution("a", {}).log_prob(values["a"]), tf.float32)
    expected += prior.distribution("b", {}).log_prob(values["b"])
    np.testing.assert_allclose(space.prior_log_prob(values), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("law", [tfd.Beta(0.5, 0.5), tfd.Gamma(0.5, 1.0)])
def test_a_draw_on_the_end_of_a_support_where_the_density_is_infinite(
    law: tfd.Distribution,
) -> None:
    space = ParameterSpace(
        Prior({"share": law, "scaled": lambda share: tfd.Normal(share, 1.0)}), seed=1
    )
    density = space.prior_log_prob({"share": tf.constant([0.0, 0.5]), "scaled": tf.zeros(2)})
    outside = space.prior_log_prob({"share": tf.constant([-0.1]), "scaled": tf.zeros(1)})
    assert np.isfinite(density).all()
    assert density[0] > density[1]
    assert not outside[0] > -np.inf


def test_fractions_of_integers_and_what_lies_outside_are_impossible() -> None:
    space = ParameterSpace(Prior({"people": tfd.Poisson(4.0), "share": tfd.Beta(2.0, 2.0)}), seed=1)
    people = [3.0, 3.5, 0.0, -1.0, 3.0]
    share = [0.5, 0.5, 0.5, 0.5, 1.5]
    possible = space.possible({"people": tf.constant(people), "share": tf.constant(share)})
    assert possible.numpy().tolist() == [True, False, True, False, False]


@pytest.mark.parametrize(
    ("law", "inside", "beyond"),
    [
        (tfd.Exponential(0.2), 0.0, -1.0),
        (tfd.Gamma(1.0, 2.0), 0.1, -0.1),
        (tfd.Beta(1.0, 3.0), 0.2, -0.2),
        (tfd.Beta(3.0, 1.0), 0.2, 1.2),
        (tfd.Dirichlet([1.0, 1.0, 1.0]), [0.2, 0.3, 0.5], [-0.2, 0.7, 0.5]),
        (ASCENDING, [0.2, 0.3, 0.5], [0.2, 0.1, 0.5]),
        (TRIANGLE, [[0.5, 0.0], [-3.0, 0.5]], [[0.5, 0.1], [-3.0, 0.5]]),
        (TRIANGLE, [[0.5, 0.0], [-3.0, 0.5]], [[-0.5, 0.0], [-3.0, 0.5]]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_some_distributions_allow_outside_their_support_is_impossible(
    law: tfd.Distribution, inside, beyond
) -> None:
    space = ParameterSpace(Prior({"x": law}), seed=0)
    values = {"x": tf.constant([inside, beyond], tf.float32)}
    assert space.possible(values).numpy().tolist() == [True, False]
    density = space.prior_log_prob(values).numpy()
    assert np.isfinite(density[0])
    assert density[1] == -np.inf


@pytest.mark.parametrize("unit", [1e-15, 1e-9, 1.0, 1e6])
def test_parameters_of_any_unit_are_standardised(unit: float) -> None:
    space = ParameterSpace(Prior({"x": tfd.Normal(50.0 * unit, unit)}), seed=0)
    vector, _ = space.to_vector(draws(space.prior, 2_000))
    assert np.std(vector) == pytest.approx(1.0, abs=0.1)
    assert abs(np.mean(vector)) < 0.1


@pytest.mark.parametrize(
    "prior",
    [
        {
            "k": tfd.Categorical(probs=[0.5, 0.5]),
            "x": lambda k: tfd.Normal(tf.gather([-3.0, 3.0], k), 1.0),
        },
        {
            "mu": tfd.Normal(np.log(0.4), 0.5),
            "r": lambda mu: tfd.LogNormal(mu, np.log(2.0)),
        },
    ],
    ids=["integer", "double"],
)
def test_priors_get_what_they_depend_on_as_it_was_drawn(prior: dict) -> None:
    space = ParameterSpace(Prior(prior), seed=0)
    values = draws(space.prior, 100)
    vector, _ = space.to_vector(spread(space, values))
    back = space.from_vector(vector)
    for name, value in values.items():
        np.testing.assert_allclose(back[name], tf.cast(value, tf.float32), rtol=1e-4, atol=1e-5)
    assert np.isfinite(space.prior_log_prob(values)).all()


def test_vectors_far_from_zero_come_back() -> None:
    tfb = tfp.bijectors
    sheared = tfd.TransformedDistribution(
        tfd.Sample(tfd.Normal(100.0, 1.0), 2), tfb.ScaleMatvecTriL([[1.0, 0.0], [0.5, 1.0]])
    )
    space = ParameterSpace(Prior({"place": sheared}), seed=1)
    values = draws(space.prior, 200)
    back = space.from_vector(space.to_vector(values)[0])
    np.testing.assert_allclose(back["place"], values["place"], rtol=1e-5)


def test_a_softplus_keeps_its_lower_end() -> None:
    law = tfd.TransformedDistribution(tfd.Normal(0.0, 1.0), tfp.bijectors.Softplus(low=2.0))
    space = ParameterSpace(Prior({"x": law}), seed=1)
    values = space.from_vector(tf.constant([[-9.0], [0.0], [9.0]]))
    assert values["x"].numpy().min() > 2.0
    assert np.isfinite(space.prior_log_prob(values)).all()


@pytest.mark.parametrize("size", [1e-30, 1e18, 2e30])
def test_units_may_be_huge_or_tiny(size: float) -> None:
    space = ParameterSpace(Prior({"mass": tfd.Normal([0.0, size], [1.0, 0.1 * size])}), seed=1)
    vector, log_det = space.to_vector(draws(space.prior, 2_000))
    np.testing.assert_allclose(np.std(vector, axis=0), 1.0, atol=0.1)
    np.testing.assert_allclose(log_det, -np.log(0.1 * size), atol=0.1)


def test_draws_of_sparse_shares_reach_where_truths_are() -> None:
    """A tenth of these shares is smaller than draws could be."""
    space = ParameterSpace(Prior({"shares": tfd.Dirichlet([0.1] * 5)}), seed=1)
    shares = space.prior.sample(5_000, seeds.tensor_seed(1, "prior"))
    back = space.from_vector(space.to_vector(shares)[0])["shares"].numpy()
    larger = back > 10.0 * np.maximum(shares["shares"].numpy(), 1e-30)
    assert larger.mean() < 0.03


def test_a_prior_without_a_standard_deviation_is_standardised_by_quartiles() -> None:
    prior = Prior({"a": tfd.Cauchy(5.0, 2.0), "b": tfd.Normal(0.0, 3.0)})
    for seed in range(3):
        space = ParameterSpace(prior, seed=seed)
        # Quartiles of the Cauchy distribution: 5 -+ 2.
        np.testing.assert_allclose(space.mean, [5.0, 0.0], atol=0.2)
        np.testing.assert_allclose(space.scale, [3.0 * 4.0 / 1.349, 3.0], rtol=0.1)


def test_integers_by_their_outcomes_are_mapped_in_graphs_too() -> None:
    def outcomes(a):
        return tfd.FiniteDiscrete([1.0, 2.0, 3.0], logits=a[:, None] * [0.0, 1.0, 2.0])

    prior = Prior({"a": tfd.Normal(0.0, 1.0), "k": outcomes})
    space = ParameterSpace(prior, seed=1)
    values = spread(space, draws(prior, 20))
    eager, _ = space.to_vector(values)
    traced, _ = tf.function(space.to_vector)(values)
    np.testing.assert_allclose(traced, eager, rtol=1e-5, atol=1e-5)


ROOT = np.array([[1.0, 0.0], [0.3, 0.8]], np.float32)
TO_INVERSE = tfb.Chain(
    [
        tfb.CholeskyOuterProduct(),
        tfb.CholeskyToInvCholesky(),
        tfb.Invert(tfb.CholeskyOuterProduct()),
    ]
)
CURVED = {
    "angle": tfd.VonMises(1.0, 2.0),
    "angles": tfd.VonMises([0.0, 3.0], [2.0, 0.0]),
    "unit vector": tfd.VonMisesFisher([0.0, 0.0, 1.0], 4.0),
    "unit vectors": tfd.Sample(tfd.SphericalUniform(4), 2),
    "correlations": tfd.LKJ(3, 2.0),
    "factor of correlations": tfd.CholeskyLKJ(3, 2.0),
    "precision": tfd.WishartTriL(5.0, scale_tril=ROOT),
    "covariance": TO_INVERSE(tfd.WishartTriL(6.0, scale_tril=ROOT)),
}


@pytest.mark.parametrize("law", CURVED.values(), ids=CURVED)
def test_directions_and_matrices_have_the_density_of_the_prior(law: tfd.Distribution) -> None:
    def later(x: tf.Tensor) -> tfd.Distribution:
        return tfd.Normal(tf.reduce_mean(tf.reshape(x, (tf.shape(x)[0], -1)), axis=-1), 1.0)

    space = ParameterSpace(Prior({"x": law, "y": later}), seed=1)
    values = draws(space.prior, 500)
    assert np.all(space.possible(values))
    vector, log_det = space.to_vector(space.dequantise(values, seeds.tensor_seed(1, "dequantise")))
    assert vector.shape[1] == space.dimension == layout_of(space.prior).dimension
    assert np.all(np.isfinite(log_det))
    back = space.from_vector(vector)
    assert np.abs(np.exp(1j * back["x"].numpy()) - np.exp(1j * values["x"].numpy())).max() < 1e-4
    # Proposals of the vectors' own moments: their weights have a mean of one, if all volumes are
    # counted, those of the surface and those of the distances.
    scale = tf.linalg.LinearOperatorDiag(1.1 * tf.ones(space.dimension))
    proposal = tfd.MultivariateStudentTLinearOperator(6.0, tf.zeros(space.dimension), scale)
    points = proposal.sample(100_000, seed=(1, 2))
    augmented = space.augmented(points)
    density = space.prior_log_prob(augmented) - space.to_vector(augmented)[1]
    weights = np.exp(density - proposal.log_prob(points))
    assert weights.mean() == pytest.approx(1.0, abs=4.0 * weights.std() / np.sqrt(len(weights)))


@pytest.mark.parametrize(
    ("law", "inside", "beyond"),
    [
        (tfd.LKJ(2, 1.0), [[1.0, 0.5], [0.5, 1.0]], [[1.0, 1.5], [1.5, 1.0]]),
        (tfd.SphericalUniform(3), [0.6, 0.0, 0.8], [0.6, 0.0, 0.9]),
        (tfd.LKJ(2, 1.0), [[1.0, 0.5], [0.5, 1.0]], [[1.0, 0.5], [0.5, 1.2]]),
        (CURVED["precision"], [[1.0, 0.5], [0.5, 1.0]], [[1.0, 2.0], [2.0, 1.0]]),
        (CURVED["precision"], [[1.0, 0.5], [0.5, 1.0]], [[1.0, 0.5], [0.4, 1.0]]),
    ],
)
def test_matrices_and_unit_vectors_outside_the_support(
    law: tfd.Distribution, inside: list, beyond: list
) -> None:
    space = ParameterSpace(Prior({"x": law}), seed=0)
    values = {"x": tf.constant([inside, beyond], tf.float32)}
    assert space.possible(values).numpy().tolist() == [True, False]
