"""Importance sampling from the prior: exact in the limit.

The effective sample size says how close the result is.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.special import logsumexp

from bayesinn.core import seeds
from bayesinn.core.errors import InputError, check_draws, warn
from bayesinn.simulation.simulations import copied, count_rows, join, take
from bayesinn.simulation.simulator import Arrays, Simulator, check_simulator
from bayesinn.spaces.observations import check_one_observation

_DRAWS = 1_000_000
_CHUNK = 100_000
# A draw with a smaller weight, relative to the largest, can't change any table.
_LEAST_LOG_WEIGHT = -30.0
# With fewer draws, standard deviations are off by more than 3 %.
_LEAST_EFFECTIVE_SIZE = 500


@dataclass(frozen=True)
class ImportancePosterior:
    """Weighted prior draws that represent a posterior.

    - ``parameters``: dict of name to array (m, *event)
    - ``weights`` (m,): they sum to one
    - ``effective_size``: number of independent draws that are as precise; zero for impossible data
    - ``log_evidence``: log of the prior mean of the likelihood
    """

    parameters: Arrays
    weights: np.ndarray
    effective_size: float
    log_evidence: float

    def draws(self, n: int, seed: int) -> Arrays:
        """Return equally weighted draws (n, *event), by resampling."""
        if not len(self.weights):
            raise InputError(
                "Draws from an exact posterior",
                expected="prior draws under which the data have a finite log likelihood",
                got="none",
                do="check the data's units and the likelihood's constraints, or weigh more draws",
            )
        return resample(self.parameters, n, seed, "reference", 1, weights=self.weights)


def resample(
    parameters: Arrays,
    n: int,
    seed: int,
    stream: str,
    *keys: int,
    weights: np.ndarray | None = None,
) -> Arrays:
    """Return draws (n, *event) out of draws (m, *event), by a stream of the seed.

    None is repeated if there are enough, and no weights (m,).
    """
    check_draws(n, {name: value.shape[1:] for name, value in parameters.items()})
    count = count_rows(parameters)
    again = weights is not None or n > count
    rows = seeds.generator(seed, stream, *keys).choice(count, n, replace=again, p=weights)
    return take(parameters, rows)


def importance(
    simulator: Simulator, data: Mapping[str, Any], *, draws: int = _DRAWS, seed: int = 0
) -> ImportancePosterior:
    """Weight prior draws by the simulator's ``log_likelihood``, given one observation.

    A million prior draws are enough for few parameters: look at ``effective_size``.
    """
    check_simulator(simulator)
    check_draws(draws, simulator.prior.event_shapes)
    log_likelihood = likelihood_of(simulator)
    observation = check_one_observation(simulator, data).row()
    prior_seed = seeds.tensor_seed(seed, "reference")
    sample = tf.function(simulator.prior.sample, autograph=False)
    kept: list[tuple[Arrays, np.ndarray]] = []
    highest = -np.inf
    log_sums = []
    for number, start in enumerate(range(0, draws, _CHUNK)):
        size = tf.constant(min(_CHUNK, draws - start))
        parameters = {
            name: v.numpy() for name, v in sample(size, seeds.fold_in(prior_seed, number)).items()
        }
        log_weights = check_log_likelihood(
            call_likelihood(log_likelihood, copied(parameters), copied(observation)),
            parameters,
            "Log likelihood",
            # Where simulations fail, so may the likelihood: the prior is truncated.
            nan=simulator.on_nonfinite == "redraw",
        )
        log_sums.append(logsumexp(log_weights))
        highest = max(highest, float(log_weights.max()))
        heavy = log_weights > highest + _LEAST_LOG_WEIGHT
        kept.append((take(parameters, heavy), log_weights[heavy]))
    log_weights = np.concatenate([part[1] for part in kept])
    weights = np.exp(log_weights - logsumexp(log_weights))
    values = join([part[0] for part in kept])
    # No draw has a weight if the data are impossible under all of them.
    effective_size = float(1.0 / np.sum(weights**2)) if len(weights) else 0.0
    log_evidence = float(logsumexp(log_sums) - np.log(draws))
    return ImportancePosterior(values, weights / weights.sum(), effective_size, log_evidence)


def real_numbers(value: Any) -> np.ndarray:
    """Return a copy in double precision; raise TypeError if it isn't one of real numbers."""
    values = np.asarray(value)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"returns a {type(value).__name__} of {values.dtype}, not real numbers")
    return values.astype(np.float64)


def call_likelihood(
    log_likelihood: Callable[..., Any],
    parameters: Mapping[str, Any],
    data: Mapping[str, Any],
    convert: Callable[[Any], Any] = real_numbers,
) -> Any:
    """Return a likelihood's result, converted; an InputError tells what either of them raises."""
    with likelihood_errors(Exception):
        return convert(log_likelihood(parameters, data))


@contextlib.contextmanager
def likelihood_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Tell of errors of these kinds as errors of a likelihood."""
    try:
        yield
    except InputError:
        raise
    except kinds as error:
        lines = str(error).strip().splitlines() or [""]
        raise InputError(
            "Log likelihood",
            expected="a function of (parameters, data), two dicts by name, that returns log "
            "densities (n,) as real numbers",
            got=f"{type(error).__name__}: {lines[0][:300]}",
            do="call it with draws of the prior and one observation; the traceback shows where it "
            "fails",
        ) from error


def check_log_likelihood(
    values: np.ndarray, parameters: Mapping[str, Any], subject: str, *, nan: bool = False
) -> np.ndarray:
    """Return log likelihoods (n,) of parameters (n, *event) in double precision, checked.

    NaN is refused; if ``nan``, it means impossible, -inf.
    """
    count = count_rows(parameters)
    if values.shape != (count,):
        raise InputError(
            subject,
            expected=f"one number for each row of parameters, shape ({count},)",
            got=f"shape {values.shape}",
            do="sum over observables, steps and elements, but not over rows",
        )
    if nan:
        values = np.where(np.isnan(values), -np.inf, values)
    wrong = np.flatnonzero(np.isnan(values) | (values == np.inf))
    if len(wrong):
        example = {name: np.asarray(v)[wrong[0]].tolist() for name, v in parameters.items()}
        raise InputError(
            subject,
            expected="numbers, or -inf where the data are impossible",
            got=f"NaN or inf for {len(wrong)} of {count} draws, the first {example}",
            do="return -inf where a density is zero, and check logarithms and divisions",
        )
    return values


def likelihood_of(
    simulator: Simulator, log_likelihood: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """Return the log likelihood, by default that of a simulator; raise InputError if it has none.

    A function that is not hashable is wrapped, so that the result can be a key.
    """
    if log_likelihood is not None and not callable(log_likelihood):
        raise InputError(
            "Argument 'log_likelihood'",
            expected="a function of parameters and data",
            got=repr(log_likelihood),
            do="pass for example log_likelihood=lambda parameters, data: ...",
        )
    function = simulator.log_likelihood if log_likelihood is None else log_likelihood
    if function is None:
        raise InputError(
            f"Simulator {simulator.name!r}",
            expected="a likelihood, to weigh parameters with",
            got="log_likelihood=None",
            do="declare @bi.simulator(log_likelihood=...), pass log_likelihood=... where there is "
            "such an argument, or compare by simulation with bi.diagnose",
        )
    return function if isinstance(function, Hashable) else functools.partial(function)


def exact_draws(
    simulator: Simulator, data: Mapping[str, Any], *, draws: int = 20_000, seed: int = 0
) -> Arrays | None:
    """Draw (draws, *event) from the exact posterior of one observation; None without exact answer.

    The simulator's own ``exact`` comes first, then importance sampling if it has a likelihood. If
    only a few draws have all the weight, as with many parameters, there is a warning and no result.
    """
    check_simulator(simulator)
    check_one_observation(simulator, data)
    if simulator.exact is not None:
        return simulator.exact(data, draws, seed)
    if simulator.log_likelihood is not None:
        # A tenth of the draws shows whether all are enough.
        if (
            importance(simulator, data, draws=_DRAWS // 10, seed=seed).effective_size
            >= _LEAST_EFFECTIVE_SIZE / 10
        ):
            return importance(simulator, data, draws=_DRAWS, seed=seed).draws(draws, seed)
        warn(
            f"No exact posterior of {simulator.name!r}: of {_DRAWS:,} prior draws, weighted by the "
            "likelihood, fewer "
            f"than {_LEAST_EFFECTIVE_SIZE} would count. bi.reference.tempered_smc takes longer, "
            "but can draw from it.",
        )
    return None
