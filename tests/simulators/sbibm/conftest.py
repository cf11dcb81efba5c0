"""Observations 1 to 5 of the benchmark, their true parameters, and moments of reference draws."""

import json
from pathlib import Path

import numpy as np
import pytest

from bayesinn.simulation.simulator import Simulator


@pytest.fixture(scope="session")
def figures() -> dict[str, list[dict[str, np.ndarray]]]:
    """By task of the benchmark, a dict for each observation; the file says where they are from."""
    tasks = json.loads(Path(__file__).with_name("figures.json").read_text())["tasks"]
    return {
        name: [{key: np.array(value) for key, value in one.items()} for one in observations]
        for name, observations in tasks.items()
    }


@pytest.fixture(scope="session")
def by_name():
    """Numbers of the benchmark, one after another (..., d), as named arrays of given shapes."""

    def split(numbers: np.ndarray, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
        parts = np.split(numbers, ends[:-1], axis=-1)
        return {
            name: part.reshape(*numbers.shape[:-1], *shape)
            for (name, shape), part in zip(shapes.items(), parts, strict=True)
        }

    return split


@pytest.fixture(scope="session")
def likelihood_at_truth(by_name):
    """Log likelihood of a simulator for an observation of the benchmark, at its true parameters."""

    def evaluate(simulator: Simulator, observation: np.ndarray, truth: np.ndarray) -> float:
        parameters = by_name(truth[None], simulator.prior.event_shapes)
        data = by_name(observation, simulator.observable_shapes)
        return float(simulator.log_likelihood(parameters, data)[0])

    return evaluate
