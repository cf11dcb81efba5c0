"""Gather the evidence of a trained posterior: simulate, sample, evaluate."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bayesinn.bijections.condition import Condition
from bayesinn.core import seeds
from bayesinn.core.compilation import map_tensors
from bayesinn.core.errors import InputError
from bayesinn.core.labels import columns
from bayesinn.diagnostics.predictive_statistics import default_statistics
from bayesinn.diagnostics.tarp import reference_points
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.posterior.draws import simulated
from bayesinn.posterior.inference_data import mask_padding, predict
from bayesinn.simulation import checks
from bayesinn.simulation.finite import finite_rows
from bayesinn.simulation.simulations import Simulations, take
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import Observations, check_observations
from bayesinn.workflow.evidence import Arrays, Evidence, Observation, Pair, TypicalityResult

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
    posterior: AmortizedPosterior,
    simulations: int,
    draws: int,
    seed: int,
    level: float,
    observed: Mapping[str, Any] | None,
    quantities: Mapping[str, Quantity] | None,
    larger: AmortizedPosterior | None,
    stage: Callable[[str], None],
) -> Evidence:
    """Return the evidence; see :func:`bayesinn.diagnose`.

    ``stage`` is called with the name of each step.
    """
    posterior.require_draws()
    simulator = posterior.simulator
    evaluator = posterior.evaluator
    observed = simulator.observed if observed is None else observed
    # before anything is simulated
    observation = None if observed is None else _one(simulator, observed)
    part = part_of(simulations)
    stage(f"simulating {simulations:,} data sets, and {part:,} to estimate reference points from")
    fresh = simulate(simulator, simulations, seed, "diagnosis")
    others = simulate(simulator, part, seed, "estimates")
    data, other_data = ({**drawn.observables, **drawn.context} for drawn in (fresh, others))

    stage("sampling their posteriors")
    condition, inputs = evaluator.condition(check_observations(simulator, data).arrays)
    values = evaluator.sample(condition, draws, seeds.tensor_seed(seed, "draws"))
    log_prob = prior_log_prob = latent = at = log_likelihood = other_log_prob = None
    if evaluator.density == "exact":
        truth = {name: value[:, None] for name, value in fresh.parameters.items()}
        log_prob = evaluator.log_prob(truth, condition)[:, 0], evaluator.log_prob(values, condition)
        flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in values.items()}
        of_draws = evaluator.prior_log_prob(flat).reshape(simulations, draws)
        prior_log_prob = evaluator.prior_log_prob(fresh.parameters), of_draws
        if larger is not None:
            other_log_prob = larger.log_prob(fresh.parameters, data)
    if posterior.flow.codes:
        codes = evaluator.encode(fresh.parameters, condition, seeds.tensor_seed(seed, "dequantise"))
        drawn = evaluator.latent_draws(simulations * draws, seeds.tensor_seed(seed, "latent"))
        latent = codes, drawn.reshape(simulations, draws, -1)
    learnt = _inputs(*evaluator.condition(check_observations(simulator, other_data).arrays))
    known = np.stack(list(columns(others.parameters, 1).values()), axis=-1)
    points = reference_points(learnt, known, _inputs(condition, inputs), seed=seed)
    if observation is not None:
        stage("sampling around the observation")
        at = _around(posterior, observation, condition["features"][:part], draws, seed, level)
    if simulator.log_likelihood is not None:
        stage("evaluating the likelihood")
        first = (take(given, slice(part)) for given in (fresh.parameters, values, data))
        log_likelihood = _evaluate({"log likelihood": simulator.log_likelihood}, *first)[
            "log likelihood"
        ]
    reasons = {
        "exact": "the density of so many integers can't be computed",
        "costly": "the density of the flow is costly; call posterior.log_prob where it is worth it",
        None: "the flow has no density",
    }
    absent = {"log_prob": reasons[posterior.flow.density], "latent": "the flow has no latent codes"}
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
    posterior: AmortizedPosterior,
    observation: Observations,
    others: np.ndarray,
    draws: int,
    seed: int,
    level: float,
) -> Observation:
    """Gather evidence around one observation, with as many replicates as other features (n, c)."""
    simulator = posterior.simulator
    evaluator = posterior.evaluator
    typical = posterior.sample(
        {name: value[0] for name, value in observation.arrays.items()}, draws=1
    )
    condition, _ = evaluator.condition(observation.arrays)
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
    proposed = evaluator.sample(condition, count, seeds.tensor_seed(seed, "draws"))
    # An empty set, for example, has no observed values.
    if not all(np.isnan(value).all() for value in seen.values()):
        replicated = map_tensors(
            lambda value: value[0], predict(simulator, observation, proposed, seed)
        )
        predicted = simulated(replicated, seen, simulator.on_nonfinite)
    return Observation(
        typicality=TypicalityResult(
            float(typical.p_value), str(typical.unusual), posterior.reference.smallest
        ),
        features=others,
        own_features=condition["features"],
        observed=seen,
        draws={name: value[0] for name, value in proposed.items()},
        predicted=predicted,
        replicates=_replicates(posterior, observation, condition, len(others), draws, seed),
        draw_latent=lambda count, stream: evaluator.latent_draws(
            count, seeds.tensor_seed(stream, "latent")
        ),
        from_latent=lambda codes: evaluator.decode(
            codes, map_tensors(lambda value: np.repeat(value, len(codes), axis=0), condition)
        ),
    )


def _replicates(
    posterior: AmortizedPosterior,
    observation: Observations,
    condition: Condition,
    size: int,
    draws: int,
    seed: int,
) -> tuple[Arrays, np.ndarray] | None:
    """Simulate ``size`` data sets from an observation's posterior; see :class:`Observation`."""
    evaluator = posterior.evaluator
    simulator = posterior.simulator
    if evaluator.density != "exact":
        return None
    proposed = evaluator.sample(
        condition, size * (draws + 1), seeds.tensor_seed(seed, "replicates")
    )
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
    new_condition, _ = evaluator.condition(check_observations(simulator, kept).arrays)
    flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in values.items()}
    log_prior = evaluator.prior_log_prob(flat).reshape(-1, draws + 1)
    # What the prior excludes weighs nothing, whatever its density.
    excluded = np.isneginf(log_prior)
    log_prob = evaluator.log_prob(values, new_condition)
    return values, np.where(excluded, -np.inf, log_prob - np.where(excluded, 0.0, log_prior))


def part_of(simulations: int) -> int:
    """Return how many of the simulations are used where fewer suffice."""
    return max(min(simulations, _ENOUGH), simulations // 4)


def simulate(simulator: Simulator, size: int, seed: int, stream: str) -> Simulations:
    """Return simulations of one stream, all of them finite."""
    simulations = simulator.draw(size, seed, stream)
    checks.check_finite(simulator, simulations)
    return simulations


def _inputs(condition: Condition, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return summaries and inputs side by side, so the data are there if summaries ignore them."""
    rows = [value.reshape(len(value), -1) for value in inputs.values()]
    return np.concatenate([condition["features"], *rows], axis=1)


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
