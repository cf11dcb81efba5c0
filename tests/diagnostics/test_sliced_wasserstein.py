"""The sliced Wasserstein distance of a shift is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.two_samples import same_law_distance, sliced_wasserstein


@pytest.mark.parametrize("columns", [1, 2, 3, 10])
def test_a_shift_gives_its_mean_projection(columns: int) -> None:
    points = np.random.default_rng(1).normal(size=(50, columns))
    shift = np.random.default_rng(2).normal(size=columns)
    # E abs(<u, v>) over the unit sphere. With 2000 directions, measured over three seeds: within
    # 2.0 %.
    mean = (
        special.gamma(columns / 2)
        / (np.sqrt(np.pi) * special.gamma((columns + 1) / 2))
        * np.linalg.norm(shift)
    )
    assert sliced_wasserstein(points, points + shift, seed=1, projections=2000) == pytest.approx(
        mean, rel=0.06
    )


def test_a_wider_normal_gives_the_difference_of_widths() -> None:
    first, second = np.random.default_rng(1).normal(size=(2, 4000, 2))
    # In every direction: abs(1.5 - 1) E abs(z). Measured over three seeds: within 0.02.
    assert sliced_wasserstein(first, 1.5 * second, seed=1) == pytest.approx(
        0.5 * np.sqrt(2 / np.pi), abs=0.05
    )


def test_equal_points_have_distance_zero_in_any_order_and_number() -> None:
    points = np.random.default_rng(1).normal(size=(40, 3))
    twice = np.concatenate([points[::-1], points])
    assert sliced_wasserstein(points, twice, seed=1) == pytest.approx(0.0, abs=1e-12)


def test_a_wrong_correlation_is_seen() -> None:
    first, second = np.random.default_rng(1).normal(size=(2, 1000, 2))
    second[:, 1] = 0.9 * second[:, 0] + np.sqrt(1 - 0.9**2) * second[:, 1]
    assert sliced_wasserstein(first, second, seed=1) > 3.0 * same_law_distance(first, 1000, seed=1)


@pytest.mark.parametrize("size", [200, 1000])
def test_the_distance_to_expect_of_one_law_is_met(size: int) -> None:
    ratios = []
    for seed in range(10):
        first, reference = np.random.default_rng(seed).normal(size=(2, 1000, 2))
        expected = same_law_distance(reference, size, seed=seed)
        ratios.append(
            sliced_wasserstein(first[:size], reference, seed=seed, projections=50) / expected
        )
    # Measured: means of ten pairs between 0.92 and 1.14.
    assert 0.75 < np.mean(ratios) < 1.35


def test_too_few_reference_points_give_no_expectation() -> None:
    assert np.isnan(same_law_distance(np.zeros((3, 1)), 10, seed=1))


def test_wrong_inputs_are_refused() -> None:
    with pytest.raises(InputError, match=r"(?s)^second\n.*shape \(n, 2\).*shape \(5, 1\)"):
        sliced_wasserstein(np.zeros((5, 2)), np.zeros((5, 1)), seed=1)
    with pytest.raises(InputError, match=r"(?s)projections.*from 1 to 100,000.*0"):
        sliced_wasserstein(np.zeros((5, 2)), np.zeros((5, 2)), seed=1, projections=0)
