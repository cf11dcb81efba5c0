"""The two tasks: simulators, hands and landings to answer for, and posteriors to compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from scipy.spatial import distance

import bayesinn as bi
from bayesinn.simulators import inverse_ballistics as ballistics, inverse_kinematics as kinematics

Draws = dict[str, np.ndarray]

# Scales h of the kernels of the posterior error (README.md).
KERNEL = (0.05, 0.2, 0.9)


def hands(draws: Draws) -> np.ndarray:
    """Return where the hands (n, 2) of arms (n,) are."""
    return kinematics.joints(draws)[:, -1]


def landings(draws: Draws) -> np.ndarray:
    """Return where balls (n,) land, (n, 1)."""
    exact = {name: tf.constant(value, tf.float64) for name, value in draws.items()}
    return ballistics.landing(exact).numpy()[:, None]


@dataclass(frozen=True)
class Task:
    """A simulator without noise, its observable, and the prior standard deviations.

    ``share`` is that of the steps of a network that are enough for it.
    """

    simulator: bi.Simulator
    observable: str
    sds: dict[str, float]
    again: Callable[[Draws], np.ndarray]
    share: float

    def observations(self, count: int, seed: int) -> np.ndarray:
        """Return observations (count + 1, ...) of prior draws; the last is that of the figures."""
        drawn = self.simulator.sample(count, seed=seed)[self.observable]
        shown = self.simulator.observed[self.observable]
        return np.concatenate([drawn, shown[None]]).astype(np.float32)

    def exact(self, observations: np.ndarray, draws: int, seed: int) -> Draws:
        """Draw parameters (observations, draws) from each exact posterior."""
        assert self.simulator.exact is not None
        sets = [
            self.simulator.exact({self.observable: one}, draws, seed + 10 * index)
            for index, one in enumerate(observations)
        ]
        return stacked(sets)

    def rejected(self, observations: np.ndarray, draws: int, simulations: int, seed: int) -> Draws:
        """Draw parameters (observations, draws) by rejection ABC, the paper's reference."""
        options = {"draws": draws, "simulations": simulations}
        sets = [
            bi.reference.rejection_abc(
                self.simulator, {self.observable: one}, **options, seed=seed + index
            ).parameters
            for index, one in enumerate(observations)
        ]
        return stacked(sets)

    def prior(self, observations: np.ndarray, draws: int, seed: int) -> Draws:
        """Draw parameters (observations, draws) from the prior, the same for each observation."""
        drawn = self.simulator.sample(draws, seed=seed)
        return {name: np.tile(drawn[name], (len(observations), 1)) for name in self.sds}

    def errors(self, draws: Draws, exact: Draws, observations: np.ndarray) -> dict[str, float]:
        """Return means over all observations but the last, with standard errors."""
        count = len(observations) - 1
        ones = dict.fromkeys(self.sds, 1.0)
        own, standard = (
            np.array(
                [
                    squared_mmd(points(draws, i, units), points(exact, i, units))
                    for i in range(count)
                ]
            )
            for units in (ones, self.sds)
        )
        distances = [
            np.mean(np.sum((self.again(one(draws, i)) - observations[i]) ** 2, axis=-1))
            for i in range(count)
        ]
        return {
            "posterior error": own.mean(),
            "its standard error": own.std() / np.sqrt(count),
            "standardised": standard.mean(),
            "its own standard error": standard.std() / np.sqrt(count),
            "re-simulation error": np.mean(distances),
            "its median": np.median(distances),
        }


TASKS = {
    "kinematics": Task(
        bi.get_simulator("inverse_kinematics"),
        "hand",
        {
            name: kinematics.HEIGHT_SD if name == "x1" else kinematics.ANGLE_SD
            for name in kinematics.NAMES
        },
        hands,
        share=1.0,
    ),
    "ballistics": Task(
        bi.get_simulator("inverse_ballistics"),
        "landing",
        {
            "left": ballistics.SD,
            "height": ballistics.SD,
            "angle": (ballistics.ANGLES[1] - ballistics.ANGLES[0]) / np.sqrt(12.0),
            "speed": np.sqrt(ballistics.MEAN_SPEED),
        },
        landings,
        share=0.4,
    ),
}


def stacked(sets: list[Draws]) -> Draws:
    """Return draws (observations, draws) of several observations."""
    return {name: np.stack([values[name] for values in sets]) for name in sets[0]}


def one(draws: Draws, index: int) -> Draws:
    """Return the draws (draws,) of one observation."""
    return {name: value[index] for name, value in draws.items()}


def points(draws: Draws, index: int, units: dict[str, float]) -> np.ndarray:
    """Return the draws (draws, parameters) of one observation in some units."""
    return np.column_stack([draws[name][index] / unit for name, unit in units.items()])


def squared_mmd(a: np.ndarray, b: np.ndarray) -> float:
    """Return the unbiased MMD^2 with inverse multiquadratic kernels."""

    def kernel(squared: np.ndarray) -> np.ndarray:
        return sum(1.0 / (1.0 + squared / scale**2) for scale in KERNEL)

    within = [np.mean(kernel(distance.pdist(sample, "sqeuclidean"))) for sample in (a, b)]
    return float(sum(within) - 2.0 * np.mean(kernel(distance.cdist(a, b, "sqeuclidean"))))
