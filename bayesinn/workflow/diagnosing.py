"""Diagnose a trained posterior: simulate, sample, and hand arrays to the diagnostics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.core.labels import columns
from bayesinn.core.progress import Progress
from bayesinn.diagnostics import Diagnosis, diagnose_arrays
from bayesinn.diagnostics.reference_points import reference_points
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.simulation import checks
from bayesinn.spaces.observations import check_observations

if TYPE_CHECKING:
    from bayesinn.simulation.simulations import Simulations
    from bayesinn.simulation.simulator import Arrays, Simulator

#: A function of parameters, a dict of name to array (m, *event), and of one observation; returns (m,).
Quantity = Callable[[Mapping[str, np.ndarray], Mapping[str, np.ndarray]], Any]

_PRIOR_DRAWS = 5_000


def diagnose(
    posterior: AmortizedPosterior,
    *,
    simulations: int = 500,
    draws: int = 250,
    seed: int = 0,
    observed: Mapping[str, Any] | None = None,
    quantities: Mapping[str, Quantity] | None = None,
    level: float = 0.99,
    progress: bool = True,
) -> Diagnosis:
    """Check a posterior on fresh simulations from the prior, and around an observation.

    Parameters
    ----------
    posterior : AmortizedPosterior, trained
    simulations : int
        Number of simulated observations whose true parameters are known. As many again are simulated for the
        reference points of TARP, and once more around the observation.
    draws : int
        Posterior draws for each.
    seed : int
    observed : dict of name to array, one observation without batch axis
        Where to look closely: whether it is like the simulations, L-C2ST, posterior SBC, posterior predictive checks.
        If left out, the observation that ships with the simulator, if one does.
    quantities : dict of name to function, optional
        Test quantities for SBC: each takes parameters (m, *event) and one observation, and returns (m,). The
        simulator's log likelihood is one of them by itself, if it has one.
    level : float
        Probability that a right posterior passes each test.
    progress : bool

    Returns
    -------
    Diagnosis
        Its repr is the verdict.

    Examples
    --------
    >>> import bayesinn as bi
    >>> posterior = bi.AmortizedPosterior(bi.get("linear"), flow=bi.flows.coupling(blocks=2, hidden=(16,)))
    >>> _ = posterior.fit(steps=20, batch_size=64, seed=1, progress=False)
    >>> diagnosis = bi.diagnose(posterior, simulations=100, draws=50, seed=2, progress=False)
    >>> diagnosis.passed  # after 20 steps
    False
    """
    seeds.check_seed(seed)
    evaluator, simulator = posterior.evaluator, posterior.simulator
    if not posterior.has_latent:
        raise InputError(
            "Posterior to diagnose",
            expected="a conditional flow, whose latent codes are tested too",
            got=type(posterior).__name__,
            do="give its draws to bayesinn.diagnostics.sbc, coverage and tarp",
        )
    stages = Progress("diagnosing", shown=progress)
    stages.stage(f"simulating {2 * simulations:,} data sets")
    fresh, others = (_simulate(simulator, simulations, seed, stream) for stream in ("diagnosis", "estimates"))
    data = check_observations(simulator, {**fresh.observables, **fresh.context}).arrays
    other_data = check_observations(simulator, {**others.observables, **others.context}).arrays

    stages.stage("sampling their posteriors")
    sampler = evaluator
    condition, inputs = sampler.condition(data)
    values = sampler.sample(condition, draws, seeds.tensor_seed(seed, "draws"))
    log_prob, prior_log_prob = None, None
    if posterior.has_log_prob:
        truth_log_prob = sampler.log_prob({name: value[:, None] for name, value in fresh.parameters.items()}, condition)
        log_prob = truth_log_prob[:, 0], sampler.log_prob(values, condition)
        prior_log_prob = sampler.prior_log_prob(fresh.parameters)

    stages.stage("calibration")
    latent = sampler.encode(fresh.parameters, condition, seeds.tensor_seed(seed, "dequantise"))
    latent_draws = sampler.latent_draws(simulations * draws, seeds.tensor_seed(seed, "latent"))
    other_condition, other_inputs = sampler.condition(other_data)
    points = reference_points(
        _features(other_condition.features, other_inputs),
        np.stack(list(columns(others.parameters, 1).values()), axis=-1),
        _features(condition.features, inputs),
        seed=seed,
    )
    diagnosis = diagnose_arrays(
        fresh.parameters,
        values,
        {k: np.asarray(v) for k, v in simulator.prior.sample(_PRIOR_DRAWS, seeds.tensor_seed(seed, "prior")).items()},
        simulator.labels,
        {"simulator": simulator.name, "simulations": simulations, "draws": draws, "seed": seed, "level": level},
        seed,
        level=level,
        log_prob=log_prob,
        prior_log_prob=prior_log_prob,
        references=_events(points, fresh.parameters),
        quantities=_evaluate(_all_quantities(simulator, quantities), fresh, values),
        latent=(latent, latent_draws.reshape(simulations, draws, -1)),
    )
    observed = simulator.observed if observed is None else observed
    if observed is not None:
        from bayesinn.workflow.diagnosing_observation import diagnose_observation

        stages.stage("around the observation")
        found = diagnose_observation(posterior, observed, fresh, condition, latent, draws=draws, seed=seed, level=level)
        diagnosis = replace(diagnosis, observation=found)
    stages.stage("done")
    stages.close()
    return diagnosis


def _simulate(simulator: Simulator, size: int, seed: int, stream: str) -> Simulations:
    simulations = simulator.draw(size, seed, stream)
    checks.check_finite(simulator, simulations)
    return simulations


def _features(condition: np.ndarray, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """The data as a network gets them, and as it sees them: should it see nothing, the data are still there."""
    return np.concatenate([condition, *(value.reshape(len(condition), -1) for value in inputs.values())], axis=1)


def _events(values: np.ndarray, like: Arrays) -> Arrays:
    """Columns (n, k) back into a dict of name to array (n, *event)."""
    result, start = {}, 0
    for name, value in like.items():
        size = int(np.prod(value.shape[1:], dtype=int))
        result[name] = values[:, start : start + size].reshape(value.shape)
        start += size
    return result


def _all_quantities(simulator: Simulator, quantities: Mapping[str, Quantity] | None) -> dict[str, Quantity]:
    own: dict[str, Quantity] = {}
    if simulator.log_likelihood is not None:
        own["log likelihood"] = simulator.log_likelihood
    return own | dict(quantities or {})


def _evaluate(
    quantities: Mapping[str, Quantity], fresh: Simulations, draws: Arrays
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each quantity of truths (n,) and of draws (n, L)."""
    data = {**fresh.observables, **fresh.context}
    # The truth first, then its draws: one call for each data set.
    both = {name: np.concatenate([fresh.parameters[name][:, None], draws[name]], axis=1) for name in draws}
    result = {}
    for name, quantity in quantities.items():
        rows = []
        for index in range(len(fresh.parameters[next(iter(draws))])):
            parameters = {key: value[index] for key, value in both.items()}
            row = np.asarray(quantity(parameters, {key: value[index] for key, value in data.items()}), dtype=float)
            size = len(next(iter(parameters.values())))
            if row.shape != (size,):
                raise InputError(
                    f"test quantity {name!r}",
                    expected=f"one number for each of {size} sets of parameters: shape ({size},)",
                    got=f"shape {row.shape}",
                    do="compute on the first axis of the parameters; the data are one observation, without batch axis",
                )
            rows.append(row)
        table = np.stack(rows)
        # Draws that can't have made the data: the lowest rank is right, and ranks are all that counts.
        table[table == -np.inf] = np.finfo(float).min
        result[name] = (table[:, 0], table[:, 1:])
    return result
