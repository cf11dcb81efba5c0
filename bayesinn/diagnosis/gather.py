"""Gather the evidence of a posterior: simulate, sample, evaluate."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.compilation import map_tensors
from bayesinn.core.errors import InputError
from bayesinn.core.labels import columns, split_events
from bayesinn.diagnosis.around import (
    check_unbatched,
    compare_members,
    flatten,
    observe,
    require_density,
)
from bayesinn.diagnosis.evidence import Evidence, MissingEvidence, Observation, Pair
from bayesinn.diagnostics.arrays import Arrays
from bayesinn.diagnostics.tarp import reference_points
from bayesinn.posterior.posterior import Posterior
from bayesinn.simulation import checks
from bayesinn.simulation.simulations import Simulations, take
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import Observations

#: A function of parameters, a dict of name to array (m, *event), and of one observation; returns
#: (m,).
Quantity = Callable[[Mapping[str, np.ndarray], Mapping[str, np.ndarray]], Any]

_PRIOR_DRAWS = 5_000
# Many simulations are needed where single parameters are compared. These suffice for reference
# points, likelihoods, and around the observation, unless more were asked for.
_ENOUGH = 6_000
_DRAWS_COMPARED = 50


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
    data = {**fresh.observables, **fresh.context}
    stage("sampling their posteriors")
    given = posterior.given(data)
    values = given.sample(draws, seed)
    part = part_of(simulations)

    def compute_log_prob() -> Pair:
        require_density(posterior)
        one = {name: value[:, None] for name, value in truth.items()}
        return given.log_prob(one)[:, 0], given.log_prob(values)

    def compute_prior_log_prob() -> Pair:
        of_draws = given.prior_log_prob(flatten(values))
        return given.prior_log_prob(truth), of_draws.reshape(simulations, draws)

    def encode() -> Pair:
        if not given.codes:
            raise MissingEvidence("the posterior has no latent codes")
        drawn = given.latent_draws(simulations * draws, seed)
        return given.encode(truth, seed), drawn.reshape(simulations, draws, -1)

    def evaluate_likelihood(function: Quantity) -> Pair:
        stage("evaluating the likelihood")
        first = (take(arrays, slice(part)) for arrays in (truth, values, data))
        pair = evaluate({"log likelihood": function}, *first)["log likelihood"]
        undefined = np.isnan(pair[0]) | np.isnan(pair[1]).any(axis=1)
        if undefined.any():
            raise MissingEvidence(
                f"the log likelihood is NaN for {undefined.sum():,} of {len(undefined):,} data sets"
            )
        return pair

    def estimate() -> Arrays:
        shapes = {name: value.shape[1:] for name, value in truth.items()}
        if held_out is not None:
            return split_events(_cross_fit(given.inputs, truth, seed), shapes)
        stage(f"simulating {part:,} data sets to estimate reference points from")
        others = simulate(simulator, part, seed, "estimates")
        learnt = posterior.given({**others.observables, **others.context}).inputs
        known = np.stack(list(columns(others.parameters, 1).values()), axis=-1)
        return split_events(reference_points(learnt, known, given.inputs, seed=seed), shapes)

    def gather_around(observation: Observations) -> Observation:
        stage("sampling around the observation")
        return observe(posterior, observation, given.features[:part], draws, seed, level)

    prior_draws = simulator.prior.sample(_PRIOR_DRAWS, seeds.tensor_seed(seed, "prior"))
    return Evidence(
        truth,
        values,
        map_tensors(np.asarray, prior_draws),
        simulator.labels,
        seed,
        level,
        data,
        log_prob=compute_log_prob,
        prior_log_prob=compute_prior_log_prob,
        log_likelihood=None if likelihood is None else partial(evaluate_likelihood, likelihood),
        other_log_prob=None if larger is None else partial(larger.log_prob, truth, data),
        references=estimate,
        quantities=partial(evaluate, quantities, truth, values, data) if quantities else None,
        latent=encode,
        observation=None if observation is None else partial(gather_around, observation),
        disagreement=lambda: compare_members(given, _DRAWS_COMPARED, seed),
    )


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


def _cross_fit(inputs: np.ndarray, truth: Arrays, seed: int) -> np.ndarray:
    """Return points (n, k): those of each half of data sets are estimated from the other half.

    No point then depends on a truth that it is compared with.
    """
    known = np.stack(list(columns(truth, 1).values()), axis=-1)
    middle = len(known) // 2
    halves = slice(middle), slice(middle, None)
    points = [
        reference_points(inputs[other], known[other], inputs[own], seed=seed)
        for own, other in (halves, halves[::-1])
    ]
    return np.concatenate(points)


def evaluate(
    quantities: Mapping[str, Quantity], truth: Arrays, draws: Arrays, data: Mapping[str, np.ndarray]
) -> dict[str, Pair]:
    """Return each quantity of the truths (n,) and of the draws (n, L)."""
    # One call for each data set: the truth first, then its draws.
    both = {name: np.concatenate([truth[name][:, None], draws[name]], axis=1) for name in draws}
    count, size = next(iter(both.values())).shape[:2]
    result = {}
    for name, quantity in quantities.items():
        rows = np.empty((count, size))
        for index in range(count):
            parameters = {key: value[index] for key, value in both.items()}
            observation = {key: value[index] for key, value in data.items()}
            row = np.asarray(quantity(parameters, observation), dtype=float)
            if row.shape != (size,):
                raise InputError(
                    f"test quantity {name!r}",
                    expected=f"one number for each of {size} sets of parameters: shape ({size},)",
                    got=f"shape {row.shape}",
                    do="compute on the first axis of the parameters; the data are one observation, "
                    "without batch axis",
                )
            rows[index] = row
        result[name] = rows[:, 0], rows[:, 1:]
    return result
