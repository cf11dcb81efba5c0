"""The simultaneous band has exactly its nominal coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayesinn.core.errors import InputError
from bayesinn.diagnostics import band_p_values, simultaneous_band
from bayesinn.diagnostics.bands import _inside_probability


def points(draws: int) -> tuple[float, ...]:
    return tuple(np.arange(1, draws + 1) / (draws + 1))


def uniform_counts(draws: int, size: int, repetitions: int, seed: int) -> np.ndarray:
    """Counts below 1, ..., draws of uniform ranks: (repetitions, draws)."""
    cells = np.random.default_rng(seed).multinomial(
        size, np.full(draws + 1, 1 / (draws + 1)), size=repetitions
    )
    return np.cumsum(cells, axis=1)[:, :-1]


def test_one_point_is_the_binomial_test() -> None:
    counts = np.arange(101)
    found = band_p_values(counts[:, None], (0.5,), 100)
    # At 1/2 the two tails are equal, and counts at equal distance weigh the same.
    assert found == pytest.approx(
        [stats.binomtest(int(count), 100).pvalue for count in counts], rel=1e-9
    )


def test_two_points_agree_with_enumeration() -> None:
    size = 20
    gamma = 0.1
    first, second = np.meshgrid(np.arange(size + 1), np.arange(size + 1), indexing="ij")
    weight = stats.multinomial.pmf(
        np.stack([first, second - first, size - second], -1), size, [0.3, 0.4, 0.3]
    )
    inside = np.ones_like(weight, dtype=bool)
    for count, probability in ((first, 0.3), (second, 0.7)):
        low = stats.binom.cdf(count, size, probability)
        high = stats.binom.sf(count - 1, size, probability)
        inside &= 2 * np.minimum(low, high) > gamma
    expected = np.sum(weight[inside & (second >= first)])
    assert _inside_probability((0.3, 0.7), size, gamma) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("draws", "size"), [(250, 1000), (19, 100), (100, 37)])
def test_uniform_ranks_leave_the_band_as_often_as_the_level_says(draws: int, size: int) -> None:
    for level in (0.9, 0.99):
        band = simultaneous_band(points(draws), size, level)
        counts = uniform_counts(draws, size, 20_000, seed=draws)
        outside = int(np.sum(~band.contains(counts)))
        # Exact up to the jumps of discrete counts: 0.0097 to 0.0100 and 0.0966 to 0.1000 for these
        # cases. Measured by 20,000 repetitions over three seeds: 0.0092 to 0.0109 and 0.0954 to
        # 0.1027. The interval covers 99.9 %.
        low, high = stats.binom.interval(0.999, len(counts), (1 - level) * np.array([0.9, 1.0]))
        assert low[0] <= outside <= high[1]


def test_p_values_are_uniform_and_agree_with_the_band() -> None:
    counts = uniform_counts(100, 500, 1000, seed=1)
    found = band_p_values(counts, points(100), 500)
    # Kolmogorov-Smirnov at 1e-3; measured 0.35 to 0.63 over seeds 0-2.
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    for level in (0.5, 0.9, 0.99):
        inside = simultaneous_band(points(100), 500, level).contains(counts)
        assert np.array_equal(inside, found > 1 - level)


@pytest.mark.parametrize("side", [-1, 1])
def test_one_side_agrees_with_simulations(side: int) -> None:
    points = (0.05, 0.1, 0.3)
    counts = np.stack(
        [
            np.sum(uniform <= np.array(points)[:, None], axis=1)
            for uniform in np.random.default_rng(1).random((20_000, 25))
        ]
    )
    outside = np.ones(len(counts), bool)
    for column, point in enumerate(points):
        low, high = (
            2.0 * stats.binom.cdf(counts[:, column], 25, point),
            2.0 * stats.binom.sf(counts[:, column] - 1, 25, point),
        )
        outside &= (high if side > 0 else low) > 0.1
    # Three standard errors of the share.
    assert _inside_probability(points, 25, 0.1, side) == pytest.approx(outside.mean(), abs=7e-3)


def test_far_from_uniform_gives_a_tiny_p_value() -> None:
    found = band_p_values(np.zeros((1, 100), dtype=int), points(100), 500)
    assert 0.0 <= found[0] < 1e-12


@pytest.mark.parametrize("wrong", [(), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0)])
def test_wrong_points_are_refused(wrong: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="points of the ECDF"):
        simultaneous_band(wrong, 100, 0.99)


def test_wrong_level_is_refused() -> None:
    with pytest.raises(InputError, match=r"(?s)level.*above 0, below 1.*99\.0"):
        simultaneous_band((0.5,), 100, 99.0)
