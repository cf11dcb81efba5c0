"""C2ST reaches the accuracy of the best classifier, and no more if there is no difference."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.two_samples import c2st


def normals(*, size: int = 500, columns: int = 1, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.random.default_rng(seed).normal(size=(2, size, columns))
    return first, second


@pytest.mark.parametrize("distance", [0.0, 2.0, 4.0])
def test_accuracy_is_that_of_the_best_classifier(distance: float) -> None:
    # Best for two normals: split half way, right with probability Phi(distance / 2). Measured at
    # 500 draws of each over 12 (0) or 6 seeds: within 0.046, 0.021 and 0.009; the binomial standard
    # deviation at 0.5 is 0.016.
    draws, reference = normals(seed=2)
    assert c2st(draws + distance, reference) == pytest.approx(
        stats.norm.cdf(distance / 2), abs=0.05
    )


def test_any_seed_is_taken() -> None:
    draws, reference = normals(size=50)
    assert c2st(draws, reference, seed=2**32 + 1) > 0.0


def test_a_wrong_correlation_is_seen_where_all_marginals_agree() -> None:
    draws, reference = normals(size=300, columns=2)
    draws[:, 1] = 0.9 * draws[:, 0] + np.sqrt(1 - 0.9**2) * draws[:, 1]
    # Measured over three seeds, 500 draws: 0.75 to 0.76.
    assert c2st(draws, reference) > 0.65


def test_scale_and_position_of_columns_do_not_matter() -> None:
    draws, reference = normals(size=200)
    draws = draws + 1.0
    assert c2st(draws, reference) == pytest.approx(
        c2st(1e6 + 1e3 * draws, 1e6 + 1e3 * reference), abs=0.01
    )


def test_a_constant_column_changes_nothing_if_equal_and_tells_all_if_not() -> None:
    draws, reference = normals(size=200)
    constant = np.full((200, 1), 0.5)
    equal = c2st(np.hstack([draws, constant]), np.hstack([reference, constant]))
    assert 0.4 < equal < 0.6
    # However near it is: 0.5 + 1e-9 is another constant.
    assert c2st(np.hstack([draws, constant + 1e-9]), np.hstack([reference, constant])) == 1.0


def test_more_draws_than_reference_do_not_count_as_a_difference() -> None:
    draws, reference = normals(size=400)
    # Naming the larger set would be right in 89 %.
    assert c2st(draws, reference[:50]) < 0.65


def test_two_folds_are_enough() -> None:
    draws, reference = normals(size=400)
    assert abs(c2st(draws, reference, folds=2) - c2st(draws, reference)) < 0.1


def test_equal_seeds_give_equal_accuracies_and_warnings_stay_inside() -> None:
    draws, reference = normals(size=100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (
            c2st(draws, reference, seed=3)
            == c2st(draws, reference, seed=3)
            != c2st(draws, reference, seed=4)
        )


@pytest.mark.parametrize(
    ("draws", "reference", "folds", "message"),
    [
        (np.zeros(50), np.zeros((50, 1)), 5, r"(?s)^draws\n.*shape \(50,\).*values\[:, None\]"),
        (np.zeros((50, 1)), np.full((50, 1), np.nan), 5, "(?s)^reference\n.*50 of 50 values NaN"),
        (
            np.zeros((50, 1)),
            np.zeros((50, 2)),
            5,
            r"(?s)^reference\n.*shape \(n, 1\).*shape \(50, 2\)",
        ),
        (np.zeros((50, 1)), np.zeros((20, 1)), 5, "(?s)folds of C2ST.*5 folds for twice 20 points"),
        (np.zeros((50, 1)), np.zeros((50, 1)), 1, "at least 2"),
    ],
)
def test_wrong_inputs_are_refused(
    draws: np.ndarray, reference: np.ndarray, folds: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        c2st(draws, reference, folds=folds)
