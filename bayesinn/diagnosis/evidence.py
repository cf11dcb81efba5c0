"""Evidence: what checks ask for, whatever posterior it comes from.

A part may be an array, or a function that computes it. The function is called when a check first
asks for the part; its result is kept, also that the part is missing.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from typing import Any, cast, overload

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.compilation import map_tensors
from bayesinn.core.errors import InputError, check_type
from bayesinn.core.labels import Labels, columns, split_events
from bayesinn.core.progress import Progress
from bayesinn.diagnostics.arrays import paired
from bayesinn.diagnostics.coverage import reference_points
from bayesinn.diagnostics.deviation import digits
from bayesinn.diagnostics.predictive import default_statistics
from bayesinn.posterior.answers import Given, finite_predictions, mask_padding, predict
from bayesinn.posterior.posterior import Posterior
from bayesinn.posterior.typicality import Typicality
from bayesinn.posterior.unusual import explain_one
from bayesinn.simulation import checks
from bayesinn.simulation.checks import finite_rows
from bayesinn.simulation.prior import Prior
from bayesinn.simulation.simulations import Arrays, Simulations, count_rows, flatten_draws, take
from bayesinn.simulation.simulator import Simulator, simulations_per_second
from bayesinn.spaces.observations import Observations, refuse_batch

Pair = tuple[np.ndarray, np.ndarray]


class MissingEvidence(Exception):
    """Raised if a check asks for a part that was not given.

    The check is then not run. The message says why; it is empty if the check does not apply.
    """


class Part[Value]:
    """A part of the evidence: a field of a dataclass, which takes a value or a function of nothing.

    ``reason`` says why checks that ask for a missing part are not run.
    """

    def __init__(self, reason: str = "") -> None:
        self.reason = reason

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, evidence: None, owner: type) -> None: ...
    @overload
    def __get__(self, evidence: object, owner: type) -> Value: ...
    def __get__(self, evidence: object, owner: type) -> Value | None:
        # The class has no value: the default of the dataclass.
        if evidence is None:
            return None
        value: Any = vars(evidence)[self.name]
        if callable(value):
            # Also that it is missing is remembered: it would be simulated again for each check.
            try:
                value = value()
            except MissingEvidence as missing:
                value = missing
            vars(evidence)[self.name] = value
        if value is None or isinstance(value, MissingEvidence):
            raise MissingEvidence(self.reason if value is None else str(value))
        return cast(Value, value)

    def __set__(self, evidence: object, value: Value | Callable[[], Value] | None) -> None:
        vars(evidence)[self.name] = value


def optional[Value](ask: Callable[[], Value]) -> Value | None:
    """Return a part that a check can do without; None where it is missing.

    >>> optional(lambda: Evidence({}, {}, {}).log_prob) is None
    True
    """
    try:
        return ask()
    except MissingEvidence:
        return None


@dataclass(frozen=True, eq=False, repr=False)
class Observation:
    """One observation, and the simulations from its posterior."""

    features: np.ndarray  #: (n, c), summaries of the n simulated data sets
    own_features: np.ndarray  #: (1, c), summaries of the observation
    observed: Arrays  #: (...), NaN for padding
    #: takes a count and a seed, returns latent draws (count, d)
    draw_latent: Callable[[int, int], np.ndarray]
    #: takes latent codes (m, d), returns parameters (m, *event)
    from_latent: Callable[[np.ndarray], Arrays]
    #: p-value of the observation among the training simulations
    typicality: Part[Typicality] = Part("the simulations of training are not known")
    draws: Part[Arrays] = Part()  #: (m, *event), from its posterior
    #: (m, ...), simulated from the posterior; missing if not finite, or if nothing was observed
    predicted: Part[Arrays] = Part()
    #: Draws (r, 1 + L, *event) from the posterior of the observation, and their weights (r, 1 + L):
    #: log posterior given a new data set minus log prior. The new data set of a row was simulated
    #: from its first draw.
    replicates: Part[tuple[Arrays, np.ndarray]] = Part()
    disagreement: Part[Arrays] = Part()  #: (1, *event), as of :class:`Evidence`
    most_replicates: float = math.inf  #: largest number r, whatever n is, of densities that cost


@dataclass(frozen=True, eq=False, repr=False)
class Evidence:
    """Parameters from the prior, posterior draws given each one's data, and further parts.

    A part that was left out raises :class:`MissingEvidence` when a check asks for it.
    """

    truth: Arrays  #: (n, *event)
    draws: Arrays  #: (n, L, *event)
    prior: Arrays  #: (m, *event)
    labels: Labels = field(default_factory=Labels)
    seed: int = 0
    level: float = 0.99  #: probability that a correct posterior passes a test
    data: Arrays = field(default_factory=dict)  #: (n, ...), observables and context
    #: (n,) and (m, K), log posterior density of all truths, and of the first K draws of the first m
    #: data sets
    log_prob: Part[Pair] = Part("no log densities were given")
    #: (n,) and (n, L), log prior density of truths and draws
    prior_log_prob: Part[Pair] = Part("no log densities of the prior were given")
    #: (m,) and (m, L), of the first m data sets, up to a constant for each
    log_likelihood: Part[Pair] = Part("no log likelihood is known")
    #: (n,), log density of the truths under a longer or larger fit
    other_log_prob: Part[np.ndarray] = Part(
        "no log likelihood is known, and no longer or larger fit was given to compare with"
    )
    #: (n, *event), points that depend on data, see :func:`bayesinn.diagnostics.coverage`
    references: Part[Arrays] = Part("no reference points were given")
    #: (n,) and (n, L), functions of parameters and data
    quantities: Part[Mapping[str, Pair]] = Part("no test quantities were given")
    #: (n, d) and (n, L, d), codes of the truths, and draws from the latent distribution
    latent: Part[Pair] = Part("no latent codes were given")
    observation: Part[Observation] = Part("no observation was given")
    #: (m, *event), share of variance between members of an ensemble, of the first m data sets
    disagreement: Part[Arrays] = Part()
    most_densities: float = math.inf  #: largest number m of ``log_prob``, of densities that cost

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the parameters, checked against truth and draws."""
        return paired(self.truth, self.draws).columns


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
        draws=lambda: {
            name: value[0] for name, value in simulator.prior.unwrapped(propose()).items()
        },
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
    values = simulator.prior.unwrapped(take(values, finite))
    new = posterior.given(data)
    log_prior = new.prior_log_prob(flatten_draws(values)).reshape(-1, draws)
    # What the prior excludes weighs nothing, whatever its density.
    excluded = np.isneginf(log_prior)
    log_prob = new.log_prob(values)
    return values, np.where(excluded, -np.inf, log_prob - np.where(excluded, 0.0, log_prior))


#: A function of parameters, a dict of name to array (m, *event), and of one observation; returns
#: (m,).
Quantity = Callable[[Mapping[str, np.ndarray], Mapping[str, np.ndarray]], Any]


def check_quantities(quantities: Mapping[str, Quantity] | None, prior: Prior) -> None:
    """Refuse what are no functions by name, and names of parameters or their columns."""
    do = "pass {'name': function of parameters and data}"
    subject = "Argument 'quantities'"
    check_type(subject, quantities, (Mapping, type(None)), "a dict of functions", do)
    if quantities is None:
        return
    for name, quantity in quantities.items():
        check_type(f"{subject}, each name", name, str, "a text", do)
        if not callable(quantity):
            raise InputError(
                f"test quantity {name!r}", expected="a function", got=repr(quantity), do=do
            )
    events = {name: np.empty(shape) for name, shape in prior.event_shapes.items()}
    refuse_names_of_parameters(quantities, columns(events, batch_ndim=0))


def refuse_names_of_parameters(names: Iterable[str], parameters: Collection[str]) -> None:
    """Refuse test quantities with the name of a column of parameters."""
    for name in names:
        if name in parameters:
            raise InputError(
                f"test quantity {name!r}",
                expected="a name that no parameter has",
                got=f"parameters {list(parameters)}",
                do="give it another name",
            )


def evaluate_finite(
    quantities: Mapping[str, Quantity], truth: Arrays, draws: Arrays, data: Arrays
) -> dict[str, Pair]:
    """Return each quantity of the truths (n,) and of the draws (n, L), all of them finite."""
    found = evaluate(quantities, truth, draws, data)
    for name, (of_truth, of_draws) in found.items():
        undefined = ~np.isfinite(of_truth) | ~np.isfinite(of_draws).all(axis=1)
        if undefined.any():
            raise MissingEvidence(
                f"test quantity {name!r} is NaN or infinite for {undefined.sum():,} of "
                f"{len(undefined):,} data sets"
            )
    return found


def evaluate(
    quantities: Mapping[str, Quantity], truth: Arrays, draws: Arrays, data: Arrays
) -> dict[str, Pair]:
    """Return each quantity of the truths (n,) and of the draws (n, L)."""
    # One call for each data set: the truth first, then its draws.
    both = {name: np.concatenate([truth[name][:, None], draws[name]], axis=1) for name in draws}
    count, size = next(iter(both.values())).shape[:2]
    result = {}
    for name, quantity in quantities.items():
        rows = np.empty((count, size))
        for index in range(count):
            # Copies: a quantity that changes what it gets must not change what the next one gets.
            parameters = {key: value[index].copy() for key, value in both.items()}
            observation = {key: np.array(value[index]) for key, value in data.items()}
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


_PRIOR_DRAWS = 5_000
# Many simulations are needed where single parameters are compared. These suffice for reference
# points, likelihoods, and around the observation, unless more were asked for.
_ENOUGH = 6_000
_DRAWS_OF_CLASSIFIER = 50
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

    # Truths are among the draws whose mean direction is the middle: any of these may be the truth.
    both = {name: np.concatenate([truth[name][:, None], values[name]], axis=1) for name in truth}
    both = simulator.prior.unwrapped(both)
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
        {name: value[:, 0] for name, value in both.items()},
        {name: value[:, 1:] for name, value in both.items()},
        map_tensors(np.asarray, prior_draws),
        labels=simulator.labels,
        seed=seed,
        level=level,
        data=data,
        log_prob=partial(_log_prob, stage, posterior, given, truth, values, data),
        prior_log_prob=partial(_prior_log_prob, given, math.log(share), truth, values),
        references=references,
        latent=partial(_encode, given, truth, values, seed),
        disagreement=lambda: compare_members(given, _DRAWS_OF_CLASSIFIER, seed),
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


# How many simulations a diagnosis makes by default.
#
# The default decides nearly all errors if the simulator is quick enough; it is smaller if not.

#: Numbers of simulations: what decides nearly all errors, and what tells large ones.
MOST = 10_000
FEWEST = 1_000
#: About how long a simulator in worker processes simulates for a diagnosis, if the number of
#: simulations is left out.
MINUTES = 5
# Simulations for predictive checks, besides those over the prior and around the observation.
_PREDICTIVE = 8_000


def affordable(simulator: Simulator, seed: int, observed: bool, progress: Progress) -> int:
    """Return the number of simulations, two digits of it, from the speed of the simulator.

    A TensorFlow simulator makes the most. ``observed`` says whether data sets are simulated around
    an observation, too.
    """
    if simulator.in_graph:
        return MOST
    per_second = simulations_per_second(simulator, seed)
    alike, others = (3, _PREDICTIVE) if observed else (2, 0)
    possible = max((60.0 * MINUTES * per_second - others) / alike, 1.0)
    unit = 10.0 ** max(np.floor(np.log10(possible)) - 1.0, 0.0)
    number = int(np.clip(possible // unit * unit, FEWEST, MOST))
    minutes = (alike * number + others) / per_second / 60.0
    speed = f"{digits(per_second)} a second"
    progress.stage(f"{number:,} simulated data sets, about {max(minutes, 1.0):.0f} min at {speed}")
    return number
