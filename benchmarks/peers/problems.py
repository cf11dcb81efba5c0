"""The problems as data: prior and simulator in NumPy, used by all peers, and network sizes.

A simulator draws a whole batch in vectorised operations. Parameters are (n, d) arrays. Those of
``sir`` are positive; peers infer their logarithms, as BayesFlow's own tutorial on this model does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Data = dict[str, np.ndarray]

HELD_OUT_SEED = 777
POPULATION = 83e6


@dataclass(frozen=True)
class Problem:
    """A model and what the networks need to know of it.

    ``simulate`` returns ``theta`` (n, d) and ``x`` (n, ...), for sets also the number of valid
    elements ``n`` (n, 1). ``kind`` is that of ``x``: vector, series (n, steps, channels) or set.
    Networks for series end in an LSTM of ``lstm_units`` and give ``summaries`` numbers. ``bounds``
    are those of a uniform prior. ``held_out`` simulations measure accuracy; many where the exact
    density is known only on average.
    """

    simulate: Callable[[int, np.random.Generator], Data]
    names: tuple[str, ...]
    kind: str = "vector"
    lstm_units: int = 0
    summaries: int = 0
    log_scale: bool = False
    bounds: tuple[float, float] | None = None
    held_out: int = 20_000

    def held_out_data(self) -> Data:
        """Draw the simulations that measure accuracy, the same for all libraries."""
        return self.simulate(self.held_out, np.random.default_rng(HELD_OUT_SEED))

    def own_scale(self, log_density: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Convert log densities of what peers infer into those of the parameters themselves."""
        return log_density - theta.sum(axis=1) if self.log_scale else log_density


def toy(n: int, generator: np.random.Generator) -> Data:
    """Five numbers and a noisy copy of each."""
    theta = generator.standard_normal((n, 5), np.float32)
    return {"theta": theta, "x": theta + 0.5 * generator.standard_normal((n, 5), np.float32)}


def sir(n: int, generator: np.random.Generator) -> Data:
    """The model of simulators/sir.py, with logarithms of the parameters."""
    theta = np.empty((n, 5))
    theta[:, :3] = generator.normal(np.log([0.4, 1 / 8, 8.0]), [0.5, 0.2, 0.2], (n, 3))
    theta[:, 3] = np.log(generator.gamma(2.0, 20.0, n))
    theta[:, 4] = np.log(generator.exponential(5.0, n))
    rate, recovery, delay, infected, psi = np.exp(theta).T
    infected = np.ceil(infected)
    delay = np.round(delay).astype(int)
    susceptible = POPULATION - infected
    incidence = np.empty((14 + delay.max(), n))
    incidence[0] = infected
    for day in range(1, len(incidence)):
        new = rate * infected * susceptible / POPULATION
        susceptible = susceptible - new
        infected = np.clip(infected + new - recovery * infected, 0.0, POPULATION)
        incidence[day] = new
    mean = (
        np.clip(incidence[delay[:, None] + np.arange(14), np.arange(n)[:, None]], 0.0, POPULATION)
        + 1e-5
    )
    psi = psi[:, None]
    cases = generator.poisson(mean * generator.gamma(psi, 1.0 / psi, mean.shape))
    return {"theta": theta.astype(np.float32), "x": cases.astype(np.float32)[..., None]}


def series(n: int, generator: np.random.Generator) -> Data:
    """A random walk of 81 steps and 3 channels; 4 of 34 numbers decide its drift and level."""
    theta = generator.standard_normal((n, 34), np.float32)
    noise = generator.standard_normal((n, 81, 3), np.float32)
    return {
        "theta": theta,
        "x": np.cumsum(0.1 * noise + theta[:, None, :3], axis=1) + theta[:, None, 3:4],
    }


def linear(n: int, generator: np.random.Generator) -> Data:
    """The model of simulators/linear.py."""
    theta = generator.standard_normal((n, 2), np.float32)
    noise = generator.standard_normal((n, 1), np.float32)
    return {"theta": theta, "x": theta.sum(axis=1, keepdims=True) + 0.5 * noise}


def gaussian(n: int, generator: np.random.Generator) -> Data:
    """The model of simulators/gaussian.py; elements beyond the number of valid ones are 0."""
    theta = generator.standard_normal((n, 1), np.float32)
    count = generator.integers(1, 51, (n, 1))
    x = theta + generator.standard_normal((n, 50), np.float32)
    return {
        "theta": theta,
        "x": np.where(np.arange(50) < count, x, 0.0)[..., None],
        "n": count.astype(np.float32),
    }


def two_moons(n: int, generator: np.random.Generator) -> Data:
    """The model of simulators/two_moons.py."""
    theta = generator.uniform(-1.0, 1.0, (n, 2)).astype(np.float32)
    angle = generator.uniform(-0.5 * np.pi, 0.5 * np.pi, n)
    radius = generator.normal(0.1, 0.01, n)
    x1 = radius * np.cos(angle) + 0.25 - np.abs(theta.sum(axis=1)) / np.sqrt(2.0)
    x2 = radius * np.sin(angle) + (theta[:, 1] - theta[:, 0]) / np.sqrt(2.0)
    return {"theta": theta, "x": np.stack([x1, x2], axis=1).astype(np.float32)}


PROBLEMS = {
    "toy": Problem(toy, ("theta",)),
    "sir": Problem(sir, ("lambda", "mu", "delay", "I0", "psi"), "series", 64, 32, log_scale=True),
    "series": Problem(series, ("theta",), "series", 128, 64),
    "linear": Problem(linear, ("x1", "x2")),
    "gaussian": Problem(gaussian, ("mean",), "set"),
    "two_moons": Problem(two_moons, ("theta1", "theta2"), bounds=(-1.0, 1.0)),
}
