"""Five ways to a posterior of one observation, each with draws and what it cost."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from problems import Arrays, Problem

import bayesinn as bi
from bayesinn.reference import kde_mcmc, smc_abc
from bayesinn.reference.importance import ExactDensity

DRAWS = 1_000
CHAINS = 8


class Answer(NamedTuple):
    """Draws (n, *event), seconds of the processor, and runs of the simulator or likelihood."""

    draws: Arrays
    seconds: float
    runs: int


class Methods:
    """All methods for one problem, with a trained posterior and a compiled density."""

    def __init__(
        self, problem: Problem, posterior: bi.AmortizedPosterior, density: ExactDensity
    ) -> None:
        self._problem = problem
        self._posterior = posterior
        self._density = density

    def amortized(self, data: Arrays, budget: int, seed: int) -> Answer:
        """Ask the network."""
        started = time.process_time()
        draws = self._posterior.sample(data, draws=DRAWS, seed=seed)
        return Answer(dict(draws), time.process_time() - started, 0)

    def refined(self, data: Arrays, budget: int, seed: int) -> Answer:
        """Correct the network's draws by the likelihood; with a ``budget``, by chains at once.

        That compiles what only some data sets need.
        """
        ways = ("nuts",) if budget and not self._density.obstacle else None
        started = time.process_time()
        tree = bi.refine(
            self._posterior,
            data,
            log_likelihood=self._problem.log_likelihood,
            draws=DRAWS,
            methods=ways,
            seed=seed,
            predictive=False,
        )
        seconds = time.process_time() - started
        found = tree["posterior"]
        names = self._problem.simulator.prior.names
        draws = {name: found[name].to_numpy().reshape(DRAWS, -1) for name in names}
        return Answer(draws, seconds, int(tree["refinement"]["evaluations"]))

    def nuts(self, data: Arrays, budget: int, seed: int) -> Answer:
        """Run chains that start at prior draws, ``budget`` steps each."""
        density = self._density
        started = time.process_time()
        prior = self._problem.simulator.prior.sample(CHAINS, (seed, 1))
        start = density.vectors({name: np.asarray(value) for name, value in prior.items()})
        tensors = {name: value[None] for name, value in density.tensors(data).items()}
        chains = density.sampler.run(start[None], tensors, draws=budget, seed=seed)
        vectors = chains.vectors.reshape(-1, chains.vectors.shape[-1])
        draws = density.parameters(vectors.astype(np.float32))
        return Answer(draws, time.process_time() - started, int(chains.evaluations.sum()))

    def smc_abc(self, data: Arrays, budget: int, seed: int) -> Answer:
        """Run populations with ``budget`` simulations."""
        started = time.process_time()
        found = smc_abc(
            self._problem.simulator,
            data,
            particles=DRAWS,
            simulations=budget,
            least_acceptance=0.001,
            summaries=self._problem.summaries,
            seed=seed,
        )
        return Answer(found.parameters, time.process_time() - started, found.simulations)

    def kde_mcmc(self, data: Arrays, budget: int, seed: int) -> Answer:
        """Run chains, ``budget`` steps each after the warm-up."""
        started = time.process_time()
        with warnings.catch_warnings():
            # Of R-hat: short chains are what is measured here.
            warnings.simplefilter("ignore")
            found = kde_mcmc(
                self._problem.simulator,
                data,
                points=self._problem.points,
                replicates=self._problem.replicates,
                chains=CHAINS,
                steps=budget,
                seed=seed,
            )
        return Answer(found.parameters, time.process_time() - started, found.simulations)


#: Budgets of each: one on all data sets, larger ones on those that are compared with exact draws.
METHODS: dict[str, tuple[Callable[[Methods, Arrays, int, int], Answer], tuple[int, ...]]] = {
    "amortized": (Methods.amortized, (0,)),
    "refined": (Methods.refined, (0,)),
    "NUTS": (Methods.nuts, (250,)),
    "SMC-ABC": (Methods.smc_abc, (10_000, 60_000)),
    "KDE-MCMC": (Methods.kde_mcmc, (200, 800)),
}
