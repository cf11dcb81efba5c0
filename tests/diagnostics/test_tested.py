"""Verdicts follow from p-values, and p-values of random repetitions are exact."""

from __future__ import annotations

import numpy as np
import pytest

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.deviation import Tested, check_repetitions, fewest_repetitions, p_values


class Fixed(Tested):
    """Two columns at a level of 99 %."""

    title = "Fixed"
    columns = ("rate", "size")
    level = 0.99
    simulations = 500

    def __init__(self, *p_value: float) -> None:
        self.__dict__["p_value"] = np.array(p_value)


def test_what_was_observed_is_one_of_its_repetitions() -> None:
    null = np.array([[1.0, 1.0], [2.0, 0.0], [3.0, 5.0], [0.0, 9.0]])
    # Of 1 + 4 values, 2 are as large as 3, all as large as 0; larger than all of them: 1 of 5,
    # never 0.
    assert p_values(np.array([3.0, 0.0]), null).tolist() == [0.4, 1.0]
    assert p_values(np.array([10.0, 10.0]), null).tolist() == [0.2, 0.2]
    assert p_values(np.array([9.0 + 1e-13]), null[:, 1:], 1e-12).tolist() == [0.4]


def test_there_must_be_enough_repetitions_to_fail() -> None:
    assert [fewest_repetitions(level) for level in (0.9, 0.95, 0.99)] == [9, 19, 99]
    with pytest.raises(
        InputError, match=r"(?s)'trials'.*from 99 to 100,000.*98.*can't fail at 0\.99"
    ):
        check_repetitions("trials", 98, 0.99)
    with pytest.raises(InputError, match=r"(?s)'level'.*above 0, below 1"):
        check_repetitions("trials", 98, 1.0)


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95, 0.99])
def test_the_fewest_repetitions_can_fail(level: float) -> None:
    result = Fixed(1.0 / (1 + fewest_repetitions(level)), 1.0)
    result.__dict__["level"] = level
    assert result.inside.tolist() == [False, True]


def test_verdict_and_text() -> None:
    passed = Fixed(0.5, 0.02)
    doubtful = Fixed(0.5, 0.008)
    failed = Fixed(0.5, 0.004)
    assert [result.passed for result in (passed, doubtful, failed)] == [True, False, False]
    assert [result.passed_family_wise for result in (passed, doubtful, failed)] == [
        True,
        True,
        False,
    ]
    assert [result.family_p_value for result in (passed, doubtful, failed)] == pytest.approx(
        [0.04, 0.016, 0.008]
    )
    assert repr(passed).startswith("Fixed passed, 500 simulations\n")
    assert repr(doubtful).startswith(
        "Fixed doubtful (one test fails, all together pass), 500 simulations\n"
    )
    assert repr(failed).startswith("Fixed FAILED, 500 simulations\n")
    assert failed.summary == "1 of 2 pass at 99 %; smallest p-value 0.004 (size)"
    strict = Fixed(0.5, 0.004)
    strict.__dict__["level"] = 0.995
    assert strict.summary.startswith("1 of 2 pass at 99.5 %")
    assert failed.to_dataframe().to_dict() == {
        "p_value": {"rate": 0.5, "size": 0.004},
        "inside": {"rate": True, "size": False},
    }
