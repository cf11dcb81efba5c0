"""Run all checks on a trained posterior, or on arrays from any posterior; test many observations together."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.core.progress import Progress
from bayesinn.core.validation import check_flag, check_integer, check_type
from bayesinn.diagnostics import MisspecificationResult, misspecification as test
from bayesinn.diagnostics.arrays import check_level, paired
from bayesinn.diagnostics.tested import Tested
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.spaces.observations import check_observations
from bayesinn.workflow.check import GROUPS, Check
from bayesinn.workflow.checks import registered_checks
from bayesinn.workflow.diagnosis import Diagnosis
from bayesinn.workflow.evidence import Evidence
from bayesinn.workflow.finding import Finding
from bayesinn.workflow.gather import Quantity, gather, simulate


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

    The repr of the result is the verdict. Checks that need a density or latent codes are left out where the flow has
    none, and the verdict says so. Add checks of your own with :func:`bayesinn.register_check`.

    Parameters
    ----------
    posterior : AmortizedPosterior, trained
    simulations : int
        Number of simulated observations whose true parameters are known. As many again are simulated for the
        reference points of TARP, and once more around the observation.
    draws : int, number of posterior draws for each data set
    seed : int
    observed : dict of name to array
        One observation, without batch axis: is it like the simulations, L-C2ST, posterior SBC, posterior predictive
        checks. If left out, the one that ships with the simulator, if any.
    quantities : dict of name to function
        Test quantities for SBC: each takes parameters (m, *event) and one observation, and returns (m,). The
        simulator's log likelihood is added, if it has one.
    level : float
        Probability that a correct posterior passes each test; the higher, the more is simulated around the observation.
    progress : bool

    Examples
    --------
    >>> import bayesinn as bi
    >>> posterior = bi.AmortizedPosterior(bi.get("linear"), flow=bi.flows.coupling(blocks=2, hidden=(16,)))
    >>> _ = posterior.fit(steps=20, batch_size=64, seed=1, progress=False)
    >>> diagnosis = bi.diagnose(posterior, simulations=100, draws=50, seed=2, progress=False)
    >>> diagnosis.passed  # after 20 steps
    False
    """
    do = "train one with bi.AmortizedPosterior(simulator).fit(), or load one with bi.load(folder)"
    check_type("Argument 'posterior'", posterior, AmortizedPosterior, "a trained posterior", do)
    seed, level = seeds.check_seed(seed), check_level(level)
    simulations = check_integer("Argument 'simulations'", simulations, least=2)
    draws = check_integer("Argument 'draws'", draws, least=2)
    check_flag("Argument 'progress'", progress)
    do = "pass {'name': function of parameters and data}"
    check_type("Argument 'quantities'", quantities, (Mapping, type(None)), "a dict of functions", do)
    settings = {"simulator": posterior.simulator.name, "simulations": simulations, "draws": draws, "level": level}
    with Progress("diagnosing", shown=progress) as stages:
        evidence = gather(posterior, simulations, draws, seed, level, observed, quantities, stages.stage)
        diagnosis = diagnose_arrays(evidence, settings, stages.stage)
        stages.stage("done")
    return diagnosis


def diagnose_arrays(
    evidence: Evidence, settings: Mapping[str, Any] | None = None, stage: Callable[[str], None] = lambda text: None
) -> Diagnosis:
    """Run all checks that the arrays allow, whatever posterior they come from.

    ``settings`` are written into the report; ``stage`` is called with the group of checks that are run next.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> truth = generator.normal(size=300)
    >>> data = truth + generator.normal(size=300)
    >>> draws = data[:, None] / 2 + np.sqrt(0.5) * generator.normal(size=(300, 99))
    >>> diagnose_arrays(Evidence({"mean": truth}, {"mean": draws}, prior={"mean": truth})).passed
    True
    """
    pairs, checks = paired(evidence.truth, evidence.draws), registered_checks()
    left_out = {check: evidence.missing(check.needs) for check in checks}
    results: dict[Check, Any] = {}
    for group, title in GROUPS.items():
        stage(title.lower())
        results |= {check: check.run(evidence) for check in checks if check.group == group and not left_out[check]}
    results = {check: result for check, result in results.items() if result is not None}
    # Tests of one group share the probability to fail by chance.
    tests = Counter(check.group for check, result in results.items() if isinstance(result, Tested))
    findings = [
        Finding(check, result, check.judge(result, tests[check.group]), evidence.labels)
        for check, result in results.items()
    ]
    left_out = {check: reason for check, reason in left_out.items() if check not in results}
    size = pairs.draws.shape[:2]
    return Diagnosis(findings, left_out, pairs.columns, size, evidence.seed, evidence.level, settings or {})


def misspecification(
    posterior: AmortizedPosterior,
    data: Mapping[str, Any],
    *,
    simulations: int = 1_000,
    seed: int = 0,
    level: float = 0.99,
) -> MisspecificationResult:
    """Test whether a batch of observations comes from the simulator and its prior, by their summaries.

    The out-of-distribution flag judges one observation; a population may be wrong although each observation is
    possible. The data are compared with ``simulations`` fresh simulations, context included, which should be drawn as
    the simulator draws it. Well-specified data pass with probability ``level``. Power is highest with about as many
    summaries as parameters: the others dilute a difference in one of many. See
    :func:`bayesinn.diagnostics.misspecification`.

    Examples
    --------
    >>> import bayesinn as bi
    >>> linear = bi.get("linear")
    >>> posterior = bi.AmortizedPosterior(linear, flow=bi.flows.coupling(blocks=2, hidden=(16,)))
    >>> _ = posterior.fit(steps=20, batch_size=64, seed=1, progress=False)
    >>> own = linear.sample(20, seed=2)["y"]
    >>> [bi.misspecification(posterior, {"y": y}, seed=3).passed for y in (own, own + 5.0)]
    [True, False]
    """
    if not check_observations(posterior.simulator, data).batched:
        subject, expected = "Observations to test together", "a batch of them: arrays (n_obs, ...)"
        do = "look at the p-value of sample(...) or infer(...), which is for one; or add a first axis"
        raise InputError(subject, expected=expected, got="one observation", do=do)
    fresh = simulate(posterior.simulator, simulations, seed, "diagnosis")
    simulated = posterior.summarize({**fresh.observables, **fresh.context})
    return test(posterior.summarize(data), simulated, seed=seed, level=level)
