"""The highest point of densities, against exact ones."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.simulators.linear import linear, posterior_moments

tfd = tfp.distributions


@bi.simulator(
    prior={
        "x1": tfd.Normal(0.0, 1.0),
        "x2": tfd.Normal(0.0, 1.0),
        "rate": tfd.LogNormal(0.0, 1.0),
    }
)
def gaussian_and_rate(parameters, seed):
    """The linear problem, and a rate whose logarithm is seen with unit noise."""
    noise = tf.random.stateless_normal((2, tf.shape(parameters["x1"])[0]), seed)
    total = parameters["x1"] + parameters["x2"]
    return {"y": total + 0.5 * noise[0], "z": tf.math.log(parameters["rate"]) + noise[1]}


@pytest.fixture(scope="module")
def trained() -> bi.AmortizedPosterior:
    flow = bi.flows.coupling(blocks=2, hidden=(32,))
    posterior = bi.AmortizedPosterior(gaussian_and_rate, flow=flow)
    return posterior.fit(steps=1_000, batch_size=128, seed=1, progress=False)


def test_the_mode_is_exact(trained) -> None:
    data = {"y": np.array([-1.5, 0.3, 2.0]), "z": np.array([-1.0, 0.5, 1.0])}
    found = trained.map(data, draws=200, seed=1)
    mean, _ = posterior_moments(data["y"])
    # The posterior's sds are 0.75.
    np.testing.assert_allclose(np.stack([found["x1"], found["x2"]], axis=1), mean, atol=0.12)
    # The logarithm is N(z / 2, 1 / 2): its mode is z / 2, that of the rate half a unit below.
    np.testing.assert_allclose(np.log(found["rate"]), data["z"] / 2 - 0.5, atol=0.12)
    one = trained.map({"y": 0.3, "z": 0.5}, draws=200, seed=1)
    assert one["rate"].shape == ()
    assert float(one["rate"]) == pytest.approx(found["rate"][1], rel=1e-2)
    assert one.out_of_distribution == np.False_


def test_nothing_is_higher(trained) -> None:
    data = {"y": np.array([-1.5, 0.3]), "z": np.array([-1.0, 0.5])}
    found = trained.map(data, draws=50, seed=1)
    highest = trained.log_prob(found, data)
    draws = trained.sample(data, draws=5_000, seed=2)
    assert (trained.log_prob(draws, data).max(axis=1) <= highest + 1e-3).all()
    # A step either way, of a thirtieth of an sd, leads down.
    for name, step in (("x1", 0.03), ("x2", 0.03), ("rate", 0.03)):
        for sign in (-1.0, 1.0):
            moved = {**found, name: found[name] * 1.0 + sign * step}
            assert (trained.log_prob(moved, data) < highest + 1e-4).all()


def test_a_mode_is_that_of_the_parameter_and_not_of_its_vector() -> None:
    """Heights that are climbed are densities on the parameter's own scale."""

    @bi.simulator(prior={"rate": tfd.LogNormal(0.0, 1.0)})
    def rates(parameters, seed):
        noise = tf.random.stateless_normal(tf.shape(parameters["rate"]), seed)
        return {"y": tf.math.log(parameters["rate"]) + noise}

    posterior = bi.AmortizedPosterior(rates, flow=bi.flows.coupling(blocks=1, hidden=(8,)))
    posterior.fit(steps=2, batch_size=16, seed=1, progress=False)
    rate = np.geomspace(0.05, 20.0, 30).astype(np.float32)
    finder, conditions = posterior.given({"y": [0.5]}).mode_finder
    vectors = posterior.model.parameters.to_vector({"rate": tf.constant(rate)})[0]
    repeated = tf.nest.map_structure(lambda value: tf.repeat(value, 30, axis=0), conditions)
    height = finder._height(vectors, repeated)
    density = posterior.log_prob({"rate": rate}, {"y": 0.5})
    np.testing.assert_allclose(height, density, rtol=1e-4, atol=1e-4)


def test_densities_without_gradients_are_refused() -> None:
    with pytest.raises(InputError, match=r"(?s)map of .*means or quantiles of draws"):
        bi.SampledPosterior(linear, lambda data, draws, seed: {}).map({"y": 1.0})

    @bi.simulator(prior={"count": tfd.Poisson(3.0)})
    def counts(parameters, seed):
        return {"y": parameters["count"]}

    flow = bi.flows.coupling(blocks=1, hidden=(8,))
    posterior = bi.AmortizedPosterior(counts, flow=flow)
    posterior.fit(steps=2, batch_size=16, seed=1, progress=False)
    with pytest.raises(InputError, match="continuous parameters"):
        posterior.map({"y": 3.0})


def test_observations_may_be_asked_in_parts(trained, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"y": np.array([-1.5, 0.3, 2.0]), "z": np.array([-1.0, 0.5, 1.0])}
    together = trained.map(data, draws=50, seed=1)
    # Covariances of two observations at a time, each for eight starts.
    monkeypatch.setattr("bayesinn.posterior.mode._MOST_NUMBERS", 2 * 8 * 9)
    for name, value in trained.map(data, draws=50, seed=1).items():
        np.testing.assert_allclose(value, together[name], rtol=1e-4)
