"""Metropolis chains for a likelihood that simulations estimate: pseudo-marginal MCMC."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.core.memory import check_draws
from bayesinn.core.validation import check_integer
from bayesinn.reference.convergence import Convergence
from bayesinn.reference.discrepancy import Discrepancy
from bayesinn.reference.simulated_posterior import SimulatedPosterior
from bayesinn.simulation.simulator import Arrays

#: A function of data (chains, replicates, ...) that were simulated, and of the data observed
#: (1, ...), to log likelihoods (chains,).
Estimate = Callable[[Arrays, Arrays], np.ndarray]

_TARGET_ACCEPTANCE = 0.25
# Rounds of the warm-up, after each of which the covariance of its draws shapes the proposals.
_WARM_UP = 4
# Chains start among so many nearest simulations for each of them.
_STARTS_A_CHAIN = 8


class Metropolis:
    """Chains for one observation, side by side, that keep the estimate of where they are.

    If the likelihood were unbiased, so would be the draws, whatever its noise: a lucky estimate is
    kept until a better one comes.

    References
    ----------
    Andrieu and Roberts (2009), The pseudo-marginal approach, Annals of Statistics 37.
    """

    def __init__(self, discrepancy: Discrepancy, estimate: Estimate, replicates: int) -> None:
        self._discrepancy = discrepancy
        self._estimate = estimate
        self._replicates = replicates

    def run(self, chains: int, steps: int, seed: int) -> SimulatedPosterior:
        """Return the draws of all chains after a warm-up of half as many steps, and R-hat."""
        check_integer("Argument 'chains'", chains, 2)
        discrepancy = self._discrepancy
        shapes = discrepancy.simulator.prior.event_shapes
        check_draws(steps, shapes, chains, least=20, subject="Argument 'steps'")
        generator = seeds.generator(seed, "metropolis")
        vectors = discrepancy.vectors(discrepancy.nearest(_STARTS_A_CHAIN * chains))
        root = _root(vectors)
        log_density = self._log_density(vectors)
        possible = np.flatnonzero(np.isfinite(log_density))
        if len(possible) < chains:
            raise InputError(
                f"Likelihood of the data under {discrepancy.simulator.name!r}",
                expected=f"finite estimates for {chains} of the {len(vectors)} nearest prior draws",
                got=f"{len(possible)}",
                do="raise replicates, pass fewer or other summaries, and check the data's units",
            )
        rows = generator.choice(possible, chains, replace=False)
        vectors = vectors[rows]
        log_density = log_density[rows]
        log_scale = 0.0
        kept: list[np.ndarray] = []
        accepted = 0.0
        length = max(steps // (2 * _WARM_UP), 5)
        for stage in range(_WARM_UP + 1):
            warming = stage < _WARM_UP
            # The draws keep the root that the last stage of the warm-up has fitted its scale to.
            if warming and stage:
                root = _root(np.concatenate(kept))
            kept = []
            for step in range(length if warming else steps):
                noise = generator.standard_normal(vectors.shape)
                moved = (vectors + np.exp(log_scale) * noise @ root.T).astype(np.float32)
                density = self._log_density(moved)
                taken = np.log(generator.uniform(size=chains)) < density - log_density
                vectors = np.where(taken[:, None], moved, vectors)
                log_density = np.where(taken, density, log_density)
                kept.append(vectors)
                if warming:
                    rate = 2.0 / np.sqrt(1.0 + step)
                    log_scale += rate * (taken.mean() - _TARGET_ACCEPTANCE)
                else:
                    accepted += taken.mean() / steps
        found = np.stack(kept, axis=1)
        values = discrepancy.parameters_of(found.reshape(chains * steps, -1))
        by_chain = {
            name: value.reshape(1, chains, steps, *value.shape[1:])
            for name, value in values.items()
        }
        convergence = Convergence.measure(by_chain, np.zeros((1, chains, steps), bool))
        r_hat, size = convergence.extreme()
        convergence.warn("the observation")
        return SimulatedPosterior(
            values,
            discrepancy.simulations,
            discrepancy.seconds,
            size,
            np.zeros(0),
            float(accepted),
            r_hat,
        )

    def _log_density(self, vectors: np.ndarray) -> np.ndarray:
        """Return estimates (n,) of the log of prior times likelihood of vectors (n, d)."""
        discrepancy = self._discrepancy
        count = len(vectors)
        parameters = {
            name: np.repeat(value, self._replicates, axis=0)
            for name, value in discrepancy.parameters_of(vectors).items()
        }
        data = {
            name: value.reshape(count, self._replicates, *value.shape[1:])
            for name, value in discrepancy.simulate(parameters).items()
        }
        found = self._estimate(data, discrepancy.observation) + discrepancy.log_prior(vectors)
        return np.where(np.isfinite(found), found, -np.inf)


def _root(vectors: np.ndarray) -> np.ndarray:
    """Return a root (d, d) of the covariance of vectors (n, d), scaled for a random walk."""
    dimension = vectors.shape[1]
    covariance = np.atleast_2d(np.cov(vectors.T.astype(np.float64)))
    covariance += 1e-3 * np.diag(np.diag(covariance)) + 1e-8 * np.eye(dimension)
    return 2.38 / np.sqrt(dimension) * np.linalg.cholesky(covariance)
