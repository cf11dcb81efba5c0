"""Coverage of central intervals: exact for exact posteriors, off for broken ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayesinn.core.errors import InputError
from bayesinn.diagnostics import NOMINAL, coverage, joint_coverage
from tests.diagnostics.conjugate import count, normal


def test_nominal_levels() -> None:
    assert len(NOMINAL) == 20
    assert NOMINAL[0] == 0.05
    assert NOMINAL[-2:] == (0.95, 0.99)


def test_exact_posteriors_fail_as_rarely_as_the_level_says() -> None:
    repetitions = 300
    level = 0.95
    failures = 0
    for seed in range(repetitions):
        truth, draws, _ = normal(size=200, draws=50, seed=seed)
        failures += not coverage(truth, draws, seed=seed, level=level).passed
    low, high = stats.binom.interval(0.999, repetitions, 1 - level)
    assert low <= failures <= high


@pytest.mark.parametrize("draws", [2, 7, 200])
def test_few_draws_do_not_bias_coverage(draws: int) -> None:
    truth, posterior, _ = normal(size=20_000, draws=draws)
    # Standard error at most 0.0035; largest error measured over seeds 0-2: 0.0067.
    assert coverage(truth, posterior, seed=1).empirical[:, 0] == pytest.approx(NOMINAL, abs=0.012)


@pytest.mark.parametrize("width", [0.75, 1.3])
def test_coverage_of_a_wrong_width_is_the_normal_one(width: float) -> None:
    truth, draws, _ = normal(size=20_000, width=width)
    result = coverage(truth, draws, seed=1)
    expected = 2 * stats.norm.cdf(width * stats.norm.isf(0.5 - 0.5 * np.array(NOMINAL))) - 1
    # Standard error at most 0.0035; 200 draws add a little. Measured up to 0.0088; 0.0032 for the
    # error.
    assert result.empirical[:, 0] == pytest.approx(expected, abs=0.015)
    assert result.calibration_error[0] == pytest.approx(
        np.mean(np.abs(expected - NOMINAL)), abs=0.01
    )
    assert not result.passed


@pytest.mark.parametrize("broken", [{"width": 1.3}, {"width": 0.75}, {"shift": 1.0}])
def test_broken_posteriors_fail(broken: dict[str, float]) -> None:
    # Power at 500 data sets, level 0.99, over 300 repetitions: 1.00 for widths. Central intervals
    # hardly see a small shift (0.3 standard deviations: 0.06), which SBC is for.
    for seed in range(3):
        truth, draws, _ = normal(seed=seed, **broken)
        assert not coverage(truth, draws, seed=seed).passed


@pytest.mark.parametrize("width", [0.7, 1.4])
def test_joint_regions_hold_too_little_if_narrow_and_too_much_if_wide(width: float) -> None:
    truth, draws, _ = normal(size=5_000, draws=100, width=width)
    centre = draws["mean"].mean(axis=1)
    log_prob = [
        -((values["mean"] - mean) ** 2)
        for values, mean in ((truth, centre), (draws, centre[:, None]))
    ]
    result = joint_coverage(*log_prob, seed=1, nominal=(0.2, 0.5, 0.8))
    # A region of highest density is the central interval here. Standard error 0.007.
    expected = 2 * stats.norm.cdf(width * stats.norm.isf(0.5 - 0.5 * result.nominal)) - 1
    assert result.empirical[:, 0] == pytest.approx(expected, abs=0.03)
    assert np.all((result.empirical[:, 0] > result.nominal) == (width > 1))


def test_discrete_parameters_are_covered_exactly() -> None:
    truth, draws = count(size=20_000, draws=50)
    # Intervals of whole numbers would cover far more than nominal. Measured error up to 0.0053.
    assert coverage(truth, draws, seed=1).empirical[:, 0] == pytest.approx(NOMINAL, abs=0.012)


def test_binomial_band_of_each_level() -> None:
    truth, draws, _ = normal(size=400)
    result = coverage(truth, draws, seed=1, nominal=(0.5, 0.9), level=0.95)
    # 95 % of binomial counts of 400 at 1/2 lie within 200 +- 20, at 0.9 within 360 +- 12.
    assert result.lower * 400 == pytest.approx([180, 348], abs=1)
    assert result.upper * 400 == pytest.approx([220, 371], abs=1)


@pytest.mark.parametrize("level", [0.8, 0.99])
def test_the_binomial_band_has_the_level(level: float) -> None:
    truth, draws, _ = normal(size=400)
    result = coverage(truth, draws, seed=1, nominal=(0.5, 0.9), level=level)
    expected = stats.binom.interval(level, 400, [0.5, 0.9])
    np.testing.assert_allclose(400 * np.array([result.lower, result.upper]), expected)


def test_vector_parameters_and_table() -> None:
    truth, draws, _ = normal(event=(2,))
    draws["mean"][..., 1] *= 2.0
    result = coverage(truth, draws, seed=1)
    assert result.inside.tolist() == [True, False]
    table = result.to_dataframe()
    assert list(table.columns) == [
        "calibration_error",
        "coverage_50",
        "coverage_90",
        "coverage_95",
        "p_value",
        "inside",
    ]
    assert "Coverage FAILED" in repr(result)


def test_levels_must_increase() -> None:
    truth, draws, _ = normal(size=20, draws=10)
    with pytest.raises(InputError, match="increasing numbers"):
        coverage(truth, draws, seed=1, nominal=(0.9, 0.5))
