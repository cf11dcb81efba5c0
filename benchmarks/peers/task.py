"""One task in a fresh process: what is timed, and how, for all libraries alike.

An adapter is a module with ``fit(problem, task, limit)``, ``draw(model, problem, data, draws)``,
``log_prob(model, problem, data)`` and ``PACKAGES``. Its script gets the task as JSON and prints the
result as the last line.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from types import ModuleType
from typing import Any

import numpy as np
from problems import PROBLEMS, Problem

WARM_CALLS = 5
FEWEST_EPOCHS = 4
ROWS = 10_000


@dataclass
class Fit:
    """A trained model, its number of weights, and times of ``fit``.

    It was called, ended each epoch, and returned at these times.
    """

    model: Any = None
    weights: int = 0
    started: float = 0.0
    epochs: list[float] = field(default_factory=list)
    ended: float = 0.0

    def start(self) -> None:
        self.started = time.perf_counter()

    def epoch_ended(self, limit: float) -> bool:
        """Note the time; tell whether the fit has lasted long enough."""
        self.epochs.append(time.perf_counter())
        return len(self.epochs) >= FEWEST_EPOCHS and self.epochs[-1] - self.started > limit

    def end(self) -> None:
        self.ended = time.perf_counter()

    def times(self, steps: int) -> dict[str, float]:
        """Time of a step in the second half of the epochs, and of the fit beyond its steps."""
        middle = (len(self.epochs) - 1) // 2
        last = self.epochs[middle:]
        step = (last[-1] - last[0]) / ((len(last) - 1) * steps)
        total = self.ended - self.started
        return {
            "ms_per_step": 1e3 * step,
            "fit_s": total,
            "beyond_steps_s": total - len(self.epochs) * steps * step,
        }


def sampling_times(
    adapter: ModuleType, fit: Fit, problem: Problem, task: dict[str, Any]
) -> dict[str, float]:
    """Seconds of the first call, and median of later ones, by number of observations and draws."""
    result = {}
    data = problem.simulate(
        max(count for count, _ in task["sizes"]), np.random.default_rng(task["seed"] + 50)
    )
    for observations, draws in task["sizes"]:
        some = {name: value[:observations] for name, value in data.items()}
        seconds = []
        for _ in range(1 + WARM_CALLS):
            started = time.perf_counter()
            values = adapter.draw(fit.model, problem, some, draws)
            seconds.append(time.perf_counter() - started)
            size = np.size(values)
            expected = observations * draws * data["theta"].shape[1]
            assert size == expected, f"expected {expected} numbers, got {size}"
        result[f"{observations}x{draws}_first_s"] = seconds[0]
        result[f"{observations}x{draws}_s"] = float(np.median(seconds[1:]))
    return result


def perform(adapter: ModuleType, task: dict[str, Any]) -> dict[str, Any]:
    """Do a task and return what was measured."""
    problem = PROBLEMS[task["problem"]]
    imported = time.time() - task["process_started"]
    limit = task["limit"] if task["task"] == "step" else np.inf
    fit = adapter.fit(problem, task, limit)
    result: dict[str, Any] = {"import_s": imported, "weights": fit.weights}
    if task["task"] == "accuracy":
        result["seconds"] = time.time() - task["process_started"]
        data = problem.held_out_data()
        parts = (
            {name: value[first : first + ROWS] for name, value in data.items()}
            for first in range(0, problem.held_out, ROWS)
        )
        result["nll"] = -float(
            np.mean([adapter.log_prob(fit.model, problem, part) for part in parts])
        )
    elif task["task"] == "sample":
        result |= sampling_times(adapter, fit, problem, task)
    else:
        result |= fit.times(task["steps_per_epoch"])
    return result | {"versions": ", ".join(f"{name} {version(name)}" for name in adapter.PACKAGES)}


def main(name: str) -> None:
    """Perform the task on the command line with the adapter of this name."""
    result = perform(sys.modules[name], json.loads(sys.argv[1]))
    # On a line of its own: sbi leaves one unfinished.
    print("\n" + json.dumps(result))
