"""MMD is unbiased, has its closed form, and its test rejects as often as it says."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import distance

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.two_samples import LADDER, kernel_matrix, ladder, mmd
from tests.helpers.mmd import squared_mmd


def normals(*, size: int = 200, columns: int = 2, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.random.default_rng(seed).normal(size=(2, size, columns))
    return first, second


def closed_form(shift: float, columns: int, bandwidth: float) -> float:
    """MMD^2 of N(0, I) and N(mu, I) with norm(mu) = shift, from Gaussian integrals."""
    square = bandwidth**2
    height = 2.0 * (square / (square + 2.0)) ** (columns / 2)
    return height * (1.0 - np.exp(-(shift**2) / (2.0 * (square + 2.0))))


def test_the_closed_form_has_its_published_value() -> None:
    assert closed_form(1.0, 5, np.sqrt(1.5)) == pytest.approx(0.032014, abs=1e-6)


@pytest.mark.parametrize("shift", [0.0, 1.0])
@pytest.mark.parametrize("bandwidths", [[np.sqrt(1.5)], [0.7, 3.0]])
def test_the_mean_over_repetitions_is_the_closed_form(
    shift: float, bandwidths: list[float]
) -> None:
    generator = np.random.default_rng(1)
    found = []
    for _ in range(300):
        first = generator.normal(size=(30, 5))
        second = generator.normal(size=(20, 5))
        second[:, 0] += shift
        found.append(squared_mmd(first, second, bandwidths))
    exact = sum(closed_form(shift, 5, bandwidth) for bandwidth in bandwidths)
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    # Keeping the diagonal, or dividing by m (m + 1), would be off by more than 20 standard errors.
    assert abs(np.mean(found) - exact) < 4.0 * error
    assert 20.0 * error < 1.0 / 30 + 1.0 / 20
    if shift == 0.0:
        assert 0.3 < np.mean(np.array(found) < 0.0) < 0.8


def test_the_test_has_the_estimate_of_its_own_sets() -> None:
    first, second = normals(size=50)
    result = mmd(first, second[:30], seed=1)
    assert result.squared == pytest.approx(
        squared_mmd(first, second[:30], result.bandwidths), rel=1e-10
    )
    middle = np.median(distance.pdist(np.concatenate([first, second[:30]])))
    assert result.bandwidths == pytest.approx(middle * np.array([0.25, 0.5, 1.0, 2.0, 4.0]))


def test_sets_of_one_law_fail_as_rarely_as_the_level_says() -> None:
    repetitions = 400
    level = 0.95
    results = []
    for seed in range(repetitions):
        generator = np.random.default_rng([1, seed])
        first = generator.standard_t(2, size=(20, 2))
        second = generator.standard_t(2, size=(30, 2))
        results.append(mmd(first, second, seed=seed, permutations=99, level=level))
    failures = sum(not result.passed for result in results)
    low, high = stats.binom.interval(0.999, repetitions, 1 - level)
    assert low <= failures <= high
    # Not only at the level: p-values are uniform on 0.01, 0.02, ..., 1.
    p_values = (
        np.concatenate([result.p_value for result in results])
        - np.random.default_rng(1).random(400) / 100
    )
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("broken", ["shift", "width", "correlation", "modes"])
def test_different_laws_fail(broken: str) -> None:
    # Power at level 0.99 and 200 points of each, measured over 100 repetitions: 1.00 each.
    for seed in range(3):
        first, second = normals(seed=seed)
        second = break_law(second, broken)
        result = mmd(first, second, seed=seed)
        assert not result.passed
        assert result.squared > result.critical


def test_a_p_value_is_never_below_that_of_the_partition_itself() -> None:
    first, second = normals(size=50)
    # No random partition is as far apart: 1 of 1 + 99.
    assert mmd(first, second + 9.0, seed=1, permutations=99).p_value.tolist() == [0.01]
    # A set in two halves that are equal: every partition is as far apart.
    assert mmd(first, first, seed=1, permutations=99).p_value.tolist() == [1.0]


def break_law(points: np.ndarray, broken: str) -> np.ndarray:
    if broken == "shift":
        return points + 0.5
    if broken == "width":
        return 1.6 * points
    if broken == "correlation":
        return np.stack(
            [points[:, 0], 0.9 * points[:, 0] + np.sqrt(1 - 0.9**2) * points[:, 1]], axis=-1
        )
    return np.where(points > 0.0, 1.0, -1.0) + 0.1 * points


def test_the_kernel_does_not_cancel_far_out() -> None:
    near = np.array([[0.0], [1e-3]])
    # Squares of 1e8 leave nothing of 1e-3 in double precision.
    assert kernel_matrix(near + 1e8, near + 1e8, [1e-3]) == pytest.approx(
        np.exp(-0.5 * np.array([[0.0, 1.0], [1.0, 0.0]])), rel=1e-4
    )
    assert kernel_matrix(near, near, [1.0, 2.0])[0, 0] == 2.0


def test_the_bandwidth_of_points_that_coincide() -> None:
    assert ladder(np.zeros(10)) == list(LADDER)
    # Nine points at 0 and one at 10: nine of 45 distances are 10.
    assert ladder(np.array([0.0] * 36 + [100.0] * 9))[2] == pytest.approx(2.0)


def test_equal_points_are_ties_and_pass() -> None:
    result = mmd(np.ones((20, 2)), np.ones((30, 2)), seed=1)
    assert result.p_value.tolist() == [1.0]
    assert result.squared == pytest.approx(0.0, abs=1e-12)


def test_of_large_sets_a_random_part_is_used_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("bayesinn.diagnostics.two_samples"), "MOST_POINTS", 100)
    # Sorted, so that the first hundred would not do.
    first, second = (np.sort(points, axis=0) for points in normals(size=300))
    result = mmd(first, second[:80], seed=1)
    assert result.subsampled
    assert (result.used, result.given) == ((100, 80), (300, 80))
    assert "100 and 80 of 300 and 80 points used" in repr(result)
    assert mmd(first, second, seed=1).passed


def test_units_do_not_matter_if_bandwidths_have_them_too() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.normal(size=(2, 40, 2)) + np.array([0.0, 0.5])[:, None, None]
    small = mmd(1e-3 * first, 1e-3 * second, bandwidths=[5e-4, 2e-3], permutations=200, seed=1)
    usual = mmd(first, second, bandwidths=[0.5, 2.0], permutations=200, seed=1)
    assert small.squared == pytest.approx(usual.squared)
    assert small.p_value == usual.p_value


def test_one_seed_decides_everything() -> None:
    first, second = normals(size=30)
    one, again, other = (mmd(first, second, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.null, again.null)
    assert not np.array_equal(one.null, other.null)
    assert one.null.shape == (500,)


def test_table_and_repr() -> None:
    first, second = normals()
    result = mmd(first, second + 1.0, seed=1)
    table = result.to_dataframe()
    assert list(table.index) == ["joint"]
    assert list(table.columns) == ["p_value", "inside", "squared", "critical"]
    assert repr(result).startswith("MMD FAILED")
    assert "p = 0.002" in result.summary
    assert not result.subsampled


@pytest.mark.parametrize(
    ("first", "second", "options", "message"),
    [
        (np.zeros((1, 2)), np.zeros((5, 2)), {}, r"(?s)^first\n.*at least 2\n.*\(1, 2\)"),
        (np.zeros((5, 2)), np.zeros((5, 3)), {}, r"(?s)^second\n.*shape \(n, 2\).*shape \(5, 3\)"),
        (
            np.zeros((5, 2)),
            np.full((5, 2), np.inf),
            {},
            "(?s)^second\n.*10 of 10 values NaN or infinite",
        ),
        (
            np.zeros((5, 2)),
            np.zeros((5, 2)),
            {"permutations": 98},
            "(?s)permutations.*from 99 to 100,000.*98",
        ),
        (np.zeros((5, 2)), np.zeros((5, 2)), {"level": 1.0}, "(?s)level.*above 0, below 1"),
        (
            np.zeros((5, 2)),
            np.zeros((5, 2)),
            {"bandwidths": [1.0, 0.0]},
            r"(?s)positive.*\[1.0, 0.0\]",
        ),
        (np.zeros((5, 2)), np.zeros((5, 2)), {"bandwidths": []}, "positive"),
        (np.zeros((5, 2)), np.zeros((5, 2)), {"bandwidths": [1.0, np.nan]}, "positive"),
        (np.zeros((5, 2)), np.zeros((5, 2)), {"bandwidths": [np.inf]}, "positive"),
    ],
)
def test_wrong_inputs_are_refused(
    first: np.ndarray, second: np.ndarray, options: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        mmd(first, second, seed=1, **options)
