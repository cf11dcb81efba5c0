"""Posteriors given some parameters: against exact ones, warned of where weights fail, refused."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import bayesinn as bi
from bayesinn.core.errors import BayesinnError
from bayesinn.diagnostics import c2st
from bayesinn.simulators.two_moons import log_likelihood

tfd = tfp.distributions

COVARIANCE = np.array([[0.5, 0.35, 0.1], [0.35, 0.6, -0.2], [0.1, -0.2, 0.4]])
LOADINGS = np.array([0.5, -0.2, 0.3])
NAMES = ("a", "b", "c")


@bi.simulator(prior={name: tfd.Normal(0.0, 1.0) for name in NAMES}, name="three")
def three(parameters, seed):
    total = sum(parameters[name] for name in NAMES)
    return {"x": total + tf.random.stateless_normal(tf.shape(total), seed)}


def sample(data, draws, seed):
    """Draw from a normal distribution whose mean depends on the datum."""
    noise = np.random.default_rng(seed).multivariate_normal(
        np.zeros(3), COVARIANCE, (len(data["x"]), draws)
    )
    values = data["x"][:, None, None] * LOADINGS + noise
    return {name: values[..., place] for place, name in enumerate(NAMES)}


def log_prob(parameters, data):
    values = np.stack([parameters[name] for name in NAMES], axis=-1)
    law = stats.multivariate_normal(np.zeros(3), COVARIANCE)
    return law.logpdf(values - data["x"][:, None, None] * LOADINGS).reshape(values.shape[:2])


@pytest.fixture(scope="module")
def normal() -> bi.SampledPosterior:
    return bi.SampledPosterior(three, sample, log_prob)


def test_of_a_normal_distribution_it_is_the_conditional_one(normal) -> None:
    """Draws, densities, and the marginal density of what is fixed; also 3 sd away."""
    x = np.array([-0.5, 1.0])
    for value in (0.6, 2.1):
        rest = normal.given_parameters({"a": value})
        draws = rest.sample({"x": x}, draws=4_000, seed=1)
        slopes = COVARIANCE[1:, 0] / COVARIANCE[0, 0]
        left = COVARIANCE[1:, 1:] - np.outer(slopes, COVARIANCE[0, 1:])
        means = np.outer(x, LOADINGS[1:]) + np.outer(value - x * LOADINGS[0], slopes)
        points = {name: np.stack([means[:, i] + 0.3] * 2, axis=1) for i, name in enumerate("bc")}
        density = rest.log_prob(points, {"x": x})
        exact = stats.multivariate_normal(np.zeros(2), left).logpdf([0.3, 0.3])
        np.testing.assert_allclose(density, exact, atol=0.1)
        for row in range(2):
            for place, name in enumerate("bc"):
                law = stats.norm(means[row, place], np.sqrt(left[place, place]))
                assert stats.kstest(draws[name][row], law.cdf).statistic < 0.04
            correlation = np.corrcoef(draws["b"][row], draws["c"][row])[0, 1]
            exact = left[0, 1] / np.sqrt(left[0, 0] * left[1, 1])
            assert abs(correlation - exact) < 0.06
        marginal = stats.norm.logpdf(value, x * LOADINGS[0], np.sqrt(COVARIANCE[0, 0]))
        np.testing.assert_allclose(rest.log_marginal({"x": x}), marginal, atol=0.1)


def test_two_moons_on_a_line_are_two_places_where_it_meets_one() -> None:
    """Of separate, narrow modes: against a grid, though draws near the line are few."""
    simulator = bi.get_simulator("two_moons")
    x = np.array([[0.0, 0.0]], np.float32)

    def moons(data, draws, seed):
        rows = [
            simulator.exact({"x": row}, draws, seed + place) for place, row in enumerate(data["x"])
        ]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def density(parameters, data):
        rows = [
            log_likelihood({name: value[i] for name, value in parameters.items()}, {"x": row})
            for i, row in enumerate(data["x"])
        ]
        return np.maximum(np.asarray(rows), -1e4)

    rest = bi.SampledPosterior(simulator, moons, density).given_parameters({"theta1": 0.26})
    draws = rest.sample({"x": x}, draws=2_000, seed=2)["theta2"][0]
    grid = np.linspace(-1.0, 1.0, 20_001)
    table = np.exp(
        log_likelihood({"theta1": np.full(len(grid), 0.26), "theta2": grid}, {"x": x[0]})
    )
    cells = np.random.default_rng(1).choice(grid, 2_000, p=table / table.sum())
    assert min(np.mean(cells < 0.175), np.mean(cells > 0.175)) > 0.05
    assert c2st(draws[:, None], cells[:, None]) < 0.55
    exact = np.log(table.sum() * (grid[1] - grid[0]))
    assert abs(rest.log_marginal({"x": x})[0] - exact) < 0.1


def test_it_is_diagnosed_and_one_that_forgets_the_value_fails(normal) -> None:
    def exact(data, draws, seed):
        noise = np.random.default_rng(seed).normal(size=(2, len(data["y"]), draws))
        first = data["y"][:, None] * 4.0 / 9.0 + np.sqrt(5.0 / 9.0) * noise[0]
        left = (data["y"][:, None] - first) * 0.8
        return {"x1": first, "x2": left + np.sqrt(0.2) * noise[1]}

    def density(parameters, data):
        y = data["y"][:, None]
        first = stats.norm.logpdf(parameters["x1"], y * 4.0 / 9.0, np.sqrt(5.0 / 9.0))
        return first + stats.norm.logpdf(
            parameters["x2"], 0.8 * (y - parameters["x1"]), np.sqrt(0.2)
        )

    whole = bi.SampledPosterior(bi.get_simulator("linear"), exact, density)
    rest = whole.given_parameters({"x1": 1.0})
    found = bi.diagnose(rest, simulations=100, draws=50, seed=1, progress=False)
    assert found.grade != "outside"
    forgotten = bi.SampledPosterior(
        rest.simulator, lambda *arguments: {"x2": exact(*arguments)["x2"]}
    )
    broken = bi.diagnose(forgotten, simulations=100, draws=50, seed=1, progress=False)
    assert broken.grade == "outside"


def test_of_weights_that_fail_it_warns() -> None:
    """The density is that of a heavy spike beside the draws, which none of them reaches."""

    def spike(parameters, data):
        radius = sum((parameters[name] - 6.0) ** 2 for name in NAMES)
        return -1e5 * np.abs(radius)

    rest = bi.SampledPosterior(three, sample, spike).given_parameters({"a": 0.0})
    with pytest.warns(UserWarning, match="k-hat"):
        rest.sample({"x": np.zeros(1)}, draws=100, seed=1)


@bi.simulator(
    prior={
        "low": tfd.Uniform(0.0, 1.0),
        "high": lambda low: tfd.Uniform(low, 2.0),
        "between": lambda high, low: tfd.Uniform(low, high),
        "count": tfd.Poisson(3.0),
    },
    log_likelihood=lambda parameters, data: (
        -((data["x"] - parameters["between"] - parameters["low"]) ** 2)
    ),
    name="bounds",
)
def bounds(parameters, seed):
    noise = tf.random.stateless_normal(tf.shape(parameters["low"]), seed)
    return {"x": parameters["between"] + noise + parameters["count"] + parameters["low"]}


def test_priors_that_depend_on_it_have_its_value() -> None:
    """So have the simulations, and the likelihood."""
    flow = bi.flows.coupling(blocks=1, hidden=(8,))
    posterior = bi.AmortizedPosterior(bounds, flow=flow)
    posterior.fit(steps=5, batch_size=32, seed=1, progress=False)
    rest = posterior.given_parameters({"low": 0.5, "count": 2})
    assert rest.simulator.prior.names == ("high", "between")
    drawn = rest.simulator.sample(500, seed=1)
    assert drawn["high"].min() > 0.5
    draws = rest.sample({"x": 3.0}, draws=300, seed=1)
    assert np.all((draws["between"] > 0.5) & (draws["between"] < draws["high"]))
    values = {"high": np.ones(2, "f4"), "between": np.full(2, 0.7, "f4")}
    density = rest.simulator.log_likelihood(values, {"x": np.float32(1.0)})
    np.testing.assert_allclose(density, -0.04 * np.ones(2), atol=1e-6)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"hihg": 1.0}, "did you mean 'high'"),
        ({"low": 1.5}, "a value that its prior can have"),
        ({"count": 1.5}, "a value that its prior can have"),
        ({"low": [0.1, 0.2]}, "for each of several"),
        ({"high": 1.0}, "fix \\['low'\\], too"),
        ({}, "pass for example"),
        ({"low": 0.1, "high": 1.0, "between": 0.5, "count": 1}, "leave out"),
    ],
)
def test_what_can_not_be_is_refused(values, words: str) -> None:
    posterior = bi.SampledPosterior(bounds, sample, log_prob)
    with pytest.raises(BayesinnError, match=f"(?s){words}"):
        posterior.given_parameters(values)


def test_without_an_exact_density_it_is_refused() -> None:
    with pytest.raises(BayesinnError, match="exact density"):
        bi.SampledPosterior(three, sample).given_parameters({"a": 0.0})
