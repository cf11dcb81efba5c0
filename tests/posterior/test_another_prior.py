"""Another prior: against exact posteriors, warned of where too far; sensitivity to the prior."""

from __future__ import annotations

import arviz_stats
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import bayesinn as bi
from bayesinn.core.errors import BayesinnError

tfd = tfp.distributions


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0), "size": tfd.Uniform(1.0, 3.0)}, name="measured")
def measured(parameters, seed):
    noise = tf.random.stateless_normal(tf.shape(parameters["mean"]), seed)
    return {"x": parameters["mean"] + noise}


def sample(data, draws, seed):
    generator = np.random.default_rng(seed)
    shape = (len(data["x"]), draws)
    return {
        "mean": data["x"][:, None] / 2.0 + generator.normal(0.0, np.sqrt(0.5), shape),
        "size": generator.uniform(1.0, 3.0, shape),
    }


def log_prob(parameters, data):
    mean = stats.norm.logpdf(parameters["mean"], data["x"][:, None] / 2.0, np.sqrt(0.5))
    return mean - np.log(2.0)


@pytest.fixture(scope="module")
def exact() -> bi.SampledPosterior:
    return bi.SampledPosterior(measured, sample, log_prob)


def test_draws_and_densities_are_those_of_the_exact_posterior(exact) -> None:
    """Precisions add up: 1 / 0.25 of the new prior, 1 of the datum."""
    other = exact.with_prior({"mean": tfd.Normal(0.5, 0.5)})
    x = np.array([-0.5, 0.3, 1.5], np.float32)
    draws = other.sample({"x": x}, draws=4_000, seed=1)
    for row, datum in enumerate(x):
        law = stats.norm((2.0 + datum) / 5.0, np.sqrt(0.2))
        assert stats.kstest(draws["mean"][row], law.cdf).statistic < 0.035
        # The other parameter keeps its law.
        assert stats.kstest(draws["size"][row], stats.uniform(1, 2).cdf).statistic < 0.035
        points = {"mean": np.linspace(-1.0, 2.0, 9)[None], "size": np.full((1, 9), 2.0)}
        density = other.log_prob(points, {"x": x[row : row + 1]})[0]
        np.testing.assert_allclose(density, law.logpdf(points["mean"][0]) - np.log(2.0), atol=0.08)


def test_it_is_diagnosed_like_any_other_and_one_with_the_old_prior_fails(exact) -> None:
    other = exact.with_prior({"mean": tfd.Normal(0.5, 0.5)})
    found = bi.diagnose(other, simulations=300, draws=100, seed=1, progress=False)
    assert found.grade != "outside"
    forgotten = bi.SampledPosterior(other.simulator, sample, log_prob)
    broken = bi.diagnose(forgotten, simulations=300, draws=100, seed=1, progress=False)
    assert broken.grade == "outside"


def test_it_can_be_refined_with_the_likelihood(exact) -> None:
    """Of a posterior that is too wide: refined, it is the exact one of the new prior."""
    simulator = bi.simulator(
        prior={"mean": tfd.Normal(0.0, 1.0)},
        log_likelihood=lambda parameters, data: -0.5 * (data["x"] - parameters["mean"]) ** 2,
        name="likely",
    )(lambda parameters, seed: {"x": measured.function({**parameters, "size": 1.0}, seed)["x"]})

    def wide(data, draws, seed):
        noise = np.random.default_rng(seed).normal(size=(len(data["x"]), draws))
        return {"mean": data["x"][:, None] / 2.0 + noise}

    def density(parameters, data):
        return stats.norm.logpdf(parameters["mean"], data["x"][:, None] / 2.0, 1.0)

    other = bi.SampledPosterior(simulator, wide, density).with_prior({"mean": tfd.Normal(0.5, 0.5)})
    refined = bi.refine(other, {"x": 1.0}, draws=2_000, seed=1, progress=False)
    draws = refined["posterior"]["mean"].values.ravel()
    assert stats.kstest(draws, stats.norm(0.6, np.sqrt(0.2)).cdf).statistic < 0.05


def test_a_prior_that_is_too_far_is_warned_of(exact) -> None:
    other = exact.with_prior({"mean": tfd.Normal(4.0, 0.2)})
    with pytest.warns(UserWarning, match="k-hat"):
        other.sample({"x": 0.0}, draws=200, seed=1)


def test_arviz_measures_how_sensitive_answers_are_to_prior_and_likelihood(exact) -> None:
    """The tree has what ArviZ scales by a power; the terms are those of Bayes' theorem."""
    tree = exact.infer({"x": 0.5}, draws=4_000, seed=1, predictive=False)
    mean = tree["posterior"]["mean"].values
    np.testing.assert_allclose(tree["log_prior"]["mean"], stats.norm.logpdf(mean), atol=1e-5)
    constant = tree["log_likelihood"]["observables"].values - stats.norm.logpdf(0.5, mean)
    assert np.ptp(constant) < 1e-4
    far = exact.infer({"x": 4.0}, draws=4_000, seed=1, predictive=False)
    usual, conflict = (arviz_stats.psense_summary(one) for one in (tree, far))
    # The prior shifts the answer by 0.25 in one case, by two in the other.
    assert conflict.loc["mean", "prior"] > 3.0 * usual.loc["mean", "prior"]
    assert conflict.loc["mean", "diagnosis"] == "potential prior-data conflict"
    assert conflict.loc["size", ["prior", "likelihood"]].max() < 0.05


def test_same_seed_same_bits(exact) -> None:
    other = exact.with_prior({"mean": tfd.Normal(0.5, 0.5)})
    first, again = (other.sample({"x": 0.4}, draws=50, seed=3)["mean"] for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    ("prior", "words"),
    [
        ({"size": tfd.Uniform(1.0, 5.0)}, "of its mass outside"),
        ({"meen": tfd.Normal(0.0, 1.0)}, "did you mean 'mean'"),
        ({"mean": tfd.Normal([0.0, 0.0], 1.0)}, "old shape"),
        ({}, "others keep theirs"),
    ],
)
def test_what_can_not_be_is_refused(exact, prior, words: str) -> None:
    with pytest.raises(BayesinnError, match=f"(?s){words}"):
        exact.with_prior(prior)
