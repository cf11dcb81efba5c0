"""Many observations of the same parameters, from a posterior that was trained on one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import bayesinn as bi
from bayesinn.core.errors import BayesinnError
from bayesinn.likelihood import combine
from bayesinn.likelihood.combined import PosteriorScore

tfd = tfp.distributions
# Compiling the chains takes ten seconds.
pytestmark = pytest.mark.slow


@bi.simulator(prior={"mean": tfd.Normal(1.0, 2.0)}, name="weighed")
def weighed(parameters, seed):
    noise = tf.random.stateless_normal(tf.shape(parameters["mean"]), seed)
    return {"x": parameters["mean"] + noise}


@pytest.fixture(scope="module")
def single() -> bi.AmortizedPosterior:
    posterior = bi.AmortizedPosterior(weighed, flow=bi.flows.coupling(blocks=1, hidden=(8,)))
    return posterior.fit(steps=800, batch_size=256, seed=1, progress=False)


@pytest.fixture(scope="module")
def five(single):
    return combine(single, trials=5)


def test_draws_are_those_of_the_product_divided_by_the_prior(single, five) -> None:
    """On a grid, by the densities of the same network: its errors are not those of combining."""
    x = np.random.default_rng(1).normal([[-1.0], [2.5]], 1.0, (2, 5)).astype("f4")
    draws = five.sample({"x": x}, draws=4_000, seed=2)["mean"]
    grid = np.linspace(-5.0, 7.0, 2_001)
    for row, data in enumerate(x):
        each = single.log_prob({"mean": np.tile(grid, (5, 1))}, {"x": data})
        log_density = each.sum(axis=0) - 4.0 * stats.norm.logpdf(grid, 1.0, 2.0)
        weights = np.exp(log_density - log_density.max())
        distribution = np.cumsum(weights) / weights.sum()
        statistic = stats.kstest(draws[row], lambda v, d=distribution: np.interp(v, grid, d))
        # Of 8 correlated chains; a prior that counts five times gives more than 0.2.
        assert statistic.statistic < 0.06
        exact = stats.norm((data.sum() + 0.25) / 5.25, np.sqrt(1.0 / 5.25))
        assert abs(draws[row].mean() - exact.mean()) < 0.3 * exact.std()


def test_another_prior_takes_the_place_of_the_old_one(single) -> None:
    x = np.array([0.5, 1.5, 1.2], np.float32)
    sceptical = combine(single, {"x": x}, prior={"mean": tfd.Normal(0.0, 0.3)})
    draws = sceptical.sample(draws=2_000, seed=2)["mean"]
    precision = 1.0 / 0.09 + 3.0
    assert abs(draws.mean() - x.sum() / precision) < 0.3 / np.sqrt(precision)
    assert draws.std() == pytest.approx(1.0 / np.sqrt(precision), rel=0.1)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ([-4.0, -4.2, 5.0, 5.5, 4.8], "exclude each other"),
        ([31.0, 30.0, 30.5, 29.5, 30.0], "unlike the simulations"),
        ([0.3, 1.5, 2.2, 0.1, 1.0], ""),
        # Rare parameters: answers shrink towards the prior, which is no fault.
        ([4.3, 5.5, 6.2, 4.1, 5.0], ""),
    ],
)
def test_what_no_parameters_explain_is_warned_of(five, x, words: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        five.sample({"x": np.array(x, np.float32)}, draws=400, seed=3)
    texts = [str(one.message) for one in caught if "single observations" in str(one.message)]
    assert any(words in text for text in texts) if words else not texts


def test_it_is_diagnosed_and_a_prior_that_counts_five_times_is_caught(
    single, five, monkeypatch
) -> None:
    settings = {"simulations": 200, "draws": 100, "seed": 1, "progress": False}
    assert bi.diagnose(five, **settings).grade != "outside"

    def forgotten(self, vector, encoded):
        return self.evaluator.model.network.flow.log_prob(vector, encoded)

    monkeypatch.setattr(PosteriorScore, "term", forgotten)
    again = bi.AmortizedPosterior(weighed, flow=bi.flows.coupling(blocks=1, hidden=(8,)))
    again.fit(steps=800, batch_size=256, seed=1, progress=False)
    assert bi.diagnose(combine(again, trials=5), **settings).grade == "outside"


def test_what_can_not_be_combined_is_refused(single) -> None:
    drawn = bi.SampledPosterior(weighed, lambda data, draws, seed: {})
    with pytest.raises(BayesinnError, match="an AmortizedPosterior"):
        combine(drawn, trials=2)  # type: ignore[arg-type]
    matching = bi.AmortizedPosterior(weighed, flow=bi.flows.FlowMatching())
    matching.fit(steps=2, progress=False)
    with pytest.raises(BayesinnError, match=r"(?s)exact density.*'costly'"):
        combine(matching, trials=2)
    with pytest.raises(BayesinnError, match="one trial or more"):
        combine(single, {"x": np.zeros(0)})
