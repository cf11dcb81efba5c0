"""Designs of experiments, ranked by what their data are expected to tell about the parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from bayesinn.core import seeds
from bayesinn.core.arrays import numbers
from bayesinn.core.errors import InputError, check_draws, check_integer, check_type
from bayesinn.core.labels import columns
from bayesinn.posterior.answers import Given
from bayesinn.posterior.posterior import Posterior, check_posterior
from bayesinn.reference.importance import resample
from bayesinn.simulation.declaration import check_known
from bayesinn.simulation.simulations import count_rows, flatten_draws, take
from bayesinn.simulation.simulator import Arrays, Simulator


def rank_designs(
    posterior: Posterior,
    designs: Mapping[str, Any],
    *,
    after: Mapping[str, Any] | None = None,
    simulations: int = 1_000,
    draws: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Return designs in the order of the information that their data are expected to give.

    The design is context of the simulator, on which one posterior was trained for all designs. The
    expected information is the mean of log posterior minus log prior density at the parameters of
    simulations. That of an imperfect network is too small: a lower bound. All designs have the same
    parameters and seeds, so that differences are more precise than each of them.

    Parameters
    ----------
    posterior : Posterior with an exact density
    designs : dict of name to array (designs, *event)
        Values of context to compare. Other context is drawn as the simulator declares it.
    after : dict of parameter to array (n, *event)
        Draws from the posterior of the data so far, for the next design: of that of one
        observation, or of several (:func:`bayesinn.likelihood.combine`). By default there are none,
        and parameters are those of the prior.
    simulations : int, 2 or more, of each design
    draws : int, 20 or more
        Draws of the posterior of each simulation; of ``after``, those that the mean density of its
        data is taken over. Information of more than the log of their number isn't found then.
    seed : int

    Returns
    -------
    DataFrame
        A row for each design, the best first; the index is its place in ``designs``:

        - the values of the design
        - ``information`` in nats, with its standard error ``error``
        - ``behind``: how much less that is than the best, with ``behind_error``
        - for each parameter ``shrinks NAME``: the mean log ratio of the sds before and after the
          data, of the unconstrained parameter. If all is normal, that is its information in nats.

    Raises
    ------
    InputError
        If the simulator has no such context, or the posterior no exact density.

    References
    ----------
    Foster et al. (2019), Variational Bayesian optimal experimental design, arXiv:1903.05480,
    equations 5 (posterior) and, for the next design, the contrastive bound of Foster et al. (2020),
    arXiv:1911.00294.

    Examples
    --------
    >>> import bayesinn as bi
    >>> import tensorflow as tf
    >>> import tensorflow_probability as tfp
    >>> tfd = tfp.distributions
    >>> @bi.simulator(prior={"slope": tfd.Normal(0.0, 1.0)}, context={"x": tfd.Uniform(0.0, 2.0)})
    ... def line(parameters, context, seed):
    ...     y = parameters["slope"] * context["x"]
    ...     return {"y": y + tf.random.stateless_normal(tf.shape(y), seed)}
    >>> posterior = bi.AmortizedPosterior(line, flow=bi.flows.coupling(blocks=1, hidden=(8,)))
    >>> _ = posterior.fit(steps=100, progress=False)
    >>> ranked = rank_designs(posterior, {"x": [0.0, 1.0, 2.0]})
    >>> ranked.index[0]
    2
    """
    check_posterior("Argument 'posterior'", posterior)
    simulator = posterior.simulator
    values = _check_designs(posterior, designs)
    simulations = check_integer("Argument 'simulations'", simulations, 2)
    check_draws(draws, simulator.prior.event_shapes, simulations, least=20)
    seed = seeds.check_seed(seed)
    before = _draws_before(simulator, after, simulations, seed, "designs")
    compared = None
    if after is not None:
        compared = _draws_before(simulator, after, draws, seed, "comparison of designs")
    rows = [
        _gains(posterior, take(values, slice(number, number + 1)), before, compared, draws, seed)
        for number in range(count_rows(values))
    ]
    information = pd.DataFrame([row.pop("information") for row in rows])
    best = int(information.mean(axis=1).argmax())
    behind = information.iloc[best] - information
    table = pd.DataFrame(columns(values, 1))
    table["information"] = information.mean(axis=1)
    table["error"] = information.sem(axis=1)
    table["behind"] = behind.mean(axis=1)
    table["behind_error"] = behind.sem(axis=1)
    table = pd.concat([table, pd.DataFrame(rows)], axis=1)
    return table.rename_axis("design").sort_values("information", ascending=False)


def _check_designs(posterior: Posterior, designs: Mapping[str, Any]) -> Arrays:
    """Return the designs as arrays (designs, *event) of context."""
    simulator = posterior.simulator
    subject = "Argument 'posterior'"
    do = "train bi.AmortizedPosterior with bi.flows.coupling() on a simulator with context={...}"
    if simulator.context is None or not simulator.simulates or posterior.density != "exact":
        got = f"one with density {posterior.density!r}"
        if simulator.context is None:
            got = f"one of {simulator.name!r}, which has no context"
        elif not simulator.simulates:
            got = f"one of {simulator.name!r}, which can't be run"
        expected = "one with an exact density, of a simulator that takes the design as context"
        raise InputError(subject, expected=expected, got=got, do=do)
    subject = "Argument 'designs'"
    do = f"pass for example {{{simulator.context.names[0]!r}: [...]}}"
    check_type(subject, designs or None, Mapping, "a dict of arrays by name of context", do)
    check_known(subject, designs, simulator.context.names)
    values = {name: numbers(f"Design {name!r}", value) for name, value in designs.items()}
    shapes = {name: simulator.context.event_shapes[name] for name in values}
    _check_rows(subject, values, shapes, "designs", do)
    return values


def _check_rows(
    subject: str, values: Arrays, events: Mapping[str, tuple[int, ...]], rows: str, do: str
) -> None:
    """Raise unless there is an array (rows, *event) for each event, all of as many rows."""
    shapes = {name: value.shape for name, value in values.items()}
    count = next(iter(shapes.values()))[:1]
    if not count or shapes != {name: (*count, *event) for name, event in events.items()}:
        expected = f"arrays ({rows}, *event), of as many {rows} each, of events {dict(events)}"
        raise InputError(subject, expected=expected, got=f"shapes {shapes}", do=do)


def _draws_before(
    simulator: Simulator, after: Mapping[str, Any] | None, count: int, seed: int, stream: str
) -> Arrays:
    """Return parameters (count, *event) as they are known before the next data."""
    if after is None:
        drawn = simulator.prior.sample(count, seeds.tensor_seed(seed, stream))
        return {name: value.numpy() for name, value in drawn.items()}
    subject = "Argument 'after'"
    do = "pass draws of one observation: posterior.sample(observed)"
    check_type(subject, after or None, Mapping, "a dict of draws by parameter", do)
    known = {name: numbers(f"Draws of {name!r}", value) for name, value in after.items()}
    check_known(subject, known, simulator.prior.names)
    _check_rows(subject, known, simulator.prior.event_shapes, "draws", do)
    return simulator.prior.cast(resample(known, count, seed, stream))


def _gains(
    posterior: Posterior,
    design: Arrays,
    before: Arrays,
    compared: Arrays | None,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """Return the information (n,) of simulations at a design, and how much each sd shrinks."""
    simulator = posterior.simulator
    assert simulator.context is not None
    count = count_rows(before)
    drawn = simulator.context.sample(count, seeds.tensor_seed(seed, "context of designs"))
    context = {name: value.numpy() for name, value in drawn.items()}
    context |= {name: np.repeat(value, count, axis=0) for name, value in design.items()}
    context = simulator.context.cast(context)
    data = {**simulator.simulate(before, seed, context), **context}
    given = posterior.given(data)
    ratio = _log_ratio(given, {name: value[:, None] for name, value in before.items()})[:, 0]
    if compared is None:
        information = ratio
        values = given.sample(draws, seed)
        weights = np.ones((count, draws))
    else:
        spread = (count, count_rows(compared))
        values = {
            name: np.broadcast_to(value, (count, *value.shape)) for name, value in compared.items()
        }
        others = _log_ratio(given, values)
        with_own = np.concatenate([ratio[:, None], others], axis=1)
        information = ratio - logsumexp(with_own, axis=1) + np.log(spread[1] + 1.0)
        weights = np.exp(others - others.max(axis=1, keepdims=True))
    return {"information": information, **_shrinking(given, before, values, weights)}


def _log_ratio(given: Given, parameters: Arrays) -> np.ndarray:
    """Return log ratios (n, draws) of posterior and prior: the likelihood but for a factor."""
    density = given.log_prob(parameters)
    prior = given.prior_log_prob(flatten_draws(parameters)).reshape(density.shape)
    return np.asarray(density - prior, float)


def _shrinking(
    given: Given, before: Arrays, values: Arrays, weights: np.ndarray
) -> dict[str, float]:
    """Return the mean log ratio of sds before and after, by parameter, of weighted draws."""
    space = given.space
    first = space.vectors(before).std(axis=0)
    vectors = space.vectors(flatten_draws(values)).reshape(*weights.shape, -1)
    shares = (weights / weights.sum(axis=1, keepdims=True))[..., None]
    mean = np.sum(shares * vectors, axis=1, keepdims=True)
    variance = np.sum(shares * (vectors - mean) ** 2, axis=1)
    logs = np.mean(np.log(first) - 0.5 * np.log(np.maximum(variance, 1e-30)), axis=0)
    return {
        f"shrinks {name}": float(np.mean(logs[space.elements_of([name]) > 0.0]))
        for name in space.names
    }
