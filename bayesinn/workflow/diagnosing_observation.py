"""Diagnose a posterior around one observation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.compilation import map_tensors
from bayesinn.core.errors import InputError
from bayesinn.diagnostics.local import local_c2st
from bayesinn.diagnostics.observation import ObservationDiagnosis
from bayesinn.diagnostics.posterior_sbc import PosteriorSBCResult, posterior_sbc
from bayesinn.diagnostics.predictive import PredictiveResult, predictive_checks
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.posterior.draws import simulated
from bayesinn.simulation.finite import finite_rows
from bayesinn.spaces.observations import check_observations
from bayesinn.summaries import Condition

if TYPE_CHECKING:
    from bayesinn.simulation.simulations import Simulations
    from bayesinn.simulation.simulator import Arrays

# Enough for a p-value of 0.01 after correction for forty statistics.
_PREDICTIVE_DRAWS = 8_000
# Of L-C2ST, where the level needs no more.
_TRIALS = 200


def diagnose_observation(
    posterior: AmortizedPosterior,
    observed: Mapping[str, Any],
    fresh: Simulations,
    condition: Condition,
    latent: np.ndarray,
    *,
    draws: int,
    seed: int,
    level: float,
) -> ObservationDiagnosis:
    """Look at one observation; see :func:`bayesinn.diagnose`.

    Parameters
    ----------
    posterior : AmortizedPosterior, trained
    observed : dict of name to array, without batch axis
    fresh : Simulations, n of them
    condition, latent : arrays (n, c) and (n, d), of these simulations
    draws, seed, level
        As for :func:`bayesinn.diagnose`.

    Returns
    -------
    ObservationDiagnosis
    """
    observation = check_observations(posterior.simulator, observed)
    if observation.batched:
        raise InputError(
            "Observation to diagnose",
            expected="one observation, without batch axis",
            got=f"{observation.count} observations",
            do="take one of them: {name: value[0] for name, value in data.items()}",
        )
    evaluator = posterior.evaluator
    own_condition, inputs = evaluator.condition(observation.arrays)
    p_value, unusual = posterior.reference.compare(np.asarray(own_condition.flat()), inputs)

    def draw_latent(count: int, stream: int) -> np.ndarray:
        return evaluator.latent_draws(count, seeds.tensor_seed(stream, "latent"))

    # No p-value is below one over them.
    trials = max(_TRIALS, math.ceil(round(2.0 / (1.0 - level), 6)))
    local = local_c2st(
        latent,
        condition.features,
        own_condition.features,
        seed=seed,
        draw_latent=draw_latent,
        level=level,
        trials=trials,
    )
    repeated = map_tensors(lambda value: np.repeat(value, len(local.evaluation), axis=0), own_condition)
    return ObservationDiagnosis(
        p_value=float(p_value[0]),
        unusual=str(unusual[0]),
        local=local,
        local_draws=evaluator.decode(local.evaluation, repeated),
        posterior_sbc=_posterior_sbc(posterior, observation.arrays, own_condition, len(latent), draws, seed, level),
        predictive=_predictive(posterior, observed, seed, level),
    )


def _posterior_sbc(
    posterior: AmortizedPosterior,
    observation: Arrays,
    own_condition: Condition,
    size: int,
    draws: int,
    seed: int,
    level: float,
) -> PosteriorSBCResult | None:
    sampler, simulator = posterior.evaluator, posterior.simulator
    if not posterior.has_log_prob:
        return None
    proposed = sampler.sample(own_condition, size * (draws + 1), seeds.tensor_seed(seed, "replicates"))
    values = {name: value.reshape(size, draws + 1, *value.shape[2:]) for name, value in proposed.items()}
    truth = {name: value[:, 0] for name, value in values.items()}
    context = {name: np.repeat(observation[name], size, axis=0) for name in simulator.context_names}
    replicated = simulator.simulate(truth, seed, context or None)
    finite = np.all(list(finite_rows(replicated, context, simulator.lengths).values()), axis=0)
    if np.sum(finite) < 2:
        return None
    kept = {name: value[finite] for name, value in {**replicated, **context}.items()}
    values = {name: value[finite] for name, value in values.items()}
    new_condition, _ = sampler.condition(check_observations(simulator, kept).arrays)
    flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in values.items()}
    log_prior = sampler.prior_log_prob(flat).reshape(-1, draws + 1)
    log_weights = sampler.log_prob(values, new_condition) - log_prior
    return posterior_sbc(
        {name: value[:, 0] for name, value in values.items()},
        {name: value[:, 1:] for name, value in values.items()},
        log_weights[:, 0],
        log_weights[:, 1:],
        seed=seed,
        level=level,
    )


def _predictive(
    posterior: AmortizedPosterior, observed: Mapping[str, Any], seed: int, level: float
) -> PredictiveResult | None:
    tree = posterior.infer(observed, draws=_PREDICTIVE_DRAWS, seed=seed)
    predicted = {str(name): value.values[0] for name, value in tree["posterior_predictive"].data_vars.items()}
    seen = {str(name): value.values for name, value in tree["observed_data"].data_vars.items()}
    if all(np.isnan(value).all() for value in seen.values()):
        # An empty set, say.
        return None
    replicated = simulated(predicted, seen, posterior.simulator.on_nonfinite)
    return None if replicated is None else predictive_checks(replicated, seen, level=level)
