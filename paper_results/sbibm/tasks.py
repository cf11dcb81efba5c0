"""The ten tasks: their simulators, and their observations and reference draws in the package."""

from __future__ import annotations

import bz2
import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import bayesinn as bi
from bayesinn.simulators import two_moons
from bayesinn.simulators.sbibm import (
    gaussian_linear,
    gaussian_linear_uniform,
    gaussian_mixture,
)

Arrays = Mapping[str, np.ndarray]
OBSERVATIONS = (1, 2, 3, 4, 5)
"""Of the benchmark's ten; the others stay unseen, to judge defaults by that are chosen here."""


@dataclass(frozen=True)
class Task:
    """A simulator, where the package has its data, and the exact posterior where there is one.

    Attributes
    ----------
    name : str, in the benchmark
    simulator_name : str, by which the simulator is registered, if it is another one
    folder : str, in the package, if it is not the name
    file : str, of observations
    log_posterior : function of parameters (n, ...) and data (n, ...), to log densities (n,)
    """

    name: str
    simulator_name: str | None = None
    folder: str | None = None
    file: str = "observation.csv"
    log_posterior: Callable[[Arrays, Arrays], np.ndarray] | None = None

    @property
    def simulator(self) -> bi.Simulator:
        """The simulator."""
        return bi.get_simulator(self.simulator_name or self.name)

    def columns(self, draws: Arrays) -> np.ndarray:
        """Return draws (n, d) in the benchmark's order of parameters."""
        parts = [np.asarray(draws[name], np.float64) for name in self.simulator.prior.names]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)

    def observables(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Return one observation by name, of the benchmark's numbers, one after another."""
        data = {}
        start = 0
        for name, shape in self.simulator.observable_shapes.items():
            end = start + int(np.prod(shape))
            data[name] = numbers[start:end].reshape(shape)
            start = end
        return data


@dataclass(frozen=True)
class Case:
    """An observation of a task, and draws (n, d) from its reference posterior."""

    data: Arrays
    reference: np.ndarray


class Package:
    """The benchmark's data: the wheel of sbibm 1.1.0, or the folder that it was unpacked into."""

    def __init__(self, path: Path) -> None:
        self.root = zipfile.Path(path) if path.is_file() else path

    def case(self, task: Task, number: int) -> Case:
        """Return one observation, and the 10,000 draws from its posterior."""
        folder = self.root / "sbibm" / "tasks" / (task.folder or task.name) / "files"
        folder = folder / f"num_observation_{number}"
        draws = bz2.decompress((folder / "reference_posterior_samples.csv.bz2").read_bytes())
        observation = _numbers((folder / task.file).read_bytes())[0]
        return Case(task.observables(observation), _numbers(draws))


def _numbers(text: bytes) -> np.ndarray:
    return pd.read_csv(io.BytesIO(text)).to_numpy(np.float64)


TASKS = {
    task.name: task
    for task in (
        Task("gaussian_linear", log_posterior=gaussian_linear.log_posterior),
        Task("gaussian_linear_uniform", log_posterior=gaussian_linear_uniform.log_posterior),
        Task("gaussian_mixture", log_posterior=gaussian_mixture.log_posterior),
        Task("two_moons", log_posterior=two_moons.log_posterior),
        Task("sir", "sbibm_sir"),
        Task("bernoulli_glm"),
        Task("bernoulli_glm_raw", folder="bernoulli_glm", file="observation_raw.csv"),
        Task("slcp"),
        Task("slcp_distractors", folder="slcp", file="observation_distractors.csv"),
        Task("lotka_volterra"),
    )
}
