"""The posterior: draws inside all supports, exact densities, ArviZ output, a flag for odd data."""

from __future__ import annotations

import arviz as az
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.posterior import answers
from tests.helpers.fitting import fit
from tests.helpers.models import survey
from tests.helpers.untrained import of_family, typical, untrained

tfd = tfp.distributions


NUMBERS = [
    "uniform",
    "log-normal",
    "beta",
    "gamma",
    "gamma with a pole",
    "exponential",
    "half-normal",
    "truncated on both sides",
    "truncated below",
    "truncated above",
    "normal",
    "student-t",
]


@pytest.mark.parametrize("name", NUMBERS)
def test_density_of_one_number_integrates_to_one(name: str) -> None:
    posterior = untrained(of_family(name))
    space = posterior.model.parameters
    # A grid that is even where the density is smooth: along the flow's vector, far into both tails.
    vector = np.linspace(-60.0, 60.0, 40_001, dtype=np.float32)[:, None]
    grid = np.asarray(space.from_vector(tf.constant(vector))["a"], np.float64)
    grid = np.unique(grid.astype(np.float32))
    density = np.exp(
        posterior.log_prob({"a": grid}, {"x": typical(posterior)["x"][0]}).astype(np.float64)
    )
    total = np.trapezoid(density, grid.astype(np.float64))
    # Measured within 2e-5 over three seeds of weights.
    assert total == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("poisson", 0, 1999),
        ("binomial", 0, 10),
        ("bernoulli", 0, 1),
        ("categorical", 0, 2),
        ("finite", 2, 5),
    ],
)
def test_probabilities_of_one_integer_sum_to_one(name: str, low: int, high: int) -> None:
    posterior = untrained(of_family(name))
    data = typical(posterior)
    numbers = np.arange(-3, max(high + 1, 20))
    log_probability = posterior.log_prob({"k": np.tile(numbers, (3, 1))}, data)
    probability = np.exp(log_probability.astype(np.float64))
    assert (np.isfinite(log_probability) == ((numbers >= low) & (numbers <= high))).all()
    # By quadrature over each unit interval: within 0.022 for three seeds of random weights, 0.0008
    # once trained.
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, atol=0.03)
    draws = posterior.sample(data, draws=20_000, seed=1)["k"]
    for row in range(3):
        frequency = np.mean(draws[row][:, None] == numbers, axis=0)
        # Four standard deviations of a frequency among 20,000, and the quadrature's error.
        np.testing.assert_allclose(frequency, probability[row], atol=0.015 + 0.01)


def test_density_agrees_with_the_histogram_of_draws() -> None:
    posterior = untrained(of_family("dependent"))
    draws = posterior.sample({"x": 0.3}, draws=200_000, seed=1)
    edges_low = np.linspace(0.2, 0.8, 13)
    edges_high = np.linspace(0.9, 1.9, 21)
    counts, _, _ = np.histogram2d(draws["low"], draws["high"], bins=(edges_low, edges_high))
    centers = np.meshgrid(
        (edges_low[1:] + edges_low[:-1]) / 2, (edges_high[1:] + edges_high[:-1]) / 2, indexing="ij"
    )
    points = {"low": centers[0].ravel(), "high": centers[1].ravel()}
    density = np.exp(posterior.log_prob(points, {"x": 0.3})).reshape(counts.shape)
    expected = 200_000 * density * 0.05**2
    busy = expected > 200
    deviation = (counts - expected)[busy] / np.sqrt(expected[busy])
    assert busy.sum() > 10
    # A standard deviation of 1 is sampling alone; curvature within a cell adds to it. Measured 1.03
    # to 1.09 over three seeds of weights.
    assert np.std(deviation) < 1.4


def test_outside_the_support_the_density_is_zero() -> None:
    posterior = untrained(of_family("dependent"))
    density = posterior.log_prob(
        {"low": np.array([0.5, 0.5]), "high": np.array([0.4, 0.6])}, {"x": 0.3}
    )
    assert density[0] == -np.inf
    assert np.isfinite(density[1])


# Shapes, seeds and the answer


@pytest.fixture(scope="module")
def posterior() -> bi.AmortizedPosterior:
    return untrained(survey)


@pytest.fixture(scope="module")
def data(posterior: bi.AmortizedPosterior) -> dict[str, np.ndarray]:
    sample = posterior.simulator.sample(5, seed=3)
    return {name: sample[name] for name in ("x", "counts", "n", "dose")}


def test_one_observation_has_no_batch_axis(posterior, data) -> None:
    one = {name: value[2] for name, value in data.items()}
    alone = posterior.sample(one, draws=9, seed=1)
    assert alone["share"].shape == (9, 3)
    assert alone["mean"].shape == (9,)
    assert np.ndim(alone.p_value) == 0
    many = posterior.sample({name: value[None] for name, value in one.items()}, draws=9, seed=1)
    np.testing.assert_array_equal(alone["share"], many["share"][0])
    density = posterior.log_prob(alone, one)
    assert density.shape == (9,)
    point = {name: value[0] for name, value in alone.items()}
    assert posterior.log_prob(point, one) == pytest.approx(density[0], abs=1e-4)
    every = posterior.sample(data, draws=9, seed=1)
    assert posterior.log_prob(every, data).shape == (5, 9)
    assert posterior.log_prob({name: value[:, 0] for name, value in every.items()}, data).shape == (
        5,
    )


def test_an_observation_has_the_same_posterior_in_any_request(posterior, data) -> None:
    every = posterior.sample(data, draws=9, seed=1)
    densities = posterior.log_prob(every, data)
    for place in range(5):
        alone = {name: value[place : place + 1] for name, value in data.items()}
        draws = {name: value[place : place + 1] for name, value in every.items()}
        np.testing.assert_allclose(
            posterior.log_prob(draws, alone)[0], densities[place], rtol=1e-4, atol=1e-4
        )
    backwards = {name: value[::-1] for name, value in data.items()}
    draws = {name: value[::-1] for name, value in every.items()}
    np.testing.assert_allclose(
        posterior.log_prob(draws, backwards), densities[::-1], rtol=1e-4, atol=1e-4
    )
    # Its draws depend on its place, as docs/how_to/many_observations.md says.
    assert np.all(posterior.sample(backwards, draws=9, seed=1)["mean"][::-1][1] != every["mean"][1])


def test_padding_and_count_may_be_left_out(posterior, data) -> None:
    count = int(data["n"][0])
    full = {name: value[0] for name, value in data.items()}
    short = {**full, "x": full["x"][:count]}
    bare = {name: value for name, value in short.items() if name != "n"}
    noisy = {**full, "x": np.where(np.arange(6) < count, full["x"], np.nan)}
    expected = posterior.sample(full, draws=5, seed=1)["mean"]
    for variant in (short, bare, noisy):
        np.testing.assert_allclose(
            posterior.sample(variant, draws=5, seed=1)["mean"], expected, rtol=1e-5
        )


def test_integers_lists_and_doubles_are_fine(posterior, data) -> None:
    one = {name: value[0] for name, value in data.items()}
    other = {name: np.asarray(value, float).tolist() for name, value in one.items()}
    np.testing.assert_array_equal(
        posterior.sample(one, draws=5, seed=1)["mean"],
        posterior.sample(other, draws=5, seed=1)["mean"],
    )


def test_draws_are_a_pure_function_of_the_seed(posterior, data) -> None:
    first = posterior.sample(data, draws=50, seed=1)
    posterior.sample(data, draws=3, seed=9)
    again = posterior.sample(data, draws=50, seed=1)
    other = posterior.sample(data, draws=50, seed=2)
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])


def test_chunks_do_not_show(posterior, data, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = posterior.sample(data, draws=50, seed=1)
    density = posterior.log_prob(draws, data)
    monkeypatch.setattr("bayesinn.posterior.answers._ROWS_PER_CALL", 100)
    monkeypatch.setattr("bayesinn.posterior.answers._OBSERVATIONS_PER_CALL", 2)
    np.testing.assert_allclose(posterior.log_prob(draws, data), density, atol=1e-4)
    chunked = posterior.sample(data, draws=50, seed=1)
    assert chunked["mean"].shape == (5, 50)
    assert len(np.unique(chunked["mean"])) == 250


def test_infer_gives_a_tree_for_arviz(posterior, data) -> None:
    count = int(data["n"][0])
    tree = posterior.infer({name: value[0] for name, value in data.items()}, draws=200, seed=1)
    assert {
        "posterior",
        "prior",
        "posterior_predictive",
        "observed_data",
        "constant_data",
        "sample_stats",
        "log_prior",
        "log_likelihood",
    } == set(tree.children)
    assert tree["log_prior"]["share"].shape == (1, 200)
    assert tree["posterior"]["mean"].shape == (1, 200)
    assert tree["posterior"]["share"].shape == (1, 200, 3)
    assert tree["posterior"]["mean"].attrs["units"] == "mm"
    assert tree["posterior_predictive"]["x"].shape == (1, 200, 6)
    assert np.isnan(tree["posterior_predictive"]["x"].values[0, :, count:]).all()
    assert np.isfinite(tree["posterior_predictive"]["x"].values[0, :, :count]).all()
    assert tree["constant_data"]["n"] == count
    assert np.isfinite(tree["sample_stats"]["lp"]).all()
    assert 0.0 < float(tree["sample_stats"]["out_of_distribution_p"]) <= 1.0
    assert list(az.summary(tree).index) == ["mean", "share[0]", "share[1]", "share[2]"]
    several = posterior.infer(data, draws=20, seed=1)
    assert several["posterior"]["share"].dims == ("chain", "draw", "observation", "share_dim_0")
    assert several["observed_data"]["counts"].shape == (5, 3)
    assert several["log_likelihood"]["observables"].dims == ("chain", "draw", "observation")


def test_odd_data_are_flagged(posterior, data) -> None:
    usual = posterior.simulator.sample(500, seed=4)
    draws = posterior.sample({name: usual[name] for name in data}, draws=1, seed=1)
    # Exact in size: 1 % of typical observations, at most 2.6 % among 500 with probability 0.999.
    assert draws.out_of_distribution.mean() < 0.026
    odd = {**{name: value[0] for name, value in data.items()}, "counts": np.array([4000, 0, 0])}
    assert posterior.sample(odd, draws=5, seed=1).out_of_distribution


def test_repr_says_what_it_is(posterior) -> None:
    fresh = bi.AmortizedPosterior(bi.get_simulator("linear"))
    assert "AmortizedPosterior of 'linear', not trained" in repr(fresh)
    assert "Identity" in repr(fresh)
    assert not fresh.trained
    assert posterior.trained


def test_every_parameter_count_from_one(posterior) -> None:
    assert untrained(of_family("normal")).sample({"x": [0.1, 0.2, 0.3]}, draws=4, seed=1)[
        "a"
    ].shape == (3, 4)
    many = untrained(of_family("many")).sample({"x": [1.0, 2.0, 3.0]}, draws=4, seed=1)
    assert {name: value.shape[2:] for name, value in many.items()} == {
        "rate": (), "share": (3,), "slope": (2,), "start": (), "stop": ()
    }  # fmt: skip
    np.testing.assert_allclose(many["share"].sum(axis=-1), 1.0, rtol=1e-5)
    assert (many["stop"] > many["start"]).all()


def test_fractions_of_integers_are_impossible() -> None:
    density = untrained(of_family("poisson")).log_prob({"k": [2.0, 2.5, 3.0]}, {"x": 2.0})
    assert np.isfinite(density).tolist() == [True, False, True]


def test_integers_in_the_dozens_can_be_sampled_only() -> None:
    @bi.simulator(prior={"k": tfd.Poisson(4.0 * tf.ones(4))})
    def counts(parameters, seed):
        return {"x": tf.reduce_sum(parameters["k"], axis=1)}

    posterior = untrained(counts)
    draws = posterior.sample({"x": 16.0}, draws=10, seed=1)
    assert draws["k"].shape == (10, 4)
    with pytest.raises(ValueError, match=r"(?s)integers of many values.*at most 3"):
        posterior.log_prob(draws, {"x": 16.0})


def test_integers_stay_integers_and_keep_their_bounds() -> None:
    draws = untrained(of_family("bounds from an integer")).sample(
        {"x": [1.0, 2.0, 3.0]}, draws=500, seed=1
    )
    assert (draws["place"] <= draws["k"] + 1.0).all()
    draws = untrained(of_family("integer below an integer")).sample(
        {"x": [1.0, 2.0, 3.0]}, draws=500, seed=1
    )
    assert (draws["hits"] <= draws["trials"] + 1).all()
    assert (draws["hits"] == np.round(draws["hits"])).all()


def test_many_integers_are_inferred_without_a_density() -> None:
    @bi.simulator(prior={"counts": tfd.Sample(tfd.Poisson(3.0), 4)})
    def sums(parameters, seed):
        total = tf.reduce_sum(parameters["counts"], axis=1)
        return {"x": total + tf.random.stateless_normal(tf.shape(total), seed)}

    posterior = bi.AmortizedPosterior(sums, flow=bi.flows.coupling(blocks=2, hidden=(8,)))
    posterior.fit(steps=5, batch_size=16, seed=1, progress=False)
    tree = posterior.infer({"x": 12.0}, draws=20, seed=1)
    assert tree["posterior"]["counts"].shape == (1, 20, 4)
    assert list(tree["sample_stats"].data_vars) == ["out_of_distribution_p"]
    with pytest.raises(InputError, match=r"(?s)integers of many values.*at most 3"):
        posterior.log_prob(posterior.sample({"x": 12.0}, draws=2, seed=1), {"x": 12.0})
    diagnosis = bi.diagnose(posterior, observed={"x": 12.0}, simulations=50, draws=20, seed=1)
    assert diagnosis["posterior_sbc"] is None
    assert diagnosis["predictive"] is not None


def test_many_draws_are_made_and_judged_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    posterior = fit()
    data = {"y": np.array([0.5, 1.0])}
    monkeypatch.setattr(answers, "_ROWS_PER_CALL", 50)
    draws = posterior.sample(data, draws=120, seed=1)
    assert draws["x1"].shape == (2, 120)
    # No part repeats another.
    assert len(np.unique(draws["x1"])) == 240
    in_parts = posterior.log_prob(draws, data)
    monkeypatch.setattr(answers, "_ROWS_PER_CALL", 200_000)
    np.testing.assert_allclose(in_parts, posterior.log_prob(draws, data), atol=1e-5)
