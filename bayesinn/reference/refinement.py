"""From an amortized posterior to the exact one, if there is a likelihood."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from bayesinn.core import seeds
from bayesinn.core.errors import InputError, check_draws, check_flag, warn
from bayesinn.core.weights import FEWEST_DRAWS, Weights
from bayesinn.posterior.answers import Given, inference_data
from bayesinn.posterior.posterior import Posterior, check_posterior
from bayesinn.reference.importance import ExactDensity, likelihood_of, warn_of_undefined
from bayesinn.reference.nuts import MOST_R_HAT, Convergence
from bayesinn.reference.smc import (
    MOST_ROUNDING,
    Schedule,
    SMCPosterior,
    StudentT,
    rounding,
    sample_by_stages,
    systematic,
)
from bayesinn.simulation.simulations import count_rows, join, take
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import check_observations

if TYPE_CHECKING:
    import xarray


#: Where nothing worked.
AMORTIZED = "amortized"

_CHAINS = 8
# Effective size of weights for each draw that is asked for: repeated draws are then few.
_SIZE_A_DRAW = 2.0
# Share of prior draws among those that are weighted: they may see what amortized draws miss.
_PRIOR_SHARE = 0.2
# Of each chain, whatever is asked for: R-hat of fewer draws says little.
_FEWEST_STEPS = 250
_MOST_DIVERGED = 0.02
_EVIDENCE_DRAWS = 4_000
# Of each of two runs, which must agree.
_PARTICLES = 2_000
# Particles forget where they started after thousands of moves, if ridges are curved.
_SCHEDULE = Schedule(_PARTICLES, moves=20, most_moves=240, final_moves=200, most_final_moves=4_800)
# The first run starts near amortized draws, the second from the prior: what it does not find there,
# it would not find elsewhere either. If they differ, the third starts near the one of the two that
# found more.
_NEAR, _FROM_PRIOR, _AGAIN = range(3)
# Particles at temperature one are draws before they move, and errors of resampling differ between
# two runs, so that R-hat sees them. Particles that remember more than this were hardly moved.
_MOST_CORRELATION = 0.5
# Standard errors by which two evidences may differ, and nats, as these errors are estimates.
_MOST_ERRORS = 3.0
_SLACK = 0.05


class Refined(NamedTuple):
    """Draws (draws, *event) of one observation, their log densities (draws,), and numbers.

    Densities are unnormalised.
    """

    parameters: Arrays
    log_density: np.ndarray
    method: str
    effective_size: float
    r_hat: float = np.nan
    log_evidence: float = np.nan
    log_evidence_error: float = np.nan


class Request(NamedTuple):
    """What is asked for: equally weighted draws, methods, most rounds of amortized draws."""

    draws: int
    methods: Sequence[str]
    most_rounds: int
    progress: bool


class Proposals(NamedTuple):
    """Draws (n, *event), log densities of the target (n,), and their ratios to what they are from.

    They are amortized draws, and then prior draws: ratios are those to the density of the mixture.
    """

    parameters: Arrays
    log_density: np.ndarray
    log_ratios: np.ndarray


class Refinement:
    """The search for exact draws of one observation.

    Amortized draws, (n, *event) with log densities (n,), come in rounds of equal size; the first
    one is an argument.

    Attributes
    ----------
    weights : Weights of all draws so far
    evaluations : int, of the likelihood, so far
    undefined : int, number of those in runs of SMC that gave NaN or inf and should not
    failures : list of str, why methods were given up
    doubts : list of str
        What keeps a search that starts from the prior from finding the draws that are returned:
        it may then miss others as well.
    """

    def __init__(
        self,
        posterior: Posterior,
        density: ExactDensity,
        data: Arrays,
        which: str,
        amortized: tuple[Arrays, np.ndarray],
        request: Request,
        seed: int,
    ) -> None:
        self.evaluations = 0
        self.undefined = 0
        self.failures: list[str] = []
        self.doubts: list[str] = []
        self._posterior = posterior
        self._density = density
        self._data = data
        self._which = which
        self._request = request
        self._seed = seed
        self._generator = seeds.generator(seed, "refine")
        self._runs: dict[int, SMCPosterior | None] = {}
        self._proposals = self._compare(*amortized, 0)
        if not np.isfinite(self._proposals.log_ratios).any():
            raise InputError(
                f"Log likelihood of {which}",
                expected="a finite number for some amortized draws, or draws of the prior",
                got=f"-inf for all {len(self._proposals.log_ratios):,}",
                do="check the units of the data, and that the likelihood is that of the "
                "simulator; if both are right, train longer",
            )
        self._size = len(amortized[1])
        self.weights = Weights.smooth(self._proposals.log_ratios)

    def run(self) -> Refined:
        """Try methods in turn; return what the first gives that works, else amortized draws."""
        methods = self._request.methods
        for method in methods:
            refined = METHODS[method](self)
            if refined is not None and self._is_precise(refined):
                return refined
        if "importance" in methods and self.weights.reliable:
            return self._weighted()
        rows = np.arange(self._request.draws)
        values = take(self._proposals.parameters, rows)
        log_density = self._proposals.log_density[rows]
        return Refined(values, log_density, AMORTIZED, self.weights.effective_size)

    def _evaluate(self, parameters: Arrays, *, far: bool = False) -> np.ndarray:
        values = self._density.log_density(parameters, self._data, self._which, far=far)
        self.evaluations += len(values)
        return values

    def _compare(self, amortized: Arrays, log_amortized: np.ndarray, number: int) -> Proposals:
        """Return amortized draws, and prior draws if there are weights, of a round."""
        density = self._density
        share = _PRIOR_SHARE if "importance" in self._request.methods else 0.0
        drawn = amortized
        log_density = self._evaluate(amortized)
        if share:
            count = round(share / (1.0 - share) * len(log_amortized))
            seed = seeds.tensor_seed(self._seed, "prior", number)
            from_prior = density.simulator.prior.sample(count, seed)
            more = {name: np.asarray(from_prior[name], v.dtype) for name, v in amortized.items()}
            log_density = np.concatenate([log_density, self._evaluate(more, far=True)])
            log_more = self._amortized().log_prob({name: v[None] for name, v in more.items()})[0]
            log_amortized = np.nan_to_num(np.concatenate([log_amortized, log_more]), nan=-np.inf)
            drawn = join([amortized, more])
            log_amortized = np.logaddexp(
                np.log1p(-share) + log_amortized, np.log(share) + density.log_prior(drawn)
            )
        with np.errstate(invalid="ignore"):
            ratios = log_density - log_amortized
        return Proposals(drawn, log_density, np.where(np.isfinite(ratios), ratios, -np.inf))

    def _amortized(self) -> Given:
        """Return the amortized posterior of the observation."""
        return self._posterior.given(check_observations(self._density.simulator, self._data))

    def _importance(self) -> Refined | None:
        """Return weighted draws, if the weights can be trusted and are worth enough draws."""
        draws = self._request.draws
        enough = max(_SIZE_A_DRAW * draws, FEWEST_DRAWS)
        for number in range(1, self._request.most_rounds):
            if not self.weights.trustworthy or self.weights.effective_size >= enough:
                break
            self._enlarge(number)
        weights = self.weights
        # Of few amortized draws, as the user may ask for, half are enough: some are repeated.
        enough = min(draws, len(weights.weights) / 2)
        if not weights.reliable or weights.effective_size < enough:
            size = weights.effective_size
            self.failures.append(f"k-hat {weights.k_hat:.2f}, effective size {size:.0f}")
            return None
        return self._weighted()

    def _enlarge(self, number: int) -> None:
        """Weight another round of draws."""
        posterior = self._amortized()
        drawn = posterior.sample(self._size, self._seed, f"refine {number}")
        more = self._compare(
            {name: value[0] for name, value in drawn.items()}, posterior.log_prob(drawn)[0], number
        )
        old = self._proposals
        self._proposals = Proposals(
            join([old.parameters, more.parameters]),
            np.concatenate([old.log_density, more.log_density]),
            np.concatenate([old.log_ratios, more.log_ratios]),
        )
        self.weights = Weights.smooth(self._proposals.log_ratios)

    def _weighted(self) -> Refined:
        """Return draws by their weights."""
        weights = self.weights
        rows = systematic(weights.weights, self._generator.uniform(), self._request.draws)
        rows = self._generator.permutation(rows)
        return Refined(
            take(self._proposals.parameters, rows),
            self._proposals.log_density[rows],
            "importance",
            weights.effective_size,
            log_evidence=weights.log_evidence,
            log_evidence_error=weights.log_evidence_error,
        )

    def _nuts(self) -> Refined | None:
        """Return draws of chains that start at particles of SMC, if they agree."""
        density = self._density
        if density.obstacle:
            self.failures.append(f"NUTS: {density.obstacle}")
            return None
        searches = self._run(_NEAR), self._run_from_prior()
        runs = [run for run in searches if run is not None]
        if not runs:
            return None
        parts = [run.draws(_CHAINS // len(runs), self._seed) for run in runs]
        draws = self._request.draws
        steps = max(-(-draws // _CHAINS), _FEWEST_STEPS)
        start = density.vectors(join(parts))
        data = {name: value[None] for name, value in density.tensors(self._data).items()}
        chains = density.sampler.run(start[None], data, draws=steps, seed=self._seed)
        self.evaluations += int(chains.evaluations.sum())
        vectors = chains.vectors.reshape(-1, chains.vectors.shape[-1])
        values = density.parameters(vectors)
        size, r_hat = self._agreement("NUTS", values, _CHAINS)
        diverged = float(chains.diverged.mean())
        if diverged > _MOST_DIVERGED:
            self.failures.append(f"NUTS: {100 * diverged:.0f} % of steps diverged")
            return None
        if not size:
            return None
        searched = self._run_from_prior()
        agrees = 0.0
        if searched is not None:
            rows = self._generator.choice(count_rows(searched.parameters), len(vectors))
            both = join([values, take(searched.parameters, rows)])
            agrees, _ = self._agreement("NUTS and particles from the prior", both, 2 * _CHAINS)
        if not agrees:
            self.doubts.append(self.failures[-1])
        kept = take(values, self._generator.permutation(len(vectors))[:draws])
        evidence, error = self._evidence(vectors)
        return Refined(kept, self._evaluate(kept), "nuts", size, r_hat, evidence, error)

    def _smc(self) -> Refined | None:
        """Return draws of two runs that agree; say if the prior alone does not lead there."""
        near = self._run(_NEAR)
        if near is None:
            return None
        searched = self._run_from_prior()
        if searched is not None:
            joined = self._joined([near, searched])
            if joined is not None:
                return joined
            if searched.log_evidence > near.log_evidence:
                # Amortized draws miss a part. The start that both runs make covers it.
                again = self._run(_AGAIN, join([near.parameters, searched.parameters]))
                return None if again is None else self._joined([again, searched])
        doubt = self.failures[-1]
        again = self._run(_AGAIN)
        joined = None if again is None else self._joined([near, again])
        if joined is not None:
            self.doubts.append(doubt)
        return joined

    def _run(self, number: int, start: Arrays | None = None) -> SMCPosterior | None:
        """Return a run of SMC, made once; None if it can't be made."""
        if number not in self._runs:
            density = self._density
            request = self._request
            self._runs[number] = None
            try:
                run = sample_by_stages(
                    density.simulator,
                    self._data,
                    start or self._posterior,
                    _SCHEDULE._replace(particles=max(_PARTICLES, 2 * -(-request.draws // 4))),
                    seeds.integer_seed(self._seed, "refine", number),
                    density.log_likelihood,
                    "auto",
                    request.progress,
                )
            except InputError as refusal:
                self.failures.append(f"SMC: {refusal}")
                return None
            self.evaluations += run.evaluations
            self.undefined += run.undefined
            self._runs[number] = run
        return self._runs[number]

    def _run_from_prior(self) -> SMCPosterior | None:
        """Return a run that starts wherever the prior has mass."""
        density = self._density
        drawn = density.simulator.prior.sample(_PARTICLES, seeds.tensor_seed(self._seed, "prior"))
        values = {name: np.asarray(value) for name, value in drawn.items()}
        # At the ends of a support, rounded draws may be infinite as vectors.
        usable = np.isfinite(density.vectors(values)).all(axis=1)
        return self._run(_FROM_PRIOR, take(values, usable))

    def _joined(self, runs: Sequence[SMCPosterior]) -> Refined | None:
        """Return draws of two runs of SMC, if they agree."""
        density = self._density
        values = join([run.parameters for run in runs])
        size, r_hat = self._agreement("SMC", values, len(runs))
        left = max(run.correlations[-1] for run in runs)
        if left > _MOST_CORRELATION:
            self.failures.append(f"SMC: particles are correlated with their start, {left:.2f}")
            return None
        if not size:
            return None
        evidences = np.array([run.log_evidence for run in runs])
        if density.simulator.on_nonfinite == "redraw":
            # Of the prior as it is declared, as weights give it.
            evidences += np.log([run.finite_share for run in runs])
        error = float(np.linalg.norm([run.log_evidence_error for run in runs]))
        apart = float(np.ptp(evidences))
        if apart > _MOST_ERRORS * error + _SLACK:
            self.failures.append(f"SMC: log evidences of {evidences[0]:.2f}, {evidences[1]:.2f}")
            return None
        kept = take(values, self._generator.permutation(count_rows(values))[: self._request.draws])
        evidence = float(logsumexp(evidences) - np.log(len(runs)))
        log_density = self._evaluate(kept)
        return Refined(kept, log_density, "smc", size, r_hat, evidence, max(error, apart) / 2.0)

    def _is_precise(self, refined: Refined) -> bool:
        """Return whether the single precision of chains and particles suffices; say if not."""
        step = rounding(refined.log_density)
        if step <= MOST_ROUNDING or refined.method == "importance":
            return True
        self.failures.append(
            f"{refined.method}: log densities of {refined.log_density.max():.1e} are rounded to "
            f"{step:.2g} in single precision; leave constants out of the likelihood"
        )
        return False

    def _agreement(self, name: str, values: Arrays, chains: int) -> tuple[float, float]:
        """Return the effective size and R-hat of so many chains, one after another (n, *event).

        The size is zero if they don't agree.
        """
        by_chain = {
            name: value.reshape(1, chains, -1, *value.shape[1:]) for name, value in values.items()
        }
        diverged = np.zeros(next(iter(by_chain.values())).shape[:3], bool)
        r_hat, size = Convergence.measure(by_chain, diverged).extreme()
        if r_hat <= MOST_R_HAT and size >= FEWEST_DRAWS:
            return size, r_hat
        self.failures.append(f"{name}: R-hat {r_hat:.3g}, {size:.0f} independent draws")
        return 0.0, r_hat

    def _evidence(self, vectors: np.ndarray) -> tuple[float, float]:
        """Return the log evidence and its error, by importance sampling from a Student t.

        It has the moments of exact draws (n, d). Both results are NaN if it is too far from the
        posterior.
        """
        density = self._density
        law = StudentT.fit(vectors)
        drawn = law.sample(_EVIDENCE_DRAWS, seeds.tensor_seed(self._seed, "evidence"))
        target = np.asarray(density.of_vectors(drawn, density.tensors(self._data)), np.float64)
        self.evaluations += _EVIDENCE_DRAWS
        weights = Weights.smooth(target - law.log_prob(drawn).numpy())
        if not weights.reliable:
            return np.nan, np.nan
        return weights.log_evidence, weights.log_evidence_error


METHODS: dict[str, Callable[[Refinement], Refined | None]] = {
    "importance": Refinement._importance,
    "smc": Refinement._smc,
    "nuts": Refinement._nuts,
}


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
    ...     bi.get_simulator("linear"), flow=bi.flows.coupling(blocks=2, hidden=(16,))
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
    check_flag("Argument 'predictive'", predictive)
    check_flag("Argument 'progress'", progress)
    answers = posterior.given(observations)
    started = time.monotonic()
    amortized = answers.sample(size, seed, "refine")
    log_amortized = answers.log_prob(amortized)
    shared = (time.monotonic() - started) / observations.count
    trial = {name: value[0, :_TRIAL_DRAWS] for name, value in amortized.items()}
    first = observations.row()
    while density.outdated(trial, first):
        _exact_density.cache_clear()
        density = _exact_density(simulator, function)
    before = int(density.target.undefined.numpy())
    request = Request(count, chosen, most_rounds, progress)
    results: list[Refined] = []
    searches: list[Refinement] = []
    seconds: list[float] = []
    inexact: list[str] = []
    doubtful: list[str] = []
    for row in range(observations.count):
        started = time.monotonic()
        which = f"observation {row}" if observations.batched else "the observation"
        start = {name: value[row] for name, value in amortized.items()}, log_amortized[row]
        own_seed = seeds.integer_seed(seed, "refine", row)
        search = Refinement(
            posterior, density, observations.row(row), which, start, request, own_seed
        )
        results.append(search.run())
        searches.append(search)
        seconds.append(shared + time.monotonic() - started)
        if results[-1].method == AMORTIZED:
            inexact.append(f"{which} ({'; '.join(search.failures)})")
        elif search.doubts:
            doubtful.append(f"{which} ({'; '.join(search.doubts)})")
    if inexact:
        warn(
            f"Draws stay amortized, and inexact, for {', '.join(inexact)}. Train longer, or pass "
            "more proposals.",
        )
    if doubtful:
        warn(
            f"A part of the posterior may be missing for {', '.join(doubtful)}: a search from the "
            "prior does not find what amortized draws lead to, so that it could not find more, "
            "either. Compare with bi.reference.tempered_smc and more particles.",
        )
    undefined = int(density.target.undefined.numpy()) - before
    warn_of_undefined(
        simulator.name,
        undefined + sum(search.undefined for search in searches),
        sum(search.evaluations for search in searches),
    )
    values = {
        name: np.stack([refined.parameters[name] for refined in results])
        for name in simulator.prior.names
    }
    log_density = np.stack([refined.log_density for refined in results])
    tree = inference_data(
        simulator,
        observations,
        values,
        log_density,
        answers.typicality,
        seed,
        predictive,
        progress,
    )
    tree["refinement"] = _statistics(results, searches, seconds, observations.batched)
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
    chosen = [methods] if isinstance(methods, str) else methods
    known = list(METHODS)
    if (
        not isinstance(chosen, Sequence)
        or not chosen
        or any(method not in known for method in chosen)
    ):
        raise InputError(
            "Argument 'methods'",
            expected=f"some of {known}",
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
    refinements: list[Refined], searches: list[Refinement], seconds: list[float], batched: bool
) -> xarray.DataTree:
    """Return numbers of each observation."""
    import xarray

    values: dict[str, list[Any]] = {
        name: [row._asdict()[name] for row in refinements] for name in Refined._fields[2:]
    }
    values["k_hat"] = [search.weights.k_hat for search in searches]
    values["evaluations"] = [search.evaluations for search in searches]
    values["seconds"] = seconds
    dims = ["observation"] if batched else []
    variables = {name: (dims, np.asarray(v if batched else v[0])) for name, v in values.items()}
    return xarray.DataTree(xarray.Dataset(variables))
