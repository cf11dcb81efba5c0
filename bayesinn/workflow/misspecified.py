"""Test several observations together: do they look like the simulator's?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesinn.core.errors import InputError
from bayesinn.diagnostics import MisspecificationResult
from bayesinn.diagnostics import misspecification as test
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.spaces.observations import check_observations
from bayesinn.workflow.gather import simulate


def misspecification(
    posterior: AmortizedPosterior,
    data: Mapping[str, Any],
    *,
    simulations: int = 1_000,
    seed: int = 0,
    level: float = 0.99,
) -> MisspecificationResult:
    """Test whether a batch of observations comes from the simulator and its prior, by their summaries.

    The flag on every answer looks at one observation; a population of them may be off although each is possible. A
    difference in one number of a long summary vector is diluted by all the others: about as many numbers as there are
    parameters see most. Context is compared too: it should be drawn as the simulator draws it. ``simulations`` fresh
    ones are compared with; well-specified data pass with the probability ``level``. See
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
        raise InputError(
            "Observations to test together",
            expected="a batch of them: arrays (n_obs, ...)",
            got="one observation",
            do="look at the p-value of sample(...) or infer(...), which is for one; or add a first axis",
        )
    fresh = simulate(posterior.simulator, simulations, seed, "diagnosis")
    simulated = posterior.summarize({**fresh.observables, **fresh.context})
    return test(posterior.summarize(data), simulated, seed=seed, level=level)
