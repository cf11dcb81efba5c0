"""Checks of single arguments: what passes, and what is said of the rest."""

from __future__ import annotations

import numpy as np
import pytest

from bayesinn.core.errors import (
    InputError,
    check_choice,
    check_flag,
    check_integer,
    check_number,
    check_path,
    check_type,
)


def test_numbers_become_plain() -> None:
    assert type(check_integer("Argument 'draws'", np.int64(5))) is int
    assert type(check_number("Argument 'average'", np.float32(0.5), least=0, below=1)) is float
    assert check_flag("Argument 'resume'", np.True_) is True


@pytest.mark.parametrize(
    ("check", "lines"),
    [
        (
            lambda: check_integer("Argument 'draws'", 0),
            ["Argument 'draws'", "an integer of 1 or more", "0", "pass for example 1"],
        ),
        (
            lambda: check_integer("Argument 'draws'", True, most=2_000),
            ["Argument 'draws'", "an integer from 1 to 2,000", "True", "pass for example 1"],
        ),
        (
            lambda: check_number("Argument 'average'", 1.0, least=0, below=1),
            ["Argument 'average'", "a number from 0, below 1", "1.0", "pass one in these bounds"],
        ),
        (
            lambda: check_number("Argument 'rate'", 10**5_000, above=0),
            [
                "Argument 'rate'",
                "a number above 0",
                "a whole number of 16,610 bits",
                "pass one in these bounds",
            ],
        ),
        (
            lambda: check_integer("Argument 'draws'", 10**5_000, most=9),
            [
                "Argument 'draws'",
                "an integer from 1 to 9",
                "a whole number of 16,610 bits",
                "pass for example 1",
            ],
        ),
        (
            lambda: check_choice("Argument 'mixing'", "stir", ("permutation", "rotation")),
            ["Argument 'mixing'", "'permutation' or 'rotation'", "'stir'", "choose one of them"],
        ),
        (
            lambda: check_type("Argument 'flow'", 3, str, "a flow", "pass bi.flows.coupling()"),
            ["Argument 'flow'", "a flow", "3", "pass bi.flows.coupling()"],
        ),
    ],
)
def test_the_rest_is_refused(check, lines: list[str]) -> None:
    with pytest.raises(InputError) as error:
        check()
    assert str(error.value) == "{}\n  expected: {}\n  got:      {}\n  do this:  {}".format(*lines)


@pytest.mark.parametrize("path", ["s3://bucket/posterior", "http://127.0.0.1/x", "file:///tmp/x"])
def test_an_address_is_no_path(path: str) -> None:
    with pytest.raises(InputError, match="the address of another place"):
        check_path("Argument 'folder'", path, "posterior")
    assert check_path("Argument 'folder'", "runs:1/a", "posterior").name == "a"
