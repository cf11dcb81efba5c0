"""SBC passes on exact posteriors and fails on broken ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.diagnostics import dependence, ranks, sbc, uniform_ranks, uniformity
from tests.diagnostics.conjugate import count, normal


def test_exact_posteriors_fail_as_rarely_as_the_level_says() -> None:
    repetitions = 300
    level = 0.95
    failures = 0
    for seed in range(repetitions):
        truth, draws, _ = normal(size=200, draws=50, seed=seed)
        failures += not sbc(truth, draws, seed=seed, level=level).passed
    low, high = stats.binom.interval(0.999, repetitions, 1 - level)
    assert low <= failures <= high


@pytest.mark.parametrize(
    ("broken", "reading"),
    [
        ({"width": 1.3}, "draws too wide"),
        ({"width": 0.75}, "draws too narrow"),
        ({"shift": 0.3}, "draws too high"),
        ({"shift": -0.3}, "draws too low"),
    ],
)
def test_broken_posteriors_fail_and_are_named(broken: dict[str, float], reading: str) -> None:
    # Power at 500 data sets and level 0.99, measured over 300 repetitions: 1.00 each (width 0.8 and
    # 100 draws: 0.99).
    for seed in range(3):
        truth, draws, _ = normal(seed=seed, **broken)
        result = sbc(truth, draws, seed=seed)
        assert not result.passed
        assert not result.passed_family_wise
        worst = max(
            result.deviations[:2],
            key=lambda error: abs(error.estimate[0]) / bi.diagnosis.Tolerances().of(error),
        )
        assert worst.text(0).startswith(f"mean: {reading}, by ")


def test_a_wrong_shape_is_neither_shift_nor_width() -> None:
    generator = np.random.default_rng(1)
    truth = generator.choice([-1.0, 1.0], size=1000) + 0.3 * generator.normal(size=1000)
    # Against two modes, one normal of this width: its ranks have nearly the mean and the spread of
    # uniform ones.
    draws = 1.02 * generator.normal(size=(1000, 100))
    result = sbc({"mode": truth}, {"mode": draws}, seed=1)
    shift, spread, distance = result.deviations
    assert not result.passed
    assert abs(shift.estimate[0]) < 0.1
    assert abs(spread.estimate[0]) < 5.0
    assert distance.least[0] > 5.0


def test_ties_of_a_discrete_parameter_are_broken_at_random() -> None:
    # Measured over 300 seeds: 0.7 % fail at level 0.99.
    for seed in range(5):
        truth, draws = count(seed=seed)
        result = sbc(truth, draws, seed=seed)
        assert result.p_value[0] > 1e-3
        without = np.sum(draws["count"] < truth["count"][:, None], axis=1)
        assert stats.kstest(without / 201, "uniform").pvalue < 1e-10


def test_the_same_seed_gives_the_same_ranks_and_another_seed_others() -> None:
    truth, draws = count()
    first, again, other = (sbc(truth, draws, seed=seed).ranks for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_ranks_do_not_repeat_the_random_numbers_of_a_simulator_with_the_same_seed() -> None:
    generator = np.random.default_rng(7)
    truth = generator.integers(0, 2, size=2000)
    draws = np.random.default_rng(8).integers(0, 2, size=(2000, 50))
    found = ranks(truth, draws, seed=7)
    assert stats.kstest(uniform_ranks(found, 50, seed=7), "uniform").pvalue > 1e-3


def test_a_constant_parameter_passes() -> None:
    constant = {"fixed": np.full(200, 3.0)}
    assert sbc(constant, {"fixed": np.full((200, 50), 3.0)}, seed=1).passed


def test_vector_parameters_become_columns_and_only_the_broken_one_fails() -> None:
    truth, draws, _ = normal(event=(2, 2), seed=3)
    draws["mean"][..., 1, 0] *= 1.5
    result = sbc(truth, draws, seed=1)
    assert result.columns == ("mean[0,0]", "mean[0,1]", "mean[1,0]", "mean[1,1]")
    assert result.inside.tolist() == [True, True, False, True]
    assert result.ranks.shape == (500, 4)


def test_many_correct_columns_pass_family_wise() -> None:
    truth, draws, _ = normal(event=(34,), seed=1)
    result = sbc(truth, draws, seed=1)
    assert result.passed_family_wise
    # Bonferroni: the p-values of 34 columns against 0.01.
    assert result.p_value.min() * 34 > 0.01


@pytest.mark.parametrize("draws", [2, 9, 250])
def test_histogram_and_ecdf_hold_every_rank(draws: int) -> None:
    truth, posterior, _ = normal(size=300, draws=draws)
    result = sbc(truth, posterior, seed=1)
    assert result.counts.sum(axis=0).tolist() == [300]
    assert result.expected_counts.sum() == pytest.approx(300)
    assert result.edges[0] == 0
    assert result.edges[-1] == draws + 1
    below = np.mean(result.ranks[:, 0] < 1)
    assert result.ecdf_difference[0, 0] == pytest.approx(below - 1 / (draws + 1))


def test_table_and_repr() -> None:
    truth, draws, _ = normal(width=1.5)
    result = sbc(truth, draws, seed=1)
    table = result.to_dataframe()
    assert list(table.columns) == ["p_value", "chi_square_p_value", "inside"]
    assert table.index.name == "column"
    assert "SBC FAILED" in repr(result)


def test_truths_beyond_all_draws_are_no_wrong_correlation() -> None:
    """Draws in millimetres, truths in metres."""
    generator = np.random.default_rng(1)
    truth = generator.uniform(1.0, 2.0, (500, 2))
    draws = 1e3 * generator.uniform(1.0, 2.0, (500, 99, 2))
    result = dependence({"length": truth}, {"length": draws}, seed=1)
    assert abs(result.deviations[0].estimate[0]) < 0.05


@pytest.mark.parametrize(
    ("truth", "draws", "told"),
    [
        (np.zeros(3), np.zeros((4, 5)), r"shapes \(3,\) and \(4, 5\)"),
        (np.zeros((3, 2)), np.zeros((3, 5)), r"shapes \(3, 2\) and \(3, 5\)"),
        (np.zeros(3), np.zeros((3, 0)), r"an empty array"),
        (np.array([0.0, np.nan]), np.zeros((2, 5)), "1 truths and 0 draws that are NaN"),
        (np.zeros(2), np.full((2, 5), np.nan), "0 truths and 10 draws that are NaN"),
    ],
)
def test_what_has_no_rank_is_refused(truth: np.ndarray, draws: np.ndarray, told: str) -> None:
    with pytest.raises(InputError, match=told):
        ranks(truth, draws, seed=1)


def test_ranks_of_infinite_truths_are_the_ends() -> None:
    assert ranks(np.array([-np.inf, np.inf]), np.zeros((2, 5)), seed=1).tolist() == [0, 5]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.array([[0.5], [np.nan]]), "1 of 2 that are NaN or outside"),
        (np.array([[0.5], [1.2]]), "1 of 2 that are NaN or outside"),
        (np.array([[0.5, 0.2]]), r"shape \(1, 2\)"),
        (np.array([0.5, 0.2]), r"shape \(2,\)"),
        (np.zeros((0, 1)), r"an empty array"),
    ],
)
def test_what_can_not_be_uniform_is_refused(values: np.ndarray, told: str) -> None:
    with pytest.raises(InputError, match=told):
        uniformity(("a",), values)
