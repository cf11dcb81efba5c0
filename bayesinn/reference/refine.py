"""From an amortized posterior to the exact one, if there is a likelihood."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.core.memory import check_draws
from bayesinn.core.warning import warn
from bayesinn.posterior.inference_data import inference_data
from bayesinn.posterior.posterior import Posterior, check_posterior
from bayesinn.reference.exact_density import ExactDensity
from bayesinn.reference.importance import likelihood_of
from bayesinn.reference.refinement import AMORTIZED, METHODS, Refined, Refinement
from bayesinn.reference.smc_target import warn_of_undefined
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import check_observations

if TYPE_CHECKING:
    import xarray

_FEWEST_PROPOSALS = 4_000
_PROPOSALS_A_DRAW = 4
# Weighted in turn, each of as many proposals, until their weights are worth enough draws.
_MOST_ROUNDS = 32
# With fewer draws, no Pareto distribution can be fitted to a tail.
_LEAST_PROPOSALS = 100
_TRIAL_DRAWS = 64
_NEEDS = {
    "importance": "an amortized posterior with an exact density",
    "nuts": "continuous parameters and a likelihood of TensorFlow operations",
    "smc": "continuous parameters",
}


def refine(
    posterior: Posterior,
    data: Mapping[str, Any],
    *,
    log_likelihood: Callable[..., Any] | None = None,
    draws: int = 1_000,
    proposals: int | None = None,
    methods: Sequence[str] | None = None,
    seed: int = 0,
    predictive: bool = True,
    progress: bool = False,
) -> xarray.DataTree:
    """Draw from the exact posterior of each observation, starting from an amortized posterior.

    Three methods are tried for each observation:

    - "importance": amortized draws, and a fifth of prior draws, are weighted by prior, likelihood
      and the density of both, and the weights smoothed (Pareto-smoothed importance sampling). k-hat
      tells whether they can be trusted. If they can, but are worth fewer than two draws for each
      that is asked for, more are drawn. Flow matching and diffusion are left out: they draw by
      another solver than the one of their density.
    - "smc": else, a run of :func:`bayesinn.reference.tempered_smc` from amortized draws and one
      from the prior. If they find the same draws and evidence, these are exact. If they differ, a
      third one starts from what found more.
    - "nuts": if no two runs agree, chains of NUTS start at their particles.

    If no method works, weights that can be trusted are used even if they are worth fewer than
    ``draws``. Without such weights, draws stay amortized, with a warning. There is a warning, too,
    if particles from the prior don't find what amortized draws lead to: they would then not find
    what these miss, either. Weights are not compared with such a search: a narrow mode of many
    parameters without amortized draws, or draws of the prior, stays unseen, and k-hat can't tell.

    Parameters
    ----------
    posterior : Posterior with a density
    data : dict of name to array (n_obs, ...), observables and context
        Or one observation, without the first axis.
    log_likelihood : function ``(parameters, data)``
        Takes parameters (n, *event) and the data of one observation, and returns log densities (n,)
        of the data, constants included. TensorFlow operations are best: a function of arrays has no
        gradients, so that NUTS is left out. By default that of the simulator.
    draws : int, number of equally weighted draws; more than the effective size are repeated
    proposals : int
        Number of amortized draws, ``draws`` or more. By default four times ``draws``, at least
        4,000, and up to 32 times as many if their weights are worth too few draws.
    methods : sequence of "importance", "smc", "nuts"
        Methods to try, in this order; by default all that the model allows. Integer parameters
        allow only importance sampling.
    seed : int
    predictive : bool, whether to simulate data from each draw
    progress : bool, whether to show the progress of simulations and SMC

    Returns
    -------
    xarray.DataTree
        Groups of :meth:`bayesinn.Posterior.infer`, where ``lp`` is the log of prior times
        likelihood, and ``refinement`` with these variables for each observation:

        - ``method``: "importance", "smc", "nuts" or "amortized"
        - ``k_hat`` of the weights; they can be trusted up to 0.7
        - ``effective_size``: that of weights or of chains
        - ``r_hat`` of chains
        - ``log_evidence``: log of the prior mean of the likelihood; NaN if unknown
        - ``log_evidence_error``: its standard error; NaN if unknown
        - ``evaluations`` of the likelihood, and ``seconds``

    References
    ----------
    Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling, JMLR 25.

    Examples
    --------
    >>> import bayesinn as bi
    >>> import tensorflow_probability as tfp
    >>> def log_likelihood(parameters, data):
    ...     mean = parameters["x1"] + parameters["x2"]
    ...     return tfp.distributions.Normal(mean, 0.5).log_prob(data["y"])
    >>> posterior = bi.AmortizedPosterior(
    ...     bi.get("linear"), flow=bi.flows.coupling(blocks=2, hidden=(16,))
    ... )
    >>> _ = posterior.fit(steps=100, batch_size=128, seed=1, progress=False)
    >>> tree = refine(posterior, {"y": 2.25}, log_likelihood=log_likelihood, seed=2)
    >>> tree["refinement"]["method"].item()
    'importance'
    >>> abs(tree["posterior"]["x1"].mean().item() - 1.0) < 0.15
    True
    """
    check_posterior("Argument 'posterior'", posterior)
    if posterior.density is None:
        raise InputError(
            f"Refining {posterior!r}",
            expected="a posterior with a density, by which draws are weighted",
            got="one without",
            do="use a flow with a density, or bi.reference.tempered_smc(start=posterior)",
        )
    simulator = posterior.simulator
    observations = check_observations(simulator, data)
    shapes = simulator.prior.event_shapes
    count = check_draws(draws, shapes, observations.count)
    size = max(_FEWEST_PROPOSALS, _PROPOSALS_A_DRAW * count)
    most_rounds = _MOST_ROUNDS
    if proposals is not None:
        most_rounds = 1
        least = max(_LEAST_PROPOSALS, count)
        subject = "Argument 'proposals'"
        size = check_draws(proposals, shapes, observations.count, least=least, subject=subject)
    function = likelihood_of(simulator, log_likelihood)
    density = _exact_density(simulator, function)
    chosen = check_methods(density, posterior.density, methods)
    given = posterior.given(observations)
    started = time.monotonic()
    amortized = given.sample(size, seed, "refine")
    log_amortized = given.log_prob(amortized)
    shared = (time.monotonic() - started) / observations.count
    trial = {name: value[0, :_TRIAL_DRAWS] for name, value in amortized.items()}
    first = observations.row()
    while density.outdated(trial, first):
        _exact_density.cache_clear()
        density = _exact_density(simulator, function)
    doubts = []
    found: list[Refined] = []
    searches: list[Refinement] = []
    seconds: list[float] = []
    notes = []
    for row in range(observations.count):
        started = time.monotonic()
        which = f"observation {row}" if observations.batched else "the observation"
        one = observations.row(row)
        start = {name: value[row] for name, value in amortized.items()}
        refinement = Refinement(posterior, density, one, which, progress, most_rounds)
        own = seeds.integer_seed(seed, "refine", row)
        refined = refinement.run(start, log_amortized[row], chosen, count, own)
        if refined.method == AMORTIZED:
            notes.append(f"{which} ({'; '.join(refinement.failures)})")
        elif refinement.doubts:
            doubts.append(f"{which} ({'; '.join(refinement.doubts)})")
        found.append(refined)
        searches.append(refinement)
        seconds.append(shared + time.monotonic() - started)
    if notes:
        warn(
            f"Draws stay amortized, and inexact, for {', '.join(notes)}. Train longer, or pass "
            "more proposals.",
        )
    if doubts:
        warn(
            f"A part of the posterior may be missing for {', '.join(doubts)}: a search from the "
            "prior does not find what amortized draws lead to, so that it could not find more, "
            "either. Compare with bi.reference.tempered_smc and more particles.",
        )
    warn_of_undefined(
        simulator.name,
        sum(search.undefined for search in searches),
        sum(search.evaluations for search in searches),
    )
    values = {
        name: np.stack([refined.parameters[name] for refined in found])
        for name in simulator.prior.names
    }
    log_density = np.stack([refined.log_density for refined in found])
    tree = inference_data(
        simulator,
        observations,
        values,
        log_density,
        given.typicality,
        seed,
        predictive,
        progress,
    )
    tree["refinement"] = _statistics(found, searches, seconds, observations.batched)
    return tree


def check_methods(
    density: ExactDensity, amortized: str, methods: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the methods to try, by default all possible ones; refuse impossible ones.

    ``amortized`` is the kind of density of the amortized posterior.
    """
    name = density.simulator.name
    obstacles = {"importance": "", "nuts": "", "smc": ""}
    if amortized != "exact":
        # Weights would turn draws of one solver into draws of another.
        obstacles["importance"] = "a flow whose draws and densities are solved apart"
    if not density.in_graph:
        obstacles["nuts"] = "a likelihood that is a function of arrays, without gradients"
    if density.space.discrete:
        integers = f"parameters that are integers: {list(density.space.discrete)}"
        obstacles.update(nuts=integers, smc=integers)
    if all(obstacles.values()):
        raise InputError(
            f"Refining a posterior of {name!r}",
            expected="a flow with an exact density, or continuous parameters",
            got=f"{obstacles['importance']}, and {obstacles['smc']}",
            do="train the default flow",
        )
    if methods is None:
        return tuple(method for method in METHODS if not obstacles[method])
    chosen = (methods,) if isinstance(methods, str) else methods
    listed = isinstance(chosen, Sequence) and all(isinstance(name, str) for name in chosen)
    if not listed or not chosen or not set(chosen) <= set(METHODS):
        raise InputError(
            "Argument 'methods'",
            expected=f"some of {list(METHODS)}",
            got=repr(methods),
            do="leave it out, to try what is possible",
        )
    for method in chosen:
        if obstacles[method]:
            raise InputError(
                f"Method {method!r} for {name!r}",
                expected=_NEEDS[method],
                got=obstacles[method],
                do="leave methods out, to try what is possible",
            )
    return tuple(chosen)


@functools.lru_cache(maxsize=8)
def _exact_density(simulator: Simulator, log_likelihood: Callable[..., Any]) -> ExactDensity:
    """Return a density whose compiled functions serve all data and all calls.

    It is replaced when the likelihood changes (``ExactDensity.outdated``).
    """
    return ExactDensity(simulator, log_likelihood)


def _statistics(
    found: list[Refined], searches: list[Refinement], seconds: list[float], batched: bool
) -> xarray.DataTree:
    """Return numbers of each observation."""
    import xarray

    values: dict[str, list[Any]] = {
        name: [row._asdict()[name] for row in found] for name in Refined._fields[2:]
    }
    values["k_hat"] = [search.weights.k_hat for search in searches]
    values["evaluations"] = [search.evaluations for search in searches]
    values["seconds"] = seconds
    dims = ["observation"] if batched else []
    variables = {name: (dims, np.asarray(v if batched else v[0])) for name, v in values.items()}
    return xarray.DataTree(xarray.Dataset(variables))
