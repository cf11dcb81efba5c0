"""Weights, resampling and convergence by contract: unbiased, and laws that are known."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.core.weights import Weights
from bayesinn.reference import importance
from bayesinn.reference.nuts import Convergence
from bayesinn.reference.smc import next_temperature, relative_variance, systematic

tfd = tfp.distributions


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9])
def test_k_hat_is_the_shape_of_the_tail(shape: float) -> None:
    # Ratios exp(shape x) of exponential x are of a Pareto distribution of this shape.
    log_ratios = shape * np.random.default_rng(1).exponential(size=20_000)
    weights = Weights.smooth(log_ratios)
    assert weights.k_hat == pytest.approx(shape, abs=0.15)
    assert weights.weights.sum() == pytest.approx(1.0)
    if shape < 0.4:
        error = weights.log_evidence_error
        assert abs(weights.log_evidence + math.log1p(-shape)) < 4.0 * error < 0.05


@pytest.mark.parametrize(
    ("count", "k_hat", "trusted"),
    [
        (100, 0.45, True),
        (100, 0.55, False),
        (1_000, 0.65, True),
        (1_000, 0.68, False),
        (4_000, 0.69, True),
        (1_000_000, 0.71, False),
    ],
)
def test_fewer_draws_are_trusted_less(count: int, k_hat: float, trusted: bool) -> None:
    """The limit is 1 - 1 / log10(n), and at most 0.7."""
    weights = Weights(np.full(count, 1.0 / count), k_hat, 0.0, 0.0)
    assert weights.trustworthy == trusted


def test_one_draw_with_most_of_the_weight_is_not_reliable() -> None:
    """A draw in a mode that all others miss, whose weight smoothing cuts."""
    log_ratios = 0.1 * np.random.default_rng(1).normal(size=5_000)
    log_ratios[0] = 8.5
    weights = Weights.smooth(log_ratios)
    assert weights.trustworthy
    assert weights.effective_size > 1_000
    assert not weights.reliable


@pytest.mark.parametrize("count", [None, 3, 50])
def test_resampling_is_unbiased(count: int | None) -> None:
    weights = np.array([0.02, 0.3, 0.08, 0.6])
    n = len(weights) if count is None else count
    offsets = (np.arange(2_000) + 0.5) / 2_000
    chosen = [np.bincount(systematic(weights, u, count), minlength=4) for u in offsets]
    np.testing.assert_allclose(np.mean(chosen, axis=0), n * weights, atol=2e-3 * n)
    # Rounded up or down, no more.
    assert np.abs(np.array(chosen) - n * weights).max() < 1.0


def test_temperatures_keep_an_effective_size_and_the_evidence() -> None:
    values = np.random.default_rng(1).normal(-50.0, 30.0, size=4_000)
    temperature, log_evidence = 0.0, 0.0
    while temperature < 1.0:
        before = temperature
        temperature, weights, log_mean = next_temperature(values, temperature, 0.5)
        assert temperature > before
        assert 1.0 / np.sum(weights**2) >= 0.5 * len(values) - 1.0
        step = temperature - before
        assert log_mean == pytest.approx(np.log(np.mean(np.exp(step * values))))
        # As if particles moved to independent draws of the tempered law.
        values = values + 900.0 * step
        log_evidence += log_mean
    # Of a normal log likelihood: the mean, and half the variance.
    assert log_evidence == pytest.approx(-50.0 + 450.0, abs=6.0)


def test_an_evidence_is_as_uncertain_as_its_ancestors_are_few() -> None:
    generator = np.random.default_rng(1)
    n, errors, claimed = 500, [], []
    for _ in range(300):
        total, roots = 0.0, np.arange(n)
        for _ in range(4):
            # Independent draws of each stage's law, whose log weights are normal.
            log_weights = generator.normal(-0.32, 0.8, size=n)
            weights = np.exp(log_weights)
            total += np.log(weights.mean())
            rows = systematic(weights / weights.sum(), generator.uniform())
            roots = roots[generator.permutation(rows)]
        errors.append(total)
        claimed.append(relative_variance(roots))
    assert np.sqrt(np.mean(claimed)) == pytest.approx(np.std(errors), rel=0.25)


def measured(draws: np.ndarray) -> Convergence:
    return Convergence.measure({"a": draws}, np.zeros(draws.shape[:3], bool))


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_effective_sizes_of_autoregressive_chains(correlation: float) -> None:
    generator = np.random.default_rng(2)
    draws = generator.normal(size=(1, 4, 3_000))
    for step in range(1, 3_000):
        draws[..., step] *= np.sqrt(1.0 - correlation**2)
        draws[..., step] += correlation * draws[..., step - 1]
    r_hat, size = measured(draws).extreme()
    assert r_hat < 1.01
    assert size == pytest.approx(12_000 * (1.0 - correlation) / (1.0 + correlation), rel=0.15)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("value", ["still", "nan"])
def test_chains_without_a_number_never_pass(place: int, value: str) -> None:
    """Wherever they stand: of one data set, one element, or one parameter of several."""
    draws = np.random.default_rng(1).normal(size=(3, 4, 250))
    bad = draws.copy()
    bad[place] = np.nan if value == "nan" else np.arange(4.0)[:, None]
    diverged = np.zeros((3, 4, 250), bool)
    names = ["a", "b", "c"]
    found = Convergence.measure(
        {name: bad if number == place else draws for number, name in enumerate(names)}, diverged
    )
    r_hat, size = found.extreme()
    assert not r_hat <= 1.02
    assert not size >= 100.0
    with pytest.warns(UserWarning, match=rf"R-hat of {names[place]} (nan|inf|\d)"):
        found.warn("'model'")


@pytest.mark.parametrize("policy", ["redraw", "raise"])
def test_undefined_likelihoods_follow_the_policy_of_failures(policy: str) -> None:
    def log_likelihood(parameters: dict[str, np.ndarray], data: dict[str, np.ndarray]) -> object:
        return np.where(parameters["a"] < 0.25, np.nan, 0.0)

    @bi.simulator(
        prior={"a": tfd.Uniform(0.0, 1.0)}, log_likelihood=log_likelihood, on_nonfinite=policy
    )
    def model(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": parameters["a"]}

    if policy == "raise":
        with pytest.raises(InputError, match=r"(?s)-inf where the data are impossible.*NaN"):
            importance(model, {"y": 0.5}, draws=1_000, seed=1)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = importance(model, {"y": 0.5}, draws=20_000, seed=1)
    assert found.log_evidence == pytest.approx(math.log(0.75), abs=0.02)
    assert found.draws(1_000, seed=1)["a"].min() >= 0.25
