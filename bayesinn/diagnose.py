"""Diagnose a trained posterior: simulate, sample, and hand arrays to the diagnostics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesinn import seeds
from bayesinn.amortizer import AmortizedPosterior
from bayesinn.diagnostics import Diagnosis, diagnose_arrays
from bayesinn.simulation import checks

if TYPE_CHECKING:
    from bayesinn.simulation.simulator import Arrays


def diagnose(posterior: AmortizedPosterior, *, simulations: int = 500, draws: int = 250, seed: int = 0) -> Diagnosis:
    """Check a posterior on fresh simulations from the prior.

    Parameters
    ----------
    posterior : AmortizedPosterior, trained
    simulations : int
        Number of simulated observations whose true parameters are known.
    draws : int
        Posterior draws for each.
    seed : int

    Returns
    -------
    Diagnosis
        Calibration (SBC, coverage) and recovery; its repr is the verdict.
    """
    simulator = posterior.simulator
    fresh = simulator.draw(simulations, seed, "diagnosis")
    checks.check_finite(simulator, fresh)
    data = {**fresh.observables, **fresh.context}
    sampled = posterior.sample(data, draws=draws, seed=seed)
    prior: Arrays = {
        name: np.asarray(value)
        for name, value in simulator.prior.sample(5_000, seeds.tensor_seed(seed, "prior")).items()
    }
    settings = {"simulator": simulator.name, "simulations": simulations, "draws": draws, "seed": seed}
    return diagnose_arrays(fresh.parameters, dict(sampled), prior, simulator.labels, settings, seed)
