"""Requests beyond memory or reason are refused at once, by the name of the argument."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core import errors
from bayesinn.core.errors import InputError
from bayesinn.simulation.derived import derived_simulator

tfd = tfp.distributions
MOST = 2**31 - 1
Y = {"y": 2.25}


def prior_draws(data: dict[str, np.ndarray], draws: int, seed: int) -> dict[str, np.ndarray]:
    shape = len(data["y"]), draws
    return {"x1": np.zeros(shape), "x2": np.zeros(shape)}


def likelihood(parameters: dict[str, Any], data: dict[str, Any]) -> tf.Tensor:
    return tfd.Normal(parameters["x1"] + parameters["x2"], 1.0).log_prob(data["y"])


@bi.simulator(
    prior={"mean": tfd.Normal(0.0, 1.0), "level": lambda mean: tfd.Normal(mean, 1.0)},
    log_likelihood=lambda parameters, data: 0.0 * parameters["mean"],
)
def person(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"y": parameters["level"] + tf.random.stateless_normal((1,), seed)}


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "free_memory", lambda: 2 * 2**30)


REQUESTS: dict[str, Callable[[bi.Simulator, bi.Posterior], Any]] = {
    "'draws'": lambda linear, posterior: posterior.sample(Y, draws=MOST),
    "'draws' ": lambda linear, posterior: posterior.infer(Y, draws=MOST),
    "'draws'  ": lambda linear, posterior: bi.diagnose(posterior, simulations=10**6, draws=10**6),
    "'draws'   ": lambda linear, posterior: bi.reference.importance(person, Y, draws=MOST),
    "'draws'    ": lambda linear, posterior: bi.reference.rejection_abc(
        linear, Y, draws=MOST, simulations=MOST
    ),
    "'particles'": lambda linear, posterior: bi.reference.tempered_smc(
        linear, Y, log_likelihood=likelihood, particles=MOST - 1
    ),
    "'steps'": lambda linear, posterior: bi.reference.synthetic_likelihood(
        linear, Y, steps=MOST, seed=1
    ),
    "Number of simulations": lambda linear, posterior: linear.sample(MOST, seed=1),
    "'sizes'": lambda linear, posterior: bi.HierarchicalPosterior(
        person, group={"person": "level"}, sizes=(1, 10**9)
    ),
    "'networks'": lambda linear, posterior: bi.AmortizedPosterior(linear, networks=10**6),
    "'blocks'": lambda linear, posterior: bi.flows.coupling(blocks=10**6),
    "'hidden'": lambda linear, posterior: bi.flows.coupling(hidden=(10**9,)),
    "'units'": lambda linear, posterior: bi.summaries.ConvLSTM(10**9),
    "'replicates'": lambda linear, posterior: bi.reference.synthetic_likelihood(
        linear, Y, replicates=MOST, seed=1
    ),
    "'batch_size'": lambda linear, posterior: bi.AmortizedPosterior(linear).fit(
        steps=1, batch_size=MOST
    ),
    "Number of simulations ": lambda linear, posterior: bi.simulator_report(
        linear, simulations=MOST
    ),
    "'trials'": lambda linear, posterior: derived_simulator(linear, MOST),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_beyond_memory_are_refused(name: str, little_memory: None) -> None:
    linear = bi.get_simulator("linear")
    posterior = bi.SampledPosterior(linear, prior_draws)
    with pytest.raises(InputError, match=name.strip()):
        REQUESTS[name](linear, posterior)


def test_requests_that_fit_are_not_refused(little_memory: None) -> None:
    linear = bi.get_simulator("linear")
    posterior = bi.SampledPosterior(linear, prior_draws)
    # Two parameters of four bytes, which take twice that while their blocks are joined: 1.6 GB.
    assert errors.check_draws(10**8, linear.prior.event_shapes) == 10**8
    assert posterior.sample(Y, draws=10**6)["x1"].shape == (10**6,)
    bi.HierarchicalPosterior(person, group={"person": "level"}, sizes=(1, 100))
    assert bi.AmortizedPosterior(linear, networks=100).networks == 100
