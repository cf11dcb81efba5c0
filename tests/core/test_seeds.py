"""Streams of random numbers: by name, independent, and with the numbers that they have always had."""

from __future__ import annotations

import numpy as np
import pytest

from bayesinn.core import seeds


def test_streams_keep_their_numbers() -> None:
    # Draws of published results depend on them.
    assert [seeds.stream_number(name) for name in ("weights", "draws", "rounds")] == [
        0,
        7,
        0x726F756E,
    ]


def test_any_name_is_a_stream_of_its_own() -> None:
    names = ["my own summary", "my own summary ", "", "weights", "Weights"]
    draws = [seeds.generator(1, name).normal(size=4) for name in names]
    assert len({tuple(values) for values in draws}) == len(names)
    np.testing.assert_array_equal(draws[0], seeds.generator(1, "my own summary").normal(size=4))
    # Of another machine and another run.
    assert seeds.stream_number("my own summary") == 16_206_645_092_096_623_630


@pytest.mark.parametrize("keys", [(), (3,), (3, 1)])
def test_integer_and_tensor_seeds_follow_from_name_and_keys(keys: tuple[int, ...]) -> None:
    assert seeds.integer_seed(1, "mine", *keys) == seeds.integer_seed(1, "mine", *keys)
    assert seeds.integer_seed(1, "mine", *keys) != seeds.integer_seed(2, "mine", *keys)
    assert seeds.tensor_seed(1, "mine", *keys).shape == (2,)
