"""Exact posteriors, correct and broken: what a diagnostic must pass, and what it must detect."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import special, stats

from bayesinn.core.errors import InputError

Fault = Literal[
    "none", "too wide", "too narrow", "shifted", "wrong correlation", "prior", "flipped mode"
]

#: All faults, the correct posterior first.
FAULTS: tuple[Fault, ...] = get_args(Fault)
# Two measurements: a precise one of the sum, and a noisy one of the first parameter.
_DESIGN = np.array([[1.0, 1.0], [1.0, 0.0]])
_NOISE = np.array([0.5, 1.0])


@dataclass(frozen=True)
class Conjugate:
    """Two parameters with normal prior and two noisy linear measurements: all in closed form.

    Parameters are standard normal. Data are their sum with noise of sd 0.5, and the first parameter
    with noise of sd 1; the posterior is normal with correlation -0.73. With ``modes=2`` the sign of
    both measurements is lost: the posterior is that normal and its mirror image. Parameters and
    data are (n, 2), draws (n, draws, 2), log densities (n, draws).

    Parameters
    ----------
    fault : str
        How the posterior is broken; by default it is correct.

        - "too wide", "too narrow": standard deviations by a factor of 1.15
        - "shifted": the first parameter by 0.2 sd
        - "wrong correlation": 0 in place of -0.73, with correct marginals
        - "prior": the prior, whatever the data
        - "flipped mode": one of two modes is mirrored at an axis; needs ``modes=2``
    modes : 1 or 2

    Examples
    --------
    >>> problem = Conjugate("too wide")
    >>> theta, data = problem.simulate(1000, seed=1)
    >>> draws = problem.sample(data, draws=100, seed=2)
    >>> draws.shape, problem.log_prob(draws, data).shape
    ((1000, 100, 2), (1000, 100))
    """

    fault: Fault = "none"
    modes: Literal[1, 2] = 1

    def __post_init__(self) -> None:
        if (
            self.fault not in FAULTS
            or self.modes not in (1, 2)
            or (self.fault == "flipped mode" and self.modes == 1)
        ):
            raise InputError(
                "Conjugate",
                expected=f"a fault out of {list(FAULTS)}, one or two modes; 'flipped mode' with "
                "two",
                got=f"fault {self.fault!r} with modes={self.modes!r}",
                do="pass for example Conjugate('too wide'), or Conjugate('flipped mode', modes=2)",
            )

    def simulate(self, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw parameters from the prior, and their data."""
        theta = np.random.default_rng([seed, 1]).normal(size=(size, 2))
        return theta, self.replicate(theta, seed)

    def replicate(self, theta: np.ndarray, seed: int) -> np.ndarray:
        """Draw data of given parameters."""
        generator = np.random.default_rng([seed, 2])
        data = theta @ _DESIGN.T + _NOISE * generator.normal(size=theta.shape)
        return (
            data if self.modes == 1 else data * generator.choice([-1.0, 1.0], size=(len(theta), 1))
        )

    def sample(self, data: np.ndarray, draws: int, seed: int) -> np.ndarray:
        """Draw from the posterior."""
        generator = np.random.default_rng([seed, 3])
        means, factor = self._components(data)
        noise = generator.normal(size=(len(data), draws, 2)) @ factor.T
        chosen = generator.integers(0, means.shape[1], size=(len(data), draws))
        return np.take_along_axis(means, chosen[..., None], axis=1) + noise

    def log_prob(self, theta: np.ndarray, data: np.ndarray) -> np.ndarray:
        """Return the log posterior density of draws."""
        means, factor = self._components(data)
        normal = stats.multivariate_normal(cov=factor @ factor.T)
        densities = normal.logpdf((theta[:, :, None] - means[:, None])[..., None, :])
        return special.logsumexp(
            densities.reshape(*theta.shape[:2], -1), axis=-1, b=1.0 / means.shape[1]
        )

    @staticmethod
    def prior_log_prob(theta: np.ndarray) -> np.ndarray:
        """Return the log prior density (...) of parameters (..., 2)."""
        return np.sum(stats.norm.logpdf(theta), axis=-1)

    def latent(self, theta: np.ndarray, data: np.ndarray) -> np.ndarray:
        """Return latent codes as a flow would: scores of the first parameter, then the second.

        See Rosenblatt (1952).
        """
        means, factor = self._components(data)
        cov = factor @ factor.T
        first = stats.norm(means[..., 0], np.sqrt(cov[0, 0]))
        weights = first.pdf(theta[:, :1]) + 1e-300
        middle = means[..., 1] + cov[0, 1] / cov[0, 0] * (theta[:, :1] - means[..., 0])
        second = stats.norm(middle, np.sqrt(cov[1, 1] - cov[0, 1] ** 2 / cov[0, 0])).cdf(
            theta[:, 1:]
        )
        share = np.stack(
            [first.cdf(theta[:, :1]).mean(axis=1), np.average(second, axis=1, weights=weights)],
            axis=-1,
        )
        return stats.norm.ppf(np.clip(share, 1e-15, 1.0 - 1e-15))

    def _components(self, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the means (n, modes, 2) and the common Cholesky factor (2, 2)."""
        if self.fault == "prior":
            return np.zeros((len(data), 1, 2)), np.eye(2)
        cov = np.linalg.inv(np.eye(2) + _DESIGN.T @ np.diag(_NOISE**-2) @ _DESIGN)
        mean = data / _NOISE**2 @ _DESIGN @ cov
        other = mean * np.array([-1.0, 1.0]) if self.fault == "flipped mode" else -mean
        means = np.stack([mean, other], axis=1)[:, : self.modes]
        if self.fault == "shifted":
            means = means + np.array([0.2 * np.sqrt(cov[0, 0]), 0.0])
        if self.fault == "wrong correlation":
            cov = np.diag(np.diag(cov))
        width = {"too wide": 1.15, "too narrow": 1.0 / 1.15}.get(self.fault, 1.0)
        return means, width * np.linalg.cholesky(cov)
