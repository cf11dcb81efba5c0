"""The prior, truncated to where posteriors of one observation have their mass."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.posterior.posterior import Posterior
from bayesinn.simulation.simulations import count_rows, join, take
from bayesinn.simulation.simulator import Arrays, Simulator

# Posterior draws that measure where a posterior has its mass; draws that are proposed at once, and
# how often for each thousand that are wanted, at most.
_DRAWS = 50_000
_BATCH = 100_000
_MOST_BATCHES = 200
# Below this share of the prior, proposals from the posterior are accepted more often than those
# from the prior.
_LEAST_SHARE = 1e-3


class _Part(NamedTuple):
    """Region in which the log density of a posterior exceeds a threshold."""

    posterior: Posterior
    threshold: float


@dataclass(frozen=True)
class Truncation:
    """A simulator's prior, truncated to highest-density regions of posteriors at one observation.

    It is the intersection of the regions, so that each truncation lies inside of those before:
    draws of an earlier one that lie inside are then draws of this one. ``share`` is the prior's
    mass inside. ``bound`` is the largest log ratio of prior to posterior inside.
    """

    simulator: Simulator
    observation: Mapping[str, Any]
    parts: tuple[_Part, ...] = ()
    share: float = 1.0
    bound: float = 0.0

    def narrowed(self, posterior: Posterior, mass: float, seed: int, number: int) -> "Truncation":
        """Return the truncation to the region that also holds a posterior, all but a ``mass``.

        The posterior is that given the observation.
        """
        draws = posterior.sample(
            self.observation, draws=_DRAWS, seed=seeds.integer_seed(seed, "rounds", 2, number)
        )
        density = np.asarray(posterior.log_prob(draws, self.observation), np.float64)
        threshold = float(np.quantile(density, mass))
        inside = Truncation(
            self.simulator, self.observation, (*self.parts, _Part(posterior, threshold))
        )
        log_prior = np.asarray(self._prior_log_prob(posterior, draws), np.float64)
        within = inside.contains(draws)
        if not within.any():
            raise InputError(
                "Proposal of truncated rounds",
                expected="a posterior with mass where those of the rounds before had",
                got=f"none of {_DRAWS:,} posterior draws there",
                do="simulate more in each round, or pass other networks",
            )
        prior_draws = self._prior(seeds.generator(seed, "rounds", 3, number))
        share = float(np.mean(inside.contains(prior_draws)))
        if share < _LEAST_SHARE:
            # Too few prior draws to count: the mean of the ratio over the posterior's own draws.
            share = float(np.mean(np.where(within, np.exp(log_prior - density), 0.0)))
        bound = float(np.max(log_prior[within])) - threshold
        return Truncation(self.simulator, self.observation, inside.parts, share, bound)

    def contains(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Tell which parameters (n, *event) lie inside, (n,)."""
        rows = np.arange(count_rows(parameters))
        inside = np.zeros(len(rows), bool)
        for part in self.parts:
            if len(rows):
                given = take(parameters, rows)
                rows = rows[part.posterior.log_prob(given, self.observation) >= part.threshold]
        inside[rows] = True
        return inside

    def sample(self, n: int, seed: int, number: int, attempt: int) -> Arrays:
        """Draw parameters (n, *event) from the truncated prior by rejection.

        The result is a pure function of the arguments.

        Proposals are prior draws or, where few of them lie inside, draws of the last posterior,
        accepted with a probability proportional to the ratio of the prior to it.
        """
        generator = seeds.generator(seed, "rounds", 1, number, attempt)
        kept: list[Arrays] = []
        found = 0
        most = _MOST_BATCHES * -(-n // 1_000)
        for _ in range(most):
            if self.share < _LEAST_SHARE:
                proposed = self._thinned(generator)
            else:
                proposed = self._prior(generator, _BATCH if self.parts else n)
            inside = self.contains(proposed)
            kept.append(take(proposed, inside))
            found += int(inside.sum())
            if found >= n:
                return take(join(kept), slice(n))
        raise InputError(
            "Proposal of truncated rounds",
            expected=f"{n:,} parameters inside the truncated prior",
            got=f"{found:,} inside, of {most * _BATCH:,} that were proposed",
            do="pass fewer rounds: the last of them had narrowed the prior enough",
        )

    def _prior_log_prob(self, posterior: Posterior, draws: Mapping[str, np.ndarray]) -> np.ndarray:
        return posterior.given(self.observation).prior_log_prob(draws)

    def _prior(self, generator: np.random.Generator, n: int = _BATCH) -> Arrays:
        seed = tf.constant(generator.integers(2**31, size=2), tf.int32)
        return {name: value.numpy() for name, value in self.simulator.prior.sample(n, seed).items()}

    def _thinned(self, generator: np.random.Generator) -> Arrays:
        """Return those of a batch of posterior draws that make up the prior, where inside."""
        posterior = self.parts[-1].posterior
        draws = posterior.sample(
            self.observation, draws=_BATCH, seed=int(generator.integers(2**31))
        )
        density = posterior.log_prob(draws, self.observation)
        log_ratio = self._prior_log_prob(posterior, draws) - density - self.bound
        accepted = np.log(generator.uniform(size=_BATCH)) < log_ratio
        # Outside the region the ratio may exceed the bound; ``sample`` drops these draws anyway.
        return take(draws, accepted)
