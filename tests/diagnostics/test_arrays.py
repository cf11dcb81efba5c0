"""Wrong arrays are refused with the names and shapes concerned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bayesinn.core.errors import InputError
from bayesinn.diagnostics import coverage, recovery, sbc

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
