"""The problems that defaults are chosen by, with held-out data and any exact density."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats
from sir_exact import Exact

import bayesinn as bi
from bayesinn.simulators import gaussian, linear, two_moons

HERE = Path(__file__).parent
HELD_OUT = 10_000
SEED = 101

Arrays = Mapping[str, np.ndarray]


class HeldOut(NamedTuple):
    """Parameters (n, k) of n observations, and their exact log density (n, k) if it is known."""

    parameters: Arrays
    data: Arrays
    exact: np.ndarray | None


@dataclass(frozen=True)
class Problem:
    """A simulator, its kind of data, and how to score its posteriors.

    Attributes
    ----------
    name : str, of the simulator
    kind : "vector", "set", "series", or "recommended": the network that the simulator recommends
    exact : function of parameters (n,) and data (n, ...), to log densities (n,)
    most_steps : int, that a row of the table takes
    held_out : int, number of data sets to score with
    together : str
        Observables that one summary network sees as channels; all of them have the default one if
        left out.
    """

    name: str
    kind: str
    exact: Callable[[Arrays, Arrays], np.ndarray] | None = None
    most_steps: int = 100_000
    held_out: int = HELD_OUT
    together: str | None = None

    @property
    def simulator(self) -> bi.Simulator:
        """The simulator."""
        return bi.get_simulator(self.name)

    def sample_held_out(self) -> HeldOut:
        """Draw what all posteriors are scored with; of sir, read draws from exact posteriors."""
        simulator = self.simulator
        if self.name == "sir":
            known = Exact.load(HERE / "sir_exact.npz")
            return HeldOut(known.draws, {"cases": known.cases}, known.log_prob)
        drawn = simulator.sample(self.held_out, seed=SEED)
        parameters = {name: drawn[name] for name in simulator.prior.names}
        data = {name: value for name, value in drawn.items() if name not in parameters}
        exact = None if self.exact is None else self.exact(parameters, data)[:, None]
        return HeldOut({name: value[:, None] for name, value in parameters.items()}, data, exact)


def _linear(parameters: Arrays, data: Arrays) -> np.ndarray:
    mean, covariance = linear.posterior_moments(data["y"].astype(np.float64))
    errors = np.column_stack([parameters["x1"], parameters["x2"]]) - mean
    return stats.multivariate_normal(np.zeros(2), covariance).logpdf(errors)


def _gaussian(parameters: Arrays, data: Arrays) -> np.ndarray:
    return stats.norm.logpdf(parameters["mean"], *gaussian.posterior_moments(data["x"], data["n"]))


PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem("linear", "vector", _linear),
        Problem("gaussian", "set", _gaussian),
        Problem("sir", "series"),
        Problem("two_moons", "vector", two_moons.log_posterior),
        Problem("slide_toy", "vector"),
        Problem("tissue", "recommended"),
        Problem("inverse_kinematics", "vector"),
        # Of the variants, the one whose density has no atoms.
        Problem("covid19_regular", "series", None, 2_000, 4_000, "confirmed, recovered, deaths"),
    )
}
