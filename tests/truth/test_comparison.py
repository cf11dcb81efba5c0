"""Probabilities of models against exact ones.

Nested Gaussians; Poisson and negative binomial; an epidemic reported at once, and with a delay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.special import logsumexp
from scipy.stats import gamma, nbinom, norm, poisson

import bayesinn as bi
from bayesinn.simulators.sir import PRIOR, draw_cases, expected_cases

tfd = tfp.distributions

SIZE = 5
SHAPE = 4.0
DISPERSION = 2.0
PSI = 5.0
# Over which the evidence of an epidemic is averaged.
PRIOR_DRAWS = 50_000


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


def mean_cases(parameters: dict[str, tf.Tensor]) -> tf.Tensor:
    like = tf.ones_like(parameters["lambda"])
    return expected_cases({"mu": like / 8.0, "delay": 0.0 * like, **parameters})


EPIDEMIC = {name: PRIOR[name] for name in ("lambda", "I0")}


@bi.simulator(prior=EPIDEMIC)
def at_once(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    psi = PSI * tf.ones_like(parameters["lambda"])
    return {"cases": draw_cases(mean_cases(parameters), psi, seed)}


@bi.simulator(prior={**EPIDEMIC, "delay": PRIOR["delay"]})
def delayed(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    psi = PSI * tf.ones_like(parameters["lambda"])
    return {"cases": draw_cases(mean_cases(parameters), psi, seed)}


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


def delay_factor(cases: np.ndarray) -> np.ndarray:
    """Return the log Bayes factor of a delay, of counts (n, 14), by likelihoods of prior draws."""
    evidence = []
    for simulator in (at_once, delayed):
        draws = simulator.prior.sample(PRIOR_DRAWS, tf.constant([3, 4]))
        mean = mean_cases(draws).numpy().astype(float)
        # What depends on the counts alone is the same in both.
        slope = np.log(mean / (PSI + mean))
        known = PSI * np.log(PSI / (PSI + mean)).sum(axis=1, keepdims=True)
        evidence.append(logsumexp(known + slope @ cases.T, axis=0))
    return evidence[1] - evidence[0]


class Case(NamedTuple):
    """Two models, their summary, and the exact log Bayes factor of the second for data (n, ...)."""

    first: bi.Simulator
    second: bi.Simulator
    summary: bi.Summary
    factor: Callable[[np.ndarray], np.ndarray]
    observed: int = 4_000


SETS = bi.summaries.DeepSet(8, hidden=(32,))
SERIES = bi.summaries.ConvLSTM(32, positions=8)
CASES = {
    "nested Gaussians": Case(no_mean, some_mean, SETS, gaussian_factor),
    "counts": Case(poisson_counts, overdispersed_counts, SETS, count_factor),
    "delay": Case(at_once, delayed, SERIES, delay_factor, observed=500),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_bayes_factors_are_exact(name: str) -> None:
    case = CASES[name]
    comparison = bi.ModelComparison([case.first, case.second], summary=case.summary)
    # Accuracy is limited by the simulations: with 60,000, the factor of the delay errs by 0.31.
    comparison.fit(
        comparison.simulate(200_000, seed=1), steps=3_000, batch_size=256, seed=1, progress=False
    )
    data = comparison.simulate(case.observed, seed=2, stream="test")
    model = data.pop("model")
    factor = case.factor(*data.values())
    found = comparison.log_bayes_factors(data)[case.second.name]
    within = np.abs(factor) < 5.0
    assert np.mean(np.abs(found - factor)[within]) < 0.3
    assert comparison.calibration(20_000, seed=3).error < 0.02
    # No probabilities score better than exact ones, those of the factor, in nats.
    sign = np.where(model == 1, 1.0, -1.0)
    lost = np.logaddexp(0.0, -sign * found) - np.logaddexp(0.0, -sign * factor)
    assert -0.02 < np.mean(lost) < 0.03
