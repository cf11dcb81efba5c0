"""Probabilities of models against exact ones: nested Gaussians, Poisson and negative binomial."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.special import logsumexp
from scipy.stats import gamma, nbinom, norm, poisson

import bayesinn as bi

tfd = tfp.distributions

SIZE = 5
SHAPE = 4.0
DISPERSION = 2.0


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)})
def some_mean(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    mean = parameters["mean"][:, None]
    return {"x": mean + tf.random.stateless_normal((tf.shape(mean)[0], SIZE), seed)}


@bi.simulator(prior={"unused": tfd.Normal(0.0, 1.0)})
def no_mean(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"x": tf.random.stateless_normal((tf.shape(parameters["unused"])[0], SIZE), seed)}


@bi.simulator(prior={"rate": tfd.Gamma(SHAPE, 1.0)})
def poisson_counts(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    rate = tf.repeat(parameters["rate"][:, None], SIZE, axis=1)
    return {"x": tf.random.stateless_poisson(tf.shape(rate), seed, rate)}


@bi.simulator(prior={"rate": tfd.Gamma(SHAPE, 1.0)})
def overdispersed_counts(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    rate = tf.repeat(parameters["rate"][:, None], SIZE, axis=1)
    scale = tf.random.stateless_gamma(tf.shape(rate), seed, DISPERSION) / DISPERSION
    return {"x": tf.random.stateless_poisson(tf.shape(rate), seed + 1, rate * scale)}


def gaussian_factor(x: np.ndarray) -> np.ndarray:
    """Return the log Bayes factor of some mean against none, of data (n, SIZE)."""
    mean = x.mean(axis=1)
    alone = norm(0.0, np.sqrt(1.0 / SIZE)).logpdf(mean)
    return norm(0.0, np.sqrt(1.0 + 1.0 / SIZE)).logpdf(mean) - alone


def count_factor(x: np.ndarray) -> np.ndarray:
    """Return the log Bayes factor of overdispersed counts (n, SIZE), by quadrature."""
    rates = np.linspace(0.02, 25.0, 600)[:, None, None]
    prior = gamma(SHAPE).logpdf(rates[:, :, 0])
    share = DISPERSION / (DISPERSION + rates)
    wide = nbinom(DISPERSION, share).logpmf(x).sum(axis=-1)
    return logsumexp(wide + prior, axis=0) - logsumexp(
        poisson(rates).logpmf(x).sum(axis=-1) + prior, axis=0
    )


CASES: dict[str, tuple[bi.Simulator, bi.Simulator, Callable[[np.ndarray], np.ndarray]]] = {
    "nested Gaussians": (no_mean, some_mean, gaussian_factor),
    "counts": (poisson_counts, overdispersed_counts, count_factor),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_bayes_factors_are_exact(name: str) -> None:
    first, second, exact = CASES[name]
    comparison = bi.ModelComparison([first, second], summary=bi.summaries.DeepSet(8, hidden=(32,)))
    comparison.fit(
        comparison.simulate(60_000, seed=1), steps=3_000, batch_size=256, seed=1, progress=False
    )
    data = comparison.simulate(4_000, seed=2, stream="test")
    factor = exact(data["x"])
    found = comparison.log_bayes_factors({"x": data["x"]})[second.name]
    within = np.abs(factor) < 5.0
    assert np.mean(np.abs(found - factor)[within]) < 0.3
    calibration = comparison.calibration(20_000, seed=3)
    assert calibration.error < 0.02
    # No probabilities score better than exact ones, those of the factor, in nats.
    truth = np.where(data["model"] == 1, factor, -factor)
    best = -np.mean(np.logaddexp(0.0, -truth))
    assert calibration.log_score == pytest.approx(best, abs=0.03)
