"""The exact problem of `bayesinn.testing.Conjugate` as the arrays that diagnostics take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bayesinn.testing.conjugate import Conjugate, Fault

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """Truths, draws and densities of one posterior, correct or broken."""

    posterior: Conjugate
    theta: np.ndarray
    data: np.ndarray
    raw: np.ndarray

    @property
    def truth(self) -> Arrays:
        return named(self.theta)

    @property
    def draws(self) -> Arrays:
        return named(self.raw)

    @property
    def log_prob(self) -> tuple[np.ndarray, np.ndarray]:
        both = self.posterior.log_prob(
            np.concatenate([self.theta[:, None], self.raw], axis=1), self.data
        )
        return both[:, 0], both[:, 1:]

    @property
    def rough_estimates(self) -> Arrays:
        """Follow the data, and are no function of truths or draws."""
        return named(
            Conjugate(modes=self.posterior.modes).sample(self.data, draws=1, seed=77)[:, 0]
        )


def case(
    fault: Fault = "none",
    *,
    modes: Literal[1, 2] = 1,
    size: int = 1000,
    draws: int = 100,
    seed: int = 1,
) -> Case:
    posterior = Conjugate(fault, modes)
    theta, data = posterior.simulate(size, seed)
    return Case(posterior, theta, data, posterior.sample(data, draws, seed))


def named(values: np.ndarray) -> Arrays:
    return {"first": values[..., 0], "second": values[..., 1]}
