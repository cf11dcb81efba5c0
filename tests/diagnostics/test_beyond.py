"""P-values of errors within tolerance: never too small, at any number of simulations, and small where an error is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import special, stats

from bayesinn.diagnostics import band_p_values, beyond, local_c2st
from bayesinn.diagnostics.calibration import dependence
from bayesinn.diagnostics.deviation import Deviation
from bayesinn.testing import Conjugate
from tests.diagnostics.faults import case

REPETITIONS = 600
LEVEL = 0.02
POINTS = np.arange(1, 20) / 20.0


def mean(generator: np.random.Generator, size: int, factor: float) -> float:
    return beyond.of_mean(generator.normal(size=(size, 1)) + 0.07 * factor, 0.07)[0]


def spread(generator: np.random.Generator, size: int, factor: float) -> float:
    values = (1.0 + 0.05 * factor) * generator.normal(size=size)
    centred = values - values.mean()
    kurtosis = np.mean(centred**4) / np.mean(centred**2) ** 2
    error = max(np.sqrt(max(kurtosis - 1.0, 0.0) / size) / 2.0, 1.0 / np.sqrt(2.0 * (size - 1)))
    return beyond.of_spread(values.std(ddof=1, keepdims=True), np.array([error]), size, 0.95, 1.05)[
        0
    ]


def distribution(generator: np.random.Generator, size: int, factor: float) -> float:
    # The distribution function lies above the uniform one, by 5 points everywhere.
    values = np.maximum(generator.random(size) - 0.05 * factor, 0.0)
    return beyond.of_distribution(
        np.sum(values[:, None] < POINTS, axis=0)[None], POINTS, size, 5.0
    )[0]


def median(generator: np.random.Generator, size: int, factor: float) -> float:
    return beyond.of_median(generator.standard_cauchy(size) + 0.1 * factor, 0.1)[0]


def missing(generator: np.random.Generator, size: int, factor: float) -> float:
    # The log ratio of two normal densities: with a divergence of 0.1 nats, and a mean exponential
    # of one.
    divergence = 0.1 * factor
    values = divergence + np.sqrt(2.0 * divergence) * generator.normal(size=size)
    return beyond.of_missing_nats(values, 5.0, 0.1)[0]


MEASURES = [mean, spread, distribution, median, missing]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("size", [20, 200])
def test_errors_as_large_as_their_tolerance_are_rarely_beyond_it(
    measure: Callable[..., float], size: int
) -> None:
    generator = np.random.default_rng(1)
    rate = np.mean([measure(generator, size, 1.0) <= LEVEL for _ in range(REPETITIONS)])
    # Three standard errors.
    assert rate <= LEVEL + 3.0 * np.sqrt(LEVEL / REPETITIONS)


@pytest.mark.parametrize(
    ("measure", "factor"), zip(MEASURES, [3.0, 4.0, 3.0, 4.0, 4.0], strict=True)
)
def test_larger_errors_are_beyond_it(measure: Callable[..., float], factor: float) -> None:
    # Measured over seeds 1, 2, 3: below 1e-4.
    assert measure(np.random.default_rng(1), 2_000, factor) < 1e-3


def test_an_error_in_the_other_direction_is_one_too() -> None:
    generator = np.random.default_rng(1)
    assert mean(generator, 2_000, -4.0) < 1e-6
    assert spread(generator, 2_000, -4.0) < 1e-6
    assert median(generator, 2_000, -8.0) < 1e-6
    large = np.sum(np.minimum(generator.random(2_000) + 0.15, 1.0)[:, None] < POINTS, axis=0)
    assert beyond.of_distribution(large[None], POINTS, 2_000, 5.0)[0] < 1e-6


def test_missing_sharpness_is_never_negative() -> None:
    # Log ratios whose mean exponential is one: rarely far below zero.
    values = np.random.default_rng(1).normal(-1.0, 0.1, size=1_000)
    assert beyond.of_missing_nats(values, 5.0, 0.1)[0] == 1.0
    # A tolerance that nothing can exceed.
    assert beyond.of_missing_nats(np.full(1_000, 5.0), 5.0, 6.0)[0] == 1.0
    assert beyond.of_excess(values[:, None], 0.1)[0] == 1.0


def test_the_spread_of_normal_values_is_judged_by_chi_square() -> None:
    sd = np.array([1.5, 0.6])
    # A tiny error of the logarithm leaves all to the exact law.
    found = beyond.of_spread(sd, np.full(2, 1e-9), 10, 1.0, 1.0)
    np.testing.assert_allclose(found[0], 2.0 * stats.chi2.sf(9 * 1.5**2, 9))
    np.testing.assert_allclose(found[1], 2.0 * stats.chi2.cdf(9 * 0.6**2, 9))


def test_one_side_of_a_band() -> None:
    size = 200
    points = tuple(POINTS)
    few, many = (
        (size * np.clip(POINTS + move, 0.0, 1.0)).astype(int)[None] for move in (-0.1, 0.1)
    )
    both = band_p_values(many, points, size)
    above = band_p_values(many, points, size, 1)
    assert 0.4 * both < above < 0.6 * both
    assert band_p_values(many, points, size, -1) == 1.0
    assert band_p_values(few, points, size, 1) == 1.0


def test_correlations_need_the_ranks_of_products_too() -> None:
    given = case("wrong correlation", size=1_000)
    wrong = dependence(given.truth, given.draws, seed=1)
    assert wrong.deviations[0].p_values(0.1)[0] < 1e-6
    correct = case("none", size=20)
    found = dependence(correct.truth, correct.draws, seed=1)
    assert found.deviations[0].p_values(0.1)[0] >= found.p_value[0]


def test_deviations_of_a_users_own_are_judged_by_their_interval() -> None:
    ends = [np.array([value]) for value in (1.0, 0.6, 1.4)]
    own = Deviation("own", "", 0.5, ("a",), *ends, 10_000)
    # 1.96 standard errors are 0.4: the distance of 0.5 is 2.45 of them.
    assert own.p_values(0.5)[0] == pytest.approx(2.0 * special.ndtr(-2.45), rel=0.01)
    assert own.p_values(1.2)[0] == 1.0
    sure = Deviation("own", "", 0.5, ("a",), *3 * [np.array([1.0])], 10)
    assert sure.p_values(0.5)[0] == 0.0


def test_the_local_classifier_tries_on_where_no_trial_reaches_what_it_found() -> None:
    generator = np.random.default_rng(1)
    data, latent = generator.normal(size=(2, 200, 1))
    at = np.zeros((1, 1))
    options = {"seed": 1, "trials": 99}
    correct = local_c2st(latent, data, at, most_trials=300, **options)
    assert len(correct.null) == 99
    few = local_c2st(latent + 1.0, data, at, **options)
    many = local_c2st(latent + 1.0, data, at, most_trials=300, **options)
    assert few.family_p_value == pytest.approx(1.0 / 100.0)
    assert many.family_p_value == pytest.approx(1.0 / 301.0)
    np.testing.assert_array_equal(many.null[:99], few.null)
    assert many.deviations[0].p_values(5.0)[0] == many.p_value[0]


def test_missing_sharpness_of_an_exact_posterior_is_nothing_in_every_data_set() -> None:
    from bayesinn.diagnostics.likelihood import sharpness

    problem = Conjugate()
    theta, data = problem.simulate(20, seed=1)
    both = np.concatenate([theta[:, None], problem.sample(data, 30, seed=2)], axis=1)
    density = problem.log_prob(both, data)
    prior = problem.prior_log_prob(both)
    pairs = [(values[:, 0], values[:, 1:]) for values in (density - prior, prior, density)]
    found = sharpness(*pairs, parameters=2)
    np.testing.assert_allclose(found.at_least, 0.0, atol=1e-9)
    assert found.deviations[0].p_values(0.2)[0] == 1.0
