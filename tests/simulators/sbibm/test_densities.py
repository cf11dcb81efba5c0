"""Densities and differential equations of the tasks against independent code."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, stats

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.simulators.sbibm import (
    gaussian_linear,
    gaussian_linear_uniform,
    gaussian_mixture,
    lotka_volterra,
    sir,
    slcp,
    slcp_distractors,
)


def test_gaussian_posterior_is_bayes_rule() -> None:
    """Likelihood and prior differ from the posterior by the evidence only."""
    sample = bi.get_simulator("gaussian_linear").sample(50, seed=1)
    given = {"x": sample["x"][0]}
    joint = gaussian_linear.log_likelihood(sample, given)
    joint = joint + stats.norm.logpdf(sample["theta"], scale=np.sqrt(0.1)).sum(axis=1)
    evidence = stats.norm.logpdf(given["x"], scale=np.sqrt(0.2)).sum()
    np.testing.assert_allclose(
        joint - evidence, gaussian_linear.log_posterior(sample, given), rtol=1e-5
    )


@pytest.mark.parametrize("module", [gaussian_linear, gaussian_linear_uniform])
def test_entropies(module) -> None:
    simulator = bi.get_simulator(module.__name__.rpartition(".")[2])
    sample = simulator.sample(20_000, seed=1)
    density = module.log_posterior(sample, sample)
    entropy = module.ENTROPY if module is gaussian_linear else module.entropy()
    assert -density.mean() == pytest.approx(entropy, abs=4.0 * density.std() / np.sqrt(20_000))


@pytest.mark.parametrize("x", [(0.0, 3.0), (9.7, -9.9), (10.5, 0.0)])
def test_mixture_posterior_is_normalised_and_drawn(x) -> None:
    edges = np.linspace(-10.0, 10.0, 1_001)
    middles = 0.5 * (edges[1:] + edges[:-1])
    theta = np.stack(np.meshgrid(middles, middles, indexing="ij"), axis=-1).reshape(-1, 2)
    density = np.exp(gaussian_mixture.log_posterior({"theta": theta}, {"x": np.array(x)}))
    mass = density.reshape(1_000, 1_000) * 0.02**2
    assert mass.sum() == pytest.approx(1.0, abs=2e-3)
    draws = gaussian_mixture.exact({"x": np.array(x)}, 20_000, seed=1)["theta"]
    for axis in (0, 1):
        heights = np.concatenate([[0.0], np.cumsum(mass.sum(axis=1 - axis))])
        found = stats.kstest(draws[:, axis], lambda v, h=heights: np.interp(v, edges, h))
        assert found.statistic < 0.015


@pytest.mark.parametrize("module", [gaussian_linear_uniform, gaussian_mixture])
def test_posteriors_end_with_the_prior(module) -> None:
    simulator = bi.get_simulator(module.__name__.rpartition(".")[2])
    sample = simulator.sample(3, seed=1)
    given = {"x": sample["x"][0]}
    theta = np.tile(sample["theta"][0], (3, 1))
    theta[1, 0] = 10.5
    theta[2, -1] = -10.5
    found = module.log_posterior({"theta": theta}, given)
    assert np.isneginf(found).tolist() == [False, True, True]


def test_mixture_refuses_impossible_data() -> None:
    with pytest.raises(InputError, match="a point within five of the box"):
        gaussian_mixture.exact({"x": np.array([30.0, 0.0])}, 10, seed=1)


def test_slcp_density_against_scipy() -> None:
    sample = bi.get_simulator("slcp").sample(50, seed=1)
    found = slcp.log_likelihood(sample, sample)
    for row in range(50):
        theta = sample["theta"][row].astype(np.float64)
        cross = np.tanh(theta[4]) * theta[2] ** 2 * theta[3] ** 2
        covariance = np.array([[theta[2] ** 4, cross], [cross, theta[3] ** 4]]) + 1e-6 * np.eye(2)
        normal = stats.multivariate_normal(theta[:2], covariance, allow_singular=True)
        points = sample["x"][row].astype(np.float64).reshape(4, 2)
        assert found[row] == pytest.approx(normal.logpdf(points).sum(), rel=1e-6)


def test_slcp_points_have_their_covariance() -> None:
    theta = np.tile(np.float32([0.5, -1.0, 1.2, 0.8, -0.7]), (20_000, 1))
    points = bi.get_simulator("slcp").simulate({"theta": theta}, seed=1)["x"].reshape(-1, 2)
    cross = np.tanh(-0.7) * 1.44 * 0.64
    np.testing.assert_allclose(points.mean(axis=0), [0.5, -1.0], atol=0.03)
    np.testing.assert_allclose(
        np.cov(points.T), [[1.2**4, cross], [cross, 0.8**4]], rtol=0.03, atol=0.01
    )


def test_distractors_change_no_likelihood() -> None:
    """The points are where the likelihood looks for them, and the rest plays no part."""
    sample = bi.get_simulator("slcp_distractors").sample(50, seed=1)
    order = slcp_distractors.noise()[2]
    points = np.empty((50, 100))
    points[:, order] = sample["x"]
    expected = slcp.log_likelihood(sample, {"x": points[:, :8]})
    np.testing.assert_allclose(slcp_distractors.log_likelihood(sample, sample), expected)
    assert np.median(expected) > -30.0


def test_distractors_have_their_locations_and_tails() -> None:
    """Each number of the noise: the mixture of twenty Student t distributions along its axis."""
    sample = bi.get_simulator("slcp_distractors").sample(20_000, seed=1)
    locations, scales, order = slcp_distractors.noise()
    ordered = np.empty((20_000, 100))
    ordered[:, order] = sample["x"]
    for axis in range(92):
        sds = np.linalg.norm(scales[:, axis], axis=1)
        values = ordered[:, 8 + axis]
        standard = (values[:, None] - locations[:, axis]) / sds
        levels = stats.t.cdf(standard, 2).mean(axis=1)
        # The smallest of 92 p-values.
        assert stats.kstest(levels, "uniform").pvalue > 1e-5


def test_epidemic_against_scipy() -> None:
    sample = bi.get_simulator("sbibm_sir").sample(20, seed=1)
    rates = {name: tf.constant(sample[name], tf.float64) for name in sir.PRIOR}
    found = sir.infected_share(rates).numpy()
    for row in range(20):
        beta = float(sample["beta"][row])
        gamma = float(sample["gamma"][row])

        def rate(_, state, beta=beta, gamma=gamma):
            new = beta * state[0] * state[1] / 1e6
            return [-new, new - gamma * state[1]]

        exact = integrate.solve_ivp(
            rate, (0, 153), (1e6 - 1, 1.0), "DOP853", sir.DAYS, rtol=1e-10, atol=1e-8
        )
        np.testing.assert_allclose(1e6 * found[row], exact.y[1], rtol=2e-3, atol=1e-4)


def test_predators_and_prey_against_scipy() -> None:
    sample = bi.get_simulator("lotka_volterra").sample(20, seed=1)
    rates = {name: tf.constant(sample[name], tf.float64) for name in lotka_volterra.PRIOR}
    found = lotka_volterra.log_populations(rates).numpy()
    for row in range(20):
        alpha, beta, gamma, delta = (float(sample[name][row]) for name in lotka_volterra.PRIOR)

        def rate(_, logs, given=(alpha, beta, gamma, delta)):
            prey, predators = np.exp(logs)
            return [given[0] - given[1] * predators, given[3] * prey - given[2]]

        exact = integrate.solve_ivp(
            rate, (0, 19), np.log([30.0, 1.0]), "DOP853", lotka_volterra.TIMES, rtol=1e-9, atol=1e-9
        )
        expected = np.clip(exact.y.T, np.log(1e-10), np.log(1e4))
        # A fiftieth of the noise.
        np.testing.assert_allclose(found[row], expected, atol=2e-3)
