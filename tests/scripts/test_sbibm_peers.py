"""Peers on the sbibm benchmark: what they are given, and how their answers are measured."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import numpy as np
import pytest

from tests.helpers.interpreter import ROOT


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, whose neighbours are modules of their own."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(ROOT / "paper_results" / "sbibm")
    module = importlib.import_module("peers")
    yield module
    for name in set(sys.modules) - before:
        if "." not in name:
            del sys.modules[name]


def test_exact_answers_are_exact(peers: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "DRAWS", 400)
    monkeypatch.setattr(peers, "HELD_OUT", 300)
    task = peers.TASKS["gaussian_mixture"]
    run = importlib.import_module("run")
    cases = run.exact_cases(task, draws=400)
    names = task.simulator.prior.names
    shapes = [task.simulator.prior.event_shapes[name] for name in names]

    def named(columns: np.ndarray) -> dict[str, np.ndarray]:
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
        parts = np.split(columns, ends[:-1], axis=1)
        return {
            name: part.reshape(-1, *shape)
            for name, part, shape in zip(names, parts, shapes, strict=True)
        }

    def answer(method: str, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert method == "sbi"
        assert given["parameters"].shape == (1_000, 2)
        assert given["data"].shape == (1_000, 2)
        np.testing.assert_allclose(given["observed"][0], cases[0].data["x"], rtol=1e-6)
        space = peers.ParameterSpace(task.simulator.prior, seed=1)
        other = run.exact_cases(task, draws=400)[0].reference[::-1]
        draws = space.to_vector(named(other.astype(np.float32)))[0].numpy()
        parameters, data = peers.held_out(task, 300)
        log_det = space.to_vector(parameters)[1].numpy()
        log_prob = task.log_posterior(parameters, data) - log_det
        return {
            "draws": draws[None],
            "log_prob": log_prob,
            "train_seconds": np.array(1.0),
            "draw_seconds": np.array([0.1]),
        }

    monkeypatch.setattr(peers, "answer", answer)
    row = peers.train_and_compare(task, "sbi", "1000", cases, 1)
    assert row["c2st"] < 0.56
    assert row["nats"] == pytest.approx(row["exact_nats"], abs=1e-3)
    assert row["train_seconds"] == 1.0
