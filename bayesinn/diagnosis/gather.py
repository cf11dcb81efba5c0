"""Gather the evidence of a posterior: simulate, sample, evaluate."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.compilation import map_tensors
from bayesinn.core.errors import InputError
from bayesinn.core.labels import columns
from bayesinn.diagnosis.evidence import Arrays, Evidence, Observation, Pair, TypicalityResult
from bayesinn.diagnostics.predictive_statistics import default_statistics
from bayesinn.diagnostics.tarp import reference_points
from bayesinn.posterior.draws import simulated
from bayesinn.posterior.given import Given
from bayesinn.posterior.inference_data import mask_padding, predict
from bayesinn.posterior.posterior import Posterior
from bayesinn.simulation import checks
from bayesinn.simulation.finite import finite_rows
from bayesinn.simulation.simulations import Simulations, take
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import Observations, check_observations

#: A function of parameters, a dict of name to array (m, *event), and of one observation; returns
#: (m,).
Quantity = Callable[[Mapping[str, np.ndarray], Mapping[str, np.ndarray]], Any]

_PRIOR_DRAWS = 5_000
# Many simulations are needed where single parameters are compared. These suffice for reference
# points, likelihoods, and around the observation, unless more were asked for.
_ENOUGH = 6_000
# Predictive draws: enough to flag one of 40 statistics or more at the level, as long as they fit
# into memory.
_STATISTICS = 40
_FEWEST_PREDICTIVE = 8_000
_MOST_PREDICTIVE = 100_000


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
) -> Evidence:
    """Return the evidence; see :func:`bayesinn.diagnose`.

    ``stage`` is called with the name of each step.
    """
    simulator = posterior.simulator
    observed = simulator.observed if observed is None else observed
    # before anything is simulated
    observation = None if observed is None else _one(simulator, observed)
    part = part_of(simulations)
    stage(f"simulating {simulations:,} data sets, and {part:,} to estimate reference points from")
    fresh = simulate(simulator, simulations, seed, "diagnosis")
    others = simulate(simulator, part, seed, "estimates")
    data, other_data = ({**drawn.observables, **drawn.context} for drawn in (fresh, others))

    stage("sampling their posteriors")
    given = posterior.given(data)
    values = given.sample(draws, seed)
    log_prob = prior_log_prob = latent = at = log_likelihood = other_log_prob = None
    if posterior.density == "exact":
        truth = {name: value[:, None] for name, value in fresh.parameters.items()}
        log_prob = given.log_prob(truth)[:, 0], given.log_prob(values)
        flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in values.items()}
        of_draws = given.prior_log_prob(flat).reshape(simulations, draws)
        prior_log_prob = given.prior_log_prob(fresh.parameters), of_draws
        if larger is not None:
            other_log_prob = larger.log_prob(fresh.parameters, data)
    if given.codes:
        drawn = given.latent_draws(simulations * draws, seed)
        latent = given.encode(fresh.parameters, seed), drawn.reshape(simulations, draws, -1)
    learnt = posterior.given(other_data).inputs
    known = np.stack(list(columns(others.parameters, 1).values()), axis=-1)
    points = reference_points(learnt, known, given.inputs, seed=seed)
    if observation is not None:
        stage("sampling around the observation")
        at = _around(posterior, observation, given.features[:part], draws, seed, level)
    if simulator.log_likelihood is not None:
        stage("evaluating the likelihood")
        first = (take(arrays, slice(part)) for arrays in (fresh.parameters, values, data))
        log_likelihood = _evaluate({"log likelihood": simulator.log_likelihood}, *first)[
            "log likelihood"
        ]
    absent = {
        "log_prob": "the posterior has no density, or a costly one",
        "latent": "the posterior has no latent codes",
    }
    if observation is not None:
        absent["typicality"] = "the posterior has no simulations of a training to compare with"
    return Evidence(
        fresh.parameters,
        values,
        map_tensors(
            np.asarray, simulator.prior.sample(_PRIOR_DRAWS, seeds.tensor_seed(seed, "prior"))
        ),
        simulator.labels,
        seed,
        level,
        data,
        log_prob=log_prob,
        prior_log_prob=prior_log_prob,
        log_likelihood=log_likelihood,
        other_log_prob=other_log_prob,
        references=_events(points, fresh.parameters),
        quantities=_evaluate(quantities or {}, fresh.parameters, values, data),
        latent=latent,
        observation=at,
        absent=absent,
    )


def _one(simulator: Simulator, observed: Mapping[str, Any]) -> Observations:
    """Return a checked observation; several are refused."""
    observation = check_observations(simulator, observed)
    if observation.batched:
        expected = "one observation, without batch axis"
        got = f"{observation.count} observations"
        do = "take one of them: {name: value[0] for name, value in data.items()}"
        raise InputError("Observation to diagnose", expected=expected, got=got, do=do)
    return observation


def _around(
    posterior: Posterior,
    observation: Observations,
    others: np.ndarray,
    draws: int,
    seed: int,
    level: float,
) -> Observation:
    """Gather evidence around one observation, with as many replicates as other features (n, c)."""
    simulator = posterior.simulator
    given = posterior.given(observation.arrays)
    typical = given.typicality
    known = mask_padding(simulator, observation.arrays, observation.arrays)
    seen = {name: known[name][0] for name in simulator.observable_shapes}
    predicted = None
    # Their number follows from shapes and from what is missing.
    found = [default_statistics(name, np.stack(3 * [value])) for name, value in seen.items()]
    statistics = max(_STATISTICS, sum(map(len, found)))
    count = min(
        max(_FEWEST_PREDICTIVE, math.ceil(round(2 * statistics / (1.0 - level), 6))),
        _MOST_PREDICTIVE,
    )
    proposed = given.sample(count, seed)
    # An empty set, for example, has no observed values.
    if not all(np.isnan(value).all() for value in seen.values()):
        replicated = map_tensors(
            lambda value: value[0], predict(simulator, observation, proposed, seed)
        )
        predicted = simulated(replicated, seen, simulator.on_nonfinite)
    return Observation(
        typicality=None
        if typical is None
        else TypicalityResult(float(typical.p_value[0]), str(typical.unusual[0]), typical.smallest),
        features=others,
        own_features=given.features,
        observed=seen,
        draws={name: value[0] for name, value in proposed.items()},
        predicted=predicted,
        replicates=_replicates(posterior, observation, given, len(others), draws, seed),
        draw_latent=given.latent_draws,
        from_latent=given.decode,
    )


def _replicates(
    posterior: Posterior,
    observation: Observations,
    given: Given,
    size: int,
    draws: int,
    seed: int,
) -> tuple[Arrays, np.ndarray] | None:
    """Simulate ``size`` data sets from an observation's posterior; see :class:`Observation`."""
    simulator = posterior.simulator
    if posterior.density != "exact":
        return None
    proposed = given.sample(size * (draws + 1), seed, "replicates")
    values = {
        name: value.reshape(size, draws + 1, *value.shape[2:]) for name, value in proposed.items()
    }
    repeated = {name: np.repeat(value, size, axis=0) for name, value in observation.arrays.items()}
    context = {name: repeated[name] for name in simulator.context_names}
    replicated = simulator.simulate(
        {name: value[:, 0] for name, value in values.items()}, seed, context or None
    )
    replicated = mask_padding(simulator, replicated, repeated)
    finite = np.all(list(finite_rows(replicated, context, simulator).values()), axis=0)
    if np.sum(finite) < 2:
        return None
    kept = take({**replicated, **context}, finite)
    values = take(values, finite)
    new = posterior.given(kept)
    flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in values.items()}
    log_prior = new.prior_log_prob(flat).reshape(-1, draws + 1)
    # What the prior excludes weighs nothing, whatever its density.
    excluded = np.isneginf(log_prior)
    log_prob = new.log_prob(values)
    return values, np.where(excluded, -np.inf, log_prob - np.where(excluded, 0.0, log_prior))


def part_of(simulations: int) -> int:
    """Return how many of the simulations are used where fewer suffice."""
    return max(min(simulations, _ENOUGH), simulations // 4)


def simulate(simulator: Simulator, size: int, seed: int, stream: str) -> Simulations:
    """Return simulations of one stream, all of them finite."""
    simulations = simulator.draw(size, seed, stream)
    checks.check_finite(simulator, simulations)
    return simulations


def _events(values: np.ndarray, like: Arrays) -> dict[str, np.ndarray]:
    """Return columns (n, k) as a dict of name to array (n, *event)."""
    ends = np.cumsum([int(np.prod(value.shape[1:], dtype=int)) for value in like.values()])[:-1]
    parts = np.split(values, ends, axis=1)
    return {
        name: part.reshape(value.shape)
        for (name, value), part in zip(like.items(), parts, strict=True)
    }


def _evaluate(
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
            parameters, observation = (
                {key: value[index] for key, value in part.items()} for part in (both, data)
            )
            row = np.asarray(quantity(parameters, observation), dtype=float)
            if row.shape != (size,):
                expected = f"one number for each of {size} sets of parameters: shape ({size},)"
                do = (
                    "compute on the first axis of the parameters; the data are one observation, "
                    "without batch axis"
                )
                raise InputError(
                    f"test quantity {name!r}", expected=expected, got=f"shape {row.shape}", do=do
                )
            rows[index] = row
        result[name] = rows[:, 0], rows[:, 1:]
    return result
