"""Wrong arrays are refused with the names and shapes concerned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bayesinn.core.errors import InputError
from bayesinn.diagnostics import (
    compare_draws,
    coverage,
    joint_coverage,
    latent_codes,
    learning_curve,
    local_c2st,
    mmd,
    model_calibration,
    posterior_sbc,
    predictive_checks,
    ranks,
    recovery,
    reference_points,
    sbc,
    simultaneous_band,
    sliced_wasserstein,
    uniform_ranks,
    uniformity,
)

Arrays = dict[str, np.ndarray]


def run_recovery(truth: Arrays, draws: Arrays, *, seed: int) -> object:
    return recovery(truth, draws, truth)


CASES = {
    "no parameter": ({}, {}, "at least one parameter"),
    "missing name": (
        {"a": np.zeros(9), "b": np.zeros(9)},
        {"a": np.zeros((9, 5))},
        r"names in draws.*no \['b'\]",
    ),
    "extra name": (
        {"a": np.zeros(9)},
        {"a": np.zeros((9, 5)), "c": np.zeros((9, 5))},
        r"\['c'\] too many",
    ),
    "no draws axis": (
        {"a": np.zeros(9)},
        {"a": np.zeros(9)},
        r"draws of parameter 'a'.*shape \(9, 'draws'\).*shape \(9,\)",
    ),
    "axes swapped": (
        {"a": np.zeros(9)},
        {"a": np.zeros((5, 9))},
        r"draws of parameter 'a'.*\(9, 9\).*shape \(5, 9\).*first axis",
    ),
    "other event": (
        {"a": np.zeros((9, 2))},
        {"a": np.zeros((9, 5, 3))},
        r"draws of parameter 'a'.*shape \(9, 5, 2\).*shape \(9, 5, 3\)",
    ),
    "other draws": (
        {"a": np.zeros(9), "b": np.zeros(9)},
        {"a": np.zeros((9, 5)), "b": np.zeros((9, 4))},
        r"draws of parameter 'b'.*shape \(9, 5\) as for 'a'.*shape \(9, 4\)",
    ),
    "scalar truth": (
        {"a": np.array(1.0)},
        {"a": np.zeros(5)},
        r"truth of parameter 'a'.*'data sets'.*shape \(\)",
    ),
    "one data set": (
        {"a": np.zeros(1)},
        {"a": np.zeros((1, 5))},
        r"parameter 'a'.*2 or more data sets.*shape \(1,\)",
    ),
    "one draw": (
        {"a": np.zeros(9)},
        {"a": np.zeros((9, 1))},
        r"draws of parameter 'a'.*2 or more draws.*shape \(9, 1\)",
    ),
    "NaN draws": (
        {"a": np.zeros(9)},
        {"a": np.full((9, 5), np.nan)},
        "draws of parameter 'a'.*45 of 45 values NaN",
    ),
    "infinite truth": (
        {"a": np.full(9, np.inf)},
        {"a": np.zeros((9, 5))},
        "truth of parameter 'a'.*9 of 9",
    ),
    "no dict": (np.zeros(9), {"a": np.zeros((9, 5))}, "truth\n.*a dict of name to array"),
    "draws without names": ({"a": np.zeros(9)}, np.zeros((9, 5)), "draws\n.*a dict"),
    "masked": (
        {"a": np.ma.masked_equal(np.arange(9.0), 3.0)},
        {"a": np.zeros((9, 5))},
        "truth of parameter 'a'.*masked values",
    ),
    "text": (
        {"a": np.array(["x"] * 9)},
        {"a": np.zeros((9, 5))},
        "truth of parameter 'a'.*real numbers",
    ),
}


@pytest.mark.parametrize("diagnostic", [sbc, coverage, run_recovery])
@pytest.mark.parametrize("case", CASES)
def test_wrong_arrays(diagnostic: Callable[..., object], case: str) -> None:
    truth, draws, message = CASES[case]
    with pytest.raises(InputError, match=f"(?s){message}"):
        diagnostic(truth, draws, seed=1)


def test_order_of_names_does_not_matter() -> None:
    generator = np.random.default_rng(1)
    truth = {"a": generator.normal(size=50), "b": 10 + generator.normal(size=50)}
    draws = {"b": 10 + generator.normal(size=(50, 20)), "a": generator.normal(size=(50, 20))}
    assert sbc(truth, draws, seed=1).columns == ("a", "b")
    assert sbc(truth, draws, seed=1).p_value.min() > 1e-3
    assert recovery(truth, draws, draws_of_prior(draws)).columns == ("a", "b")


def draws_of_prior(draws: Arrays) -> Arrays:
    return {name: value[:, 0] for name, value in draws.items()}


NORMALS = np.random.default_rng(1).normal(size=(40, 10, 2))
ROWS = NORMALS[:, 0]
WRONG: dict[str, Callable[[], object]] = {
    "text as densities": lambda: joint_coverage("x", NORMALS[..., 0], seed=1),
    "no densities": lambda: joint_coverage(ROWS[:, 0], None, seed=1),
    "objects as codes": lambda: latent_codes(ROWS.astype(object), NORMALS, seed=1),
    "texts to rank": lambda: ranks(ROWS[:, 0].astype(str), NORMALS[..., 0], seed=1),
    "masked to rank": lambda: ranks(np.ma.masked_less(ROWS[:, 0], 0), NORMALS[..., 0], seed=1),
    "no names": lambda: uniformity(None, np.full((9, 1), 0.5)),
    "texts as ranks": lambda: uniform_ranks("x", 10, seed=1),
    "draws in words": lambda: uniform_ranks(np.arange(9), "ten", seed=1),
    "fractions of values": lambda: simultaneous_band((0.5,), 1.5, 0.9),
    "too many values": lambda: simultaneous_band((0.5,), 10**9, 0.9),
    "points in words": lambda: simultaneous_band("x", 10, 0.9),
    "no models": lambda: model_calibration(np.zeros(9), np.ones((9, 1)), None),
    "no sizes": lambda: learning_curve(np.zeros((4, 3, 9)), None),
    "sizes in words": lambda: learning_curve(np.zeros((4, 3, 9)), "x"),
    "weights in words": lambda: posterior_sbc(
        {"a": ROWS[:, 0]}, {"a": NORMALS[..., 0]}, "x", NORMALS[..., 0], seed=1
    ),
    "other simulations": lambda: reference_points(ROWS[:9], ROWS, ROWS, seed=1),
    "other features": lambda: reference_points(ROWS, ROWS, ROWS[:, :1], seed=1),
    "a seed in words": lambda: reference_points(ROWS, ROWS, ROWS, seed="x"),
    "predictions without names": lambda: predictive_checks(ROWS, {"y": ROWS[0]}),
    "squares without end": lambda: compare_draws({"a": 1e300 * ROWS}, {"a": ROWS}, seed=1),
    "too many permutations": lambda: mmd(ROWS, ROWS, seed=1, permutations=10**7),
    "too many projections": lambda: sliced_wasserstein(ROWS, ROWS, seed=1, projections=10**7),
    "too many evaluations": lambda: local_c2st(ROWS, ROWS, ROWS[:1], seed=1, evaluations=10**9),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_array_of_numbers_is_refused(case: str) -> None:
    with pytest.raises(InputError, match=r"(?s)expected:.*got:.*do this:"):
        WRONG[case]()
