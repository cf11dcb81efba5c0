"""Where failed simulations are drawn again, the prior is that of parameters that succeed."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

tfd = tfp.distributions


def log_likelihood(parameters, data):
    mean = tf.sqrt(tf.where(parameters["a"] < 0.5, np.nan, parameters["a"]))
    return tfd.Normal(mean, 0.1).log_prob(data["y"])


@bi.simulator(
    prior={"a": tfd.Uniform(0.0, 1.0)}, on_nonfinite="redraw", log_likelihood=log_likelihood
)
def upper_half(parameters, seed):
    mean = tf.sqrt(tf.where(parameters["a"] < 0.5, np.nan, parameters["a"]))
    return {"y": mean + 0.1 * tf.random.stateless_normal(tf.shape(mean), seed)}


def posterior_between(low: float, log_prob: bool = False) -> bi.SampledPosterior:
    """Draws between ``low`` and 1, whatever the data."""

    def sample(data, draws, seed):
        generator = np.random.default_rng(seed)
        return {"a": generator.uniform(low, 1.0, (len(data["y"]), draws)).astype(np.float32)}

    def density(parameters, data):
        return np.where(parameters["a"] >= low, -np.log(1.0 - low), -np.inf)

    return bi.SampledPosterior(upper_half, sample, density if log_prob else None)


@pytest.fixture(scope="module")
def of_cut_prior() -> bi.Diagnosis:
    posterior = posterior_between(0.5, log_prob=True)
    return bi.diagnose(posterior, simulations=1_000, draws=50, seed=1, progress=False)


def test_a_posterior_equal_to_the_cut_prior_knows_nothing(of_cut_prior: bi.Diagnosis) -> None:
    assert of_cut_prior.unlearnt == ("a",)
    assert of_cut_prior["information"].mean[0] == pytest.approx(0.0, abs=0.03)
    assert np.mean(of_cut_prior["recovery"].contraction) == pytest.approx(0.0, abs=0.05)


def test_densities_of_the_prior_are_those_of_what_is_left(of_cut_prior: bi.Diagnosis) -> None:
    of_truth, _ = of_cut_prior.evidence.prior_log_prob
    # A half is left, up to the chance of 1,000 simulations.
    np.testing.assert_allclose(of_truth, np.log(2.0), atol=0.1)


def test_draws_that_can_not_be_count_against_a_posterior() -> None:
    """Their likelihood is NaN: the check was left out."""
    found = bi.diagnose(posterior_between(0.4), simulations=300, draws=50, seed=1, progress=False)
    assert found["fit_to_data"] is not None
    of_truth, of_draws = found.evidence.log_likelihood
    assert np.isfinite(of_truth).all()
    assert np.isneginf(of_draws).any()
    assert not np.isnan(of_draws).any()
