"""Importance sampling from the prior: brute force, exact in the limit, and honest about how far it got."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.special import logsumexp

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import check_observations

_DRAWS = 1_000_000
_CHUNK = 100_000
# A draw that weighs less than this beside the heaviest can't matter in any table.
_LEAST_LOG_WEIGHT = -30.0
# Of fewer draws, standard deviations are off by more than 3 %.
_LEAST_EFFECTIVE_SIZE = 500


@dataclass(frozen=True)
class ImportancePosterior:
    """Weighted prior draws that represent a posterior.

    Attributes
    ----------
    parameters : dict of name to array (m, *event)
    weights : array (m,), summing to one
    effective_size : float
        Number of independent draws that would be as precise.
    log_evidence : float
        Log of the prior mean of the likelihood.
    """

    parameters: Arrays
    weights: np.ndarray
    effective_size: float
    log_evidence: float

    def draws(self, n: int, seed: int) -> Arrays:
        """Equally weighted draws (n, *event), by resampling."""
        generator = np.random.default_rng(seeds.entropy(seed, "reference", 1))
        rows = generator.choice(len(self.weights), size=n, p=self.weights)
        return {name: value[rows] for name, value in self.parameters.items()}


def importance(
    simulator: Simulator, data: Mapping[str, Any], *, draws: int = _DRAWS, seed: int = 0
) -> ImportancePosterior:
    """Weigh prior draws by their likelihood.

    Parameters
    ----------
    simulator : Simulator with a ``log_likelihood``
    data : dict of name to array, one observation
    draws : int
        Prior draws. Works for few parameters; look at ``effective_size``.
    seed : int

    Returns
    -------
    ImportancePosterior
    """
    if simulator.log_likelihood is None:
        raise InputError(
            f"Simulator {simulator.name!r}",
            expected="a likelihood, to weigh prior draws with",
            got="log_likelihood=None",
            do="declare @bi.simulator(log_likelihood=...), or compare by simulation with bi.diagnose",
        )
    checked = check_observations(simulator, data)
    observation = {name: value[0] for name, value in checked.arrays.items()}
    prior_seed = seeds.tensor_seed(seed, "reference")
    sample = tf.function(simulator.prior.sample, autograph=False)
    kept: list[tuple[Arrays, np.ndarray]] = []
    highest, log_weights_of_all = -np.inf, []
    for number, start in enumerate(range(0, draws, _CHUNK)):
        size = tf.constant(min(_CHUNK, draws - start))
        parameters = {name: v.numpy() for name, v in sample(size, seeds.fold_in(prior_seed, number)).items()}
        log_weights = np.asarray(simulator.log_likelihood(parameters, observation), np.float64)
        log_weights = np.where(np.isfinite(log_weights), log_weights, -np.inf)
        log_weights_of_all.append(logsumexp(log_weights))
        highest = max(highest, float(log_weights.max()))
        heavy = log_weights > highest + _LEAST_LOG_WEIGHT
        kept.append(({name: value[heavy] for name, value in parameters.items()}, log_weights[heavy]))
    log_weights = np.concatenate([part[1] for part in kept])
    weights = np.exp(log_weights - logsumexp(log_weights))
    return ImportancePosterior(
        {name: np.concatenate([part[0][name] for part in kept]) for name in simulator.prior.names},
        weights / weights.sum(),
        float(1.0 / np.sum(weights**2)),
        float(logsumexp(log_weights_of_all) - np.log(draws)),
    )


def exact_draws(simulator: Simulator, data: Mapping[str, Any], *, draws: int = 20_000, seed: int = 0) -> Arrays | None:
    """Draws (draws, *event) from the exact posterior of one observation, or None where nothing exact is known.

    Taken from the simulator's own ``exact``, else by importance sampling if it has a likelihood. Where that collapses
    onto a few draws, as with many parameters, there is a warning and no result.
    """
    if simulator.exact is not None:
        return simulator.exact(data, draws, seed)
    if simulator.log_likelihood is not None:
        # A tenth of the draws shows whether all would do.
        if importance(simulator, data, draws=_DRAWS // 10, seed=seed).effective_size >= _LEAST_EFFECTIVE_SIZE / 10:
            return importance(simulator, data, draws=_DRAWS, seed=seed).draws(draws, seed)
        warnings.warn(
            f"No exact posterior of {simulator.name!r}: of {_DRAWS:,} draws from the prior, weighed by the likelihood, "
            f"fewer than {_LEAST_EFFECTIVE_SIZE} would count. bi.reference.tempered_smc takes longer, and gets there.",
            stacklevel=2,
        )
    return None
