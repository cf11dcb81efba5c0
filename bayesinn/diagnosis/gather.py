"""Gather the evidence of a posterior: simulate, sample, evaluate."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.compilation import map_tensors
from bayesinn.core.labels import columns, split_events
from bayesinn.diagnosis.around import (
    check_unbatched,
    compare_members,
    count_densities,
    most_densities,
    observe,
    require_density,
)
from bayesinn.diagnosis.evidence import Evidence, MissingEvidence, Observation, Pair
from bayesinn.diagnosis.quantities import Quantity, evaluate, evaluate_finite
from bayesinn.diagnostics.tarp import reference_points
from bayesinn.posterior.given import Given
from bayesinn.posterior.posterior import Posterior
from bayesinn.simulation import checks
from bayesinn.simulation.simulations import Arrays, Simulations, count_rows, flatten_draws, take
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import Observations

_PRIOR_DRAWS = 5_000
# Many simulations are needed where single parameters are compared. These suffice for reference
# points, likelihoods, and around the observation, unless more were asked for.
_ENOUGH = 6_000
_DRAWS_COMPARED = 50
# Of densities that are integrals, each with a line of progress.
_PARTS = 10


def gather(
    posterior: Posterior,
    simulations: int,
    draws: int,
    seed: int,
    level: float,
    observed: Mapping[str, Any] | None,
    quantities: Mapping[str, Quantity] | None,
    larger: Posterior | None,
    stage: Callable[[str], None],
    held_out: Simulations | None = None,
) -> Evidence:
    """Simulate, sample, and return the evidence; its further parts are computed when asked for.

    See :func:`bayesinn.diagnose`. ``stage`` is called with the name of each step; simulations that
    were ``held_out`` take the place of fresh ones.
    """
    simulator = posterior.simulator
    likelihood = simulator.log_likelihood
    observed = simulator.observed if observed is None else observed
    # before anything is simulated
    observation = None if observed is None else check_unbatched(posterior, observed)
    if held_out is None:
        stage(f"simulating {simulations:,} data sets")
    fresh = held_out or simulate(simulator, simulations, seed, "diagnosis")
    truth = fresh.parameters
    data = fresh.data
    stage("sampling their posteriors")
    given = posterior.given(data)
    values = given.sample(draws, seed)
    part = part_of(simulations)
    first = [take(arrays, slice(part)) for arrays in (truth, values, data)]
    references = (
        partial(_estimate_references, posterior, given, part, seed, stage)
        if held_out is None
        else partial(_cross_fit_references, given, truth, seed)
    )
    redraws = simulator.on_nonfinite == "redraw"
    prior_draws = simulator.prior.sample(_PRIOR_DRAWS, seeds.tensor_seed(seed, "prior"))
    share = 1.0
    if redraws:
        # The prior is then that of parameters that don't fail, of which the truths are draws.
        prior_draws = truth
        share = simulations / (simulations + int(fresh.failed))

    def gather_around(observation: Observations) -> Observation:
        stage("sampling around the observation")
        return observe(posterior, observation, given.features[:part], draws, seed, level)

    # Checks that ask for a part that is not there are not run.
    parts: dict[str, Any] = {}
    if likelihood is not None:
        parts["log_likelihood"] = partial(_log_likelihood, stage, likelihood, redraws, *first)
    if larger is not None:
        parts["other_log_prob"] = lambda: _log_prob_of_one(larger.given(data), truth)
    if quantities:
        parts["quantities"] = partial(evaluate_finite, quantities, truth, values, data)
    if observation is not None:
        parts["observation"] = partial(gather_around, observation)
    return Evidence(
        truth,
        values,
        map_tensors(np.asarray, prior_draws),
        labels=simulator.labels,
        seed=seed,
        level=level,
        data=data,
        log_prob=partial(_log_prob, stage, posterior, given, truth, values, data),
        prior_log_prob=partial(_prior_log_prob, given, math.log(share), truth, values),
        references=references,
        latent=partial(_encode, given, truth, values, seed),
        disagreement=lambda: compare_members(given, _DRAWS_COMPARED, seed),
        most_densities=most_densities(given, draws),
        **parts,
    )


def _log_prob(
    stage: Callable[[str], None],
    posterior: Posterior,
    given: Given,
    truth: Arrays,
    values: Arrays,
    data: Arrays,
) -> Pair:
    require_density(posterior)
    stage("evaluating densities")
    of_truth = _log_prob_of_one(given, truth)
    every, draws = next(iter(values.values())).shape[:2]
    rows, count = count_densities(given, every, draws)
    if given.evaluations == 1:
        return of_truth, given.log_prob(values)
    # Integrals take minutes: in parts, to say how far they have come.
    size = math.ceil(rows / _PARTS)
    parts = []
    for start in range(0, rows, size):
        stage(f"evaluating densities of draws: {start:,} of {rows:,} data sets")
        part = slice(start, min(start + size, rows))
        first = {name: value[part, :count] for name, value in values.items()}
        parts.append(posterior.given(take(data, part)).log_prob(first))
    return of_truth, np.concatenate(parts)


def _log_prob_of_one(given: Given, truth: Arrays) -> np.ndarray:
    """Return log densities (n,) of parameters (n, *event), one set for each data set."""
    return given.log_prob({name: value[:, None] for name, value in truth.items()})[:, 0]


def _prior_log_prob(given: Given, log_share: float, truth: Arrays, values: Arrays) -> Pair:
    """Return log densities of the prior without parameters that fail, of which a share is left."""
    of_draws = given.prior_log_prob(flatten_draws(values)) - log_share
    return given.prior_log_prob(truth) - log_share, of_draws.reshape(count_rows(truth), -1)


def _log_likelihood(
    stage: Callable[[str], None],
    function: Quantity,
    redraws: bool,
    truth: Arrays,
    values: Arrays,
    data: Arrays,
) -> Pair:
    stage("evaluating the likelihood")
    pair = evaluate({"log likelihood": function}, truth, values, data)["log likelihood"]
    if redraws:
        # Where simulations fail, NaN means that the parameters are impossible.
        pair = pair[0], np.where(np.isnan(pair[1]), -np.inf, pair[1])
    undefined = np.isnan(pair[0]) | np.isnan(pair[1]).any(axis=1)
    if undefined.any():
        raise MissingEvidence(
            f"the log likelihood is NaN for {undefined.sum():,} of {len(undefined):,} data sets"
        )
    return pair


def _estimate_references(
    posterior: Posterior, given: Given, size: int, seed: int, stage: Callable[[str], None]
) -> Arrays:
    """Return points that are estimated from other simulations."""
    stage(f"simulating {size:,} data sets to estimate reference points from")
    others = simulate(posterior.simulator, size, seed, "estimates")
    learnt = posterior.given(others.data).inputs
    known = np.stack(list(columns(others.parameters, 1).values()), axis=-1)
    points = reference_points(learnt, known, given.inputs, seed=seed)
    return split_events(
        points, {name: value.shape[1:] for name, value in others.parameters.items()}
    )


def _cross_fit_references(given: Given, truth: Arrays, seed: int) -> Arrays:
    """Return points of each half of the data sets that are estimated from the other half.

    No point then depends on a truth that it is compared with.
    """
    inputs = given.inputs
    known = np.stack(list(columns(truth, 1).values()), axis=-1)
    middle = len(known) // 2
    halves = slice(middle), slice(middle, None)
    points = [
        reference_points(inputs[other], known[other], inputs[own], seed=seed)
        for own, other in (halves, halves[::-1])
    ]
    return split_events(
        np.concatenate(points), {name: value.shape[1:] for name, value in truth.items()}
    )


def _encode(given: Given, truth: Arrays, values: Arrays, seed: int) -> Pair:
    if not given.codes:
        raise MissingEvidence("the posterior has no latent codes")
    drawn = given.latent_draws(count_rows(flatten_draws(values)), seed)
    return given.encode(truth, seed), drawn.reshape(count_rows(truth), -1, drawn.shape[-1])


def part_of(simulations: int) -> int:
    """Return how many of the simulations are used where fewer suffice."""
    return max(min(simulations, _ENOUGH), simulations // 4)


def simulate(simulator: Simulator, size: int, seed: int, stream: str) -> Simulations:
    """Return simulations of one stream, all of them finite."""
    simulations = simulator.draw(size, seed, stream)
    checks.check_finite(simulator, simulations)
    return simulations


def held_out_rows(simulator: Simulator, data: Mapping[str, Any]) -> Simulations:
    """Return arrays (n, ...) of parameters, context and observables, checked, as simulations."""
    rows = checks.check_simulations(simulator, data, "Data to diagnose on")
    parameters = simulator.prior.cast({name: rows[name] for name in simulator.prior.names})
    context = {name: rows[name] for name in simulator.context_names}
    return Simulations(
        parameters, context, {name: rows[name] for name in simulator.observable_shapes}, 0
    )
