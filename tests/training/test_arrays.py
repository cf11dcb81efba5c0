"""Batches from arrays: each row once in a pass, each pass in an order of its own, which the seed decides."""

from __future__ import annotations

import numpy as np

from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import ArraySource, fingerprint, on_device

ROWS = 10
BATCH = 3


def source(seed: int = 1, steps: int = 9) -> ArraySource:
    return ArraySource(
        {"x": np.arange(ROWS, dtype=np.float32)}, TrainingSettings(steps, 4, BATCH, seed)
    )


def batches(given: ArraySource, first_epoch: int = 0) -> dict[int, list[float]]:
    found = {}
    for element in given.elements(first_epoch):
        batch, failed = given.batch(element)
        assert int(failed) == 0
        if int(element[0]) >= 0:
            found[int(element[0])] = batch["x"].numpy().tolist()
    return found


def test_each_row_comes_at_most_once_in_a_pass() -> None:
    found = batches(source())
    assert list(found) == list(range(9))
    passes = [[*found[first], *found[first + 1], *found[first + 2]] for first in (0, 3, 6)]
    for rows in passes:
        # Of ten rows three batches of three.
        assert len(set(rows)) == 9
        assert rows != sorted(rows)
    assert passes[0] != passes[1] != passes[2]


def test_seed_and_step_decide_alone() -> None:
    found = batches(source())
    later = batches(source(), first_epoch=1)
    other = batches(source(seed=2))
    assert later == {step: rows for step, rows in found.items() if step >= 4}
    assert other != found


def test_released_arrays_are_empty() -> None:
    given = source()
    given.release()
    given.release()
    assert [value.numpy().shape for value in given._arrays.values()] == [(0,)]


def test_rows_are_copied_in_parts(monkeypatch) -> None:
    monkeypatch.setattr("bayesinn.training.sources._ROWS_AT_A_TIME", 4)
    rows = np.random.default_rng(1).normal(size=(11, 2)).astype(np.float32)
    np.testing.assert_array_equal(on_device(rows), rows)


def test_names_types_shapes_and_values_tell_arrays_apart() -> None:
    x = np.arange(6.0)
    others = [{"y": x}, {"x": x.astype("f4")}, {"x": x.reshape(2, 3)}, {"x": x + 1e-9}]
    assert fingerprint({"x": x}) == fingerprint({"x": x.copy()})
    assert fingerprint({"x": x}) not in [fingerprint(other) for other in others]
