"""Evidence around one observation: draws from its posterior, and data simulated from them."""

import math
from collections.abc import Mapping
from functools import cache

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.compilation import map_tensors
from bayesinn.diagnosis.evidence import MissingEvidence, Observation
from bayesinn.diagnostics.arrays import Arrays
from bayesinn.diagnostics.predictive_statistics import default_statistics
from bayesinn.posterior.draws import finite_predictions
from bayesinn.posterior.given import Given
from bayesinn.posterior.inference_data import mask_padding, predict
from bayesinn.posterior.posterior import Posterior
from bayesinn.posterior.typicality import Typicality
from bayesinn.posterior.unusual import explain_one
from bayesinn.simulation.finite import finite_rows
from bayesinn.simulation.simulations import flatten_draws, take
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import Observations, refuse_batch

# Predictive draws: enough to flag one of 40 statistics or more at the level, as long as they fit
# into memory.
_STATISTICS = 40
_FEWEST_PREDICTIVE = 8_000
_MOST_PREDICTIVE = 100_000
_DRAWS_COMPARED = 1_000
# Where densities are integrals: draws of each data set, the fewest of them if there are many data
# sets, and evaluations of the network in all, some minutes. Ranks among few draws are as exact;
# weights of proposals need more of them.
_DRAWS_INTEGRATED = 50
_FEWEST_INTEGRATED = 10
_MOST_EVALUATIONS = 10_000_000


def require_density(posterior: Posterior) -> None:
    """Raise where a posterior has no log densities, or only at a cost."""
    if posterior.density != "exact":
        raise MissingEvidence("the posterior has no density, or a costly one")


def count_densities(
    given: Given, rows: int, draws: int, fewest: int = _FEWEST_INTEGRATED
) -> tuple[int, int]:
    """Return of how many data sets, and of how many draws of each, densities are evaluated.

    Of all, unless each density is an integral: then of fewer draws, but no less than ``fewest``,
    before fewer data sets.
    """
    if given.evaluations == 1:
        return rows, draws
    affordable = _MOST_EVALUATIONS // given.evaluations
    draws = min(draws, _DRAWS_INTEGRATED, max(fewest, affordable // rows))
    return min(rows, max(2, affordable // draws)), draws


def most_densities(given: Given, draws: int, fewest: int = _FEWEST_INTEGRATED) -> float:
    """Return of how many data sets at most densities of draws are evaluated, however many are."""
    if given.evaluations == 1:
        return math.inf
    return max(2, _MOST_EVALUATIONS // given.evaluations // min(draws, fewest))


def compare_members(given: Given, draws: int, seed: int) -> Arrays:
    """Return the disagreement of the members of an ensemble."""
    shares = given.disagreement(draws, seed)
    if shares is None:
        raise MissingEvidence
    return shares


def require_function(simulator: Simulator) -> None:
    """Raise where there is no forward model."""
    if not simulator.simulates:
        raise MissingEvidence("there is no function to simulate with")


def check_unbatched(posterior: Posterior, observed: Mapping[str, object]) -> Observations:
    """Return a checked observation without batch axis; others are refused."""
    observation = posterior.check_data(observed)
    refuse_batch(
        observation,
        "Observation to diagnose",
        "take one of them: {name: value[0] for name, value in data.items()}",
    )
    return observation


def observe(
    posterior: Posterior,
    observation: Observations,
    features: np.ndarray,
    draws: int,
    seed: int,
    level: float,
) -> Observation:
    """Return the evidence around one observation, with as many replicates as other features (n, c).

    ``draws`` is the number of posterior draws for each replicate. Both are fewer where densities
    are integrals.
    """
    simulator = posterior.simulator
    given = posterior.given(observation.arrays)
    known = mask_padding(simulator, observation.arrays, observation.arrays)
    seen = {name: known[name][0] for name in simulator.observable_shapes}

    def compare() -> Typicality:
        typical = given.typicality
        if typical is None:
            raise MissingEvidence("the posterior has no simulations of a training to compare with")
        row = typical.row(0)
        if not row.out_of_distribution:
            return row
        return row._replace(reason=explain_one(posterior, observation.row()))

    @cache
    def propose() -> Arrays:
        return given.sample(_count_predictive(seen, level), seed)

    def predict_data() -> Arrays:
        # An empty set, for example, has no observed values.
        if all(np.isnan(value).all() for value in seen.values()):
            raise MissingEvidence
        require_function(simulator)
        predicted = predict(simulator, observation, propose(), seed)
        first = map_tensors(lambda value: value[0], predicted)
        missing = simulator.missing is not None
        finite = finite_predictions(first, seen, simulator.on_nonfinite, missing)
        if finite is None:
            raise MissingEvidence(
                "data simulated from the posterior are not finite where the observation is"
            )
        return finite

    return Observation(
        features=features,
        own_features=given.features,
        observed=seen,
        draw_latent=given.latent_draws,
        from_latent=given.decode,
        typicality=compare,
        draws=lambda: {name: value[0] for name, value in propose().items()},
        predicted=predict_data,
        replicates=lambda: _replicate(
            posterior, observation, given, len(features), draws + 1, seed
        ),
        most_replicates=most_densities(given, draws + 1, _DRAWS_INTEGRATED),
        disagreement=lambda: compare_members(given, _DRAWS_COMPARED, seed),
    )


def _count_predictive(observed: Arrays, level: float) -> int:
    # Their number follows from shapes and from what is missing.
    found = [default_statistics(name, np.stack(3 * [value])) for name, value in observed.items()]
    statistics = max(_STATISTICS, sum(map(len, found)))
    count = math.ceil(round(2 * statistics / (1.0 - level), 6))
    return min(max(_FEWEST_PREDICTIVE, count), _MOST_PREDICTIVE)


def _replicate(
    posterior: Posterior,
    observation: Observations,
    given: Given,
    size: int,
    draws: int,
    seed: int,
) -> tuple[Arrays, np.ndarray]:
    """Simulate ``size`` data sets from an observation's posterior; see :class:`Observation`."""
    require_density(posterior)
    simulator = posterior.simulator
    require_function(simulator)
    size, draws = count_densities(given, size, draws, _DRAWS_INTEGRATED)
    proposed = given.sample(size * draws, seed, "replicates")
    # Draws may have an order, that of chains or members: truths must be any of them.
    order = seeds.generator(seed, "replicates").permutation(size * draws)
    values = {
        name: value[0, order].reshape(size, draws, *value.shape[2:])
        for name, value in proposed.items()
    }
    repeated = {name: np.repeat(value, size, axis=0) for name, value in observation.arrays.items()}
    context = {name: repeated[name] for name in simulator.context_names}
    first = {name: value[:, 0] for name, value in values.items()}
    replicated = simulator.simulate(first, seed, context or None)
    replicated = mask_padding(simulator, replicated, repeated)
    finite = np.all(list(finite_rows(replicated, context, simulator).values()), axis=0)
    if np.sum(finite) < 2:
        raise MissingEvidence
    data = take({**replicated, **context}, finite)
    values = take(values, finite)
    new = posterior.given(data)
    log_prior = new.prior_log_prob(flatten_draws(values)).reshape(-1, draws)
    # What the prior excludes weighs nothing, whatever its density.
    excluded = np.isneginf(log_prior)
    log_prob = new.log_prob(values)
    return values, np.where(excluded, -np.inf, log_prob - np.where(excluded, 0.0, log_prior))
