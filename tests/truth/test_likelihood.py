"""Posteriors of learned likelihoods and ratios against exact ones, of 1, 10 and 100 trials."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.stats import kstest, norm

import bayesinn as bi

tfd = tfp.distributions

SD = 1.0


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0), "other": tfd.Normal(0.0, 1.0)})
def two_means(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """A mean, and its sum with another, each measured with noise."""
    first = parameters["mean"]
    both = tf.stack([first, first + parameters["other"]], axis=-1)
    return {"x": both + SD * tf.random.stateless_normal(tf.shape(both), seed)}


def exact_posterior(x: np.ndarray, prior_sd: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return means and sds of the posterior of trials (n, 2)."""
    design = np.array([[1.0, 0.0], [1.0, 1.0]])
    precision = np.eye(2) / prior_sd**2 + len(x) * design.T @ design / SD**2
    mean = np.linalg.solve(precision, design.T @ x.sum(axis=0) / SD**2)
    return mean, np.sqrt(np.diag(np.linalg.inv(precision)))


@pytest.fixture(scope="module")
def trained() -> dict[str, bi.AmortizedLikelihood | bi.LikelihoodRatio]:
    options = {"batch_size": 256, "seed": 1, "progress": False}
    flow = bi.flows.autoregressive(blocks=2, hidden=(32,))
    classifier = bi.likelihood.RatioFlow(hidden=(64, 64))
    return {
        "likelihood": bi.AmortizedLikelihood(two_means, flow).fit(steps=2_000, **options),
        "ratio": bi.LikelihoodRatio(two_means, classifier=classifier).fit(steps=3_000, **options),
    }


def observed(trials: int) -> np.ndarray:
    noise = np.random.default_rng(trials).normal(size=(trials, 2))
    return np.array([0.4, -0.5]) + SD * noise


@pytest.mark.slow
@pytest.mark.parametrize("trials", [1, 10, 100])
def test_posterior_of_trials(trials: int, trained) -> None:
    x = observed(trials)
    posterior = trained["likelihood"].posterior({"x": x})
    tree = posterior.infer(draws=8_000, seed=3, predictive=False)
    mean, sd = exact_posterior(x)
    for index, name in enumerate(("mean", "other")):
        draws = tree["posterior"][name].values.ravel()
        assert kstest(draws, norm(mean[index], sd[index]).cdf).statistic < 0.06
        statistics = tree["convergence"][name]
        assert float(statistics.sel(statistic="r_hat")) < 1.01
        assert float(statistics.sel(statistic="ess_bulk")) > 1_000


@pytest.mark.slow
def test_posterior_with_another_prior(trained) -> None:
    x = observed(10)
    narrow = {"mean": tfd.Normal(0.0, 0.2), "other": tfd.Normal(0.0, 0.2)}
    draws = trained["likelihood"].posterior({"x": x}, prior=narrow).sample(draws=4_000, seed=3)
    mean, sd = exact_posterior(x, 0.2)
    assert kstest(draws["mean"], norm(mean[0], sd[0]).cdf).statistic < 0.06


@pytest.mark.slow
def test_posterior_of_ratios(trained) -> None:
    x = observed(10)
    draws = trained["ratio"].posterior({"x": x}).sample(draws=4_000, seed=3)
    mean, sd = exact_posterior(x)
    assert kstest(draws["mean"], norm(mean[0], sd[0]).cdf).statistic < 0.12


@pytest.mark.slow
def test_posterior_is_diagnosed(trained) -> None:
    posterior = trained["likelihood"].posterior(trials=3)
    diagnosis = bi.diagnose(posterior, simulations=40, draws=50, seed=1, progress=False)
    assert diagnosis.grade != "outside"
    assert diagnosis["joint_coverage"] is None
