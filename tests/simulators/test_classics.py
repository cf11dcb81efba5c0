"""Models of the literature on inference without likelihoods: laws, known values, exact densities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.simulators import (
    brock_hommes as brock_module,
    franke_westerhoff as franke_module,
    g_and_k as g_and_k_module,
    geometric_brownian_motion as brownian_module,
    inverse_ballistics as ballistics_module,
    mg1_queue as queue_module,
)

SEED = tf.constant((1, 2))


def repeated(values: dict[str, Any], rows: int) -> dict[str, np.ndarray]:
    return {
        name: np.repeat(np.asarray(value, np.float32)[None], rows, axis=0)
        for name, value in values.items()
    }


# g-and-k


def single(x: np.ndarray, values: dict[str, float]) -> np.ndarray:
    """Log densities of single numbers."""
    given = {name: np.full(len(x), value) for name, value in values.items()}
    return np.asarray(g_and_k_module.log_likelihood(given, {"x": x[:, None]}))


@pytest.mark.parametrize("values", [g_and_k_module.TRUTH, {"A": 1.0, "B": 2.0, "g": 0.0, "k": 0.0}])
def test_g_and_k_density_integrates_to_one(values: dict[str, float]) -> None:
    # Steps of z of the law itself: tails are long.
    z = tf.constant(np.linspace(-9.0, 9.0, 4_001)[None])
    given = {name: tf.constant([value], tf.float64) for name, value in values.items()}
    x = g_and_k_module.quantile(given, z)[0].numpy()
    assert np.trapezoid(np.exp(single(x, values)), x) == pytest.approx(1.0, abs=1e-4)


def test_g_and_k_without_skewness_and_tails_is_normal() -> None:
    x = np.array([-3.0, 0.5, 7.0])
    found = single(x, {"A": 1.0, "B": 2.0, "g": 0.0, "k": 0.0})
    np.testing.assert_allclose(found, stats.norm.logpdf(x, 1.0, 2.0), rtol=1e-9)


def test_g_and_k_simulations_follow_the_density() -> None:
    x = bi.get_simulator("g_and_k").simulate(repeated(g_and_k_module.TRUTH, 200), seed=1)["x"]
    assert np.all(np.diff(x, axis=1) >= 0.0)
    grid = np.linspace(-20.0, 400.0, 200_001)
    heights = np.cumsum(np.exp(single(grid, g_and_k_module.TRUTH))) * (grid[1] - grid[0])
    found = stats.kstest(x.ravel(), lambda value: np.interp(value, grid, heights))
    assert found.pvalue > 1e-3
    # Closed form of the median.
    assert np.interp(0.5, heights, grid) == pytest.approx(3.0, abs=0.01)


def test_g_and_k_gradients() -> None:
    x = np.array([[2.1, 3.0, 3.4, 4.4, 9.0]])
    values = {
        name: tf.constant([value], tf.float64) for name, value in g_and_k_module.TRUTH.items()
    }
    with tf.GradientTape() as tape:
        tape.watch(values)
        density = g_and_k_module.log_likelihood(values, {"x": x})
    slopes = tape.gradient(density, values)
    for name, slope in slopes.items():
        moved = [
            g_and_k_module.log_likelihood({**values, name: values[name] + step}, {"x": x})[0]
            for step in (-1e-4, 1e-4)
        ]
        difference = (moved[1] - moved[0]) / 2e-4
        assert slope[0].numpy() == pytest.approx(difference.numpy(), rel=1e-5), name


# geometric Brownian motion


def path(seed: int = 4) -> dict[str, np.ndarray]:
    given = {"b": np.array([brownian_module.TRUTH], np.float32)}
    price = bi.get_simulator("geometric_brownian_motion").simulate(given, seed)["price"]
    return {"price": price[0]}


def test_brownian_likelihood_is_that_of_its_steps() -> None:
    data = path()
    drift = np.array([[0.2, -0.5, 0.0], [-0.7, 0.3, 0.9]])
    prices = np.vstack([np.full(3, 10.0), data["price"]]).astype(np.float64)
    steps = np.diff(np.log(prices), axis=0)
    covariance = brownian_module.VOLATILITY @ brownian_module.VOLATILITY.T / 99
    expected = [
        stats.multivariate_normal.logpdf(
            steps - (row - brownian_module.SHIFT) / 99, np.zeros(3), covariance
        ).sum()
        - np.log(prices[1:]).sum()
        for row in drift
    ]
    found = brownian_module.log_likelihood({"b": drift}, data)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_brownian_posterior_is_the_likelihood_cut_to_the_box() -> None:
    data = path()
    generator = np.random.default_rng(1)
    drifts = generator.uniform(-1.0, 1.0, (50, 3))
    mean, covariance = brownian_module.posterior_moments(data["price"])
    normal = stats.multivariate_normal(mean, covariance)
    found = np.asarray(brownian_module.log_likelihood({"b": drifts}, data))
    expected = normal.logpdf(drifts)
    # But for the evidence, which is the same for all.
    np.testing.assert_allclose(found - found[0], expected - expected[0], rtol=1e-5, atol=1e-4)
    free = normal.rvs(60_000, random_state=2)
    inside = free[np.all(np.abs(free) < 1.0, axis=1)]
    assert len(inside) > 10_000
    draws = brownian_module.exact(data, 20_000, seed=1)["b"]
    for axis in range(3):
        # Resampling repeats some draws.
        assert stats.ks_2samp(draws[:, axis], inside[:, axis]).statistic < 0.025
    np.testing.assert_allclose(np.cov(draws.T), np.cov(inside.T), atol=0.01)


def prices(*log_returns: float) -> dict[str, np.ndarray]:
    """Prices that end at these total log returns."""
    steps = np.linspace(0.0, 1.0, 100)[1:, None]
    return {"price": 10.0 * np.exp(steps * np.array(log_returns))}


def test_brownian_exact_draws_of_returns_far_from_the_box() -> None:
    draws = brownian_module.exact(prices(-5.0, 0.0, 0.0), 2_000, seed=1)["b"]
    mean, covariance = brownian_module.posterior_moments(prices(-5.0, 0.0, 0.0)["price"])
    sd = np.sqrt(covariance[0, 0])
    expected = stats.truncnorm((-1.0 - mean[0]) / sd, (1.0 - mean[0]) / sd, loc=mean[0], scale=sd)
    assert stats.kstest(draws[:, 0], expected.cdf).pvalue > 1e-3
    with pytest.warns(UserWarning, match="2,000 were asked for, and their effective size is"):
        draws = brownian_module.exact(prices(0.0, 0.0, -2.3), 2_000, seed=1)["b"]
    assert np.all(np.abs(draws) <= 1.0)
    with pytest.raises(InputError, match=r"(?s)drifts between -1 and 1 can explain.*-25, 0, 0"):
        brownian_module.exact(prices(-25.0, 0.0, 0.0), 100, seed=1)


def test_brownian_ranks_are_uniform() -> None:
    few = bi.get_simulator("geometric_brownian_motion").sample(300, seed=5)
    draws = np.stack(
        [brownian_module.exact({"price": p}, 99, i)["b"] for i, p in enumerate(few["price"])]
    )
    ranks = np.sum(draws < few["b"][:, None], axis=1)
    for axis in range(3):
        assert stats.kstest((ranks[:, axis] + 0.5) / 100.0, "uniform").pvalue > 1e-3


# Brock and Hommes


def by_hand(values: dict[str, float], choice: float, x: np.ndarray) -> np.ndarray:
    """Means of the next x of one series, from the equations, belief by belief."""
    trends = (0.0, values["g2"], values["g3"], 1.01)
    biases = (0.0, values["b2"], values["b3"], 0.0)
    padded = np.concatenate([np.zeros(3), x])
    means = []
    for t in range(3, len(padded)):
        last, before, first = padded[t - 1], padded[t - 2], padded[t - 3]
        profits = [
            (last - 1.01 * before) * (g * first + b - 1.01 * before)
            for g, b in zip(trends, biases, strict=True)
        ]
        shares = np.exp(choice * np.array(profits))
        shares = shares / shares.sum()
        means.append(
            sum(n * (g * last + b) for n, g, b in zip(shares, trends, biases, strict=True)) / 1.01
        )
    return np.array(means)


BELIEFS = {
    "brock_hommes": (brock_module.TRUTH, brock_module.CALM),
    "brock_hommes_switching": (brock_module.SWITCHING_TRUTH, brock_module.SWITCHING),
}


@pytest.mark.parametrize("name", BELIEFS)
def test_brock_hommes_likelihood(name: str) -> None:
    simulator = bi.get_simulator(name)
    values, choice = BELIEFS[name]
    x = simulator.simulate(repeated(values, 40), seed=1)["x"].astype(np.float64)
    errors = np.stack([row - by_hand(values, choice, row) for row in x])
    # The noise is recovered from the series: one normal law for every step.
    assert stats.kstest(errors.ravel() / (0.04 / 1.01), "norm").pvalue > 1e-3
    found = simulator.log_likelihood(repeated(values, 1), {"x": x[0]})
    expected = stats.norm.logpdf(errors[0], 0.0, 0.04 / 1.01).sum()
    assert float(found[0]) == pytest.approx(expected, rel=1e-5)


def test_brock_hommes_series_are_those_published() -> None:
    """Mean and sd of one series each: -0.03 and 0.05, and -0.46 and 0.39."""
    calm = bi.get_simulator("brock_hommes").simulate(repeated(brock_module.TRUTH, 200), seed=2)["x"]
    assert calm.mean() == pytest.approx(-0.03, abs=0.015)
    assert calm.std() == pytest.approx(0.05, abs=0.015)
    wide = bi.get_simulator("brock_hommes_switching")
    swings = wide.simulate(repeated(brock_module.SWITCHING_TRUTH, 200), seed=2)["x"]
    for values, published in ((swings.mean(axis=1), -0.46), (swings.std(axis=1), 0.39)):
        low, high = np.quantile(values, [0.01, 0.99])
        assert low < published < high


# Franke and Westerhoff


def test_franke_westerhoff_likelihood() -> None:
    simulator = bi.get_simulator("franke_westerhoff")
    values = franke_module.TRUTH
    returns = simulator.simulate(repeated(values, 40), seed=1)["log_return"].astype(np.float64)
    white = []
    logs = []
    for row in returns:
        prices = np.concatenate([np.zeros(2), np.cumsum(row)])
        attraction = values["alpha_0"]
        for t in range(100):
            last, before = prices[t + 1], prices[t]
            n = 1.0 / (1.0 + np.exp(-attraction))
            mean = (1.0 - 0.01 * (n * 0.12 - (1.0 - n) * 1.5)) * last - 0.01 * (
                1.0 - n
            ) * 1.5 * before
            sd = 0.01 * np.hypot(n * 0.758, (1.0 - n) * values["sigma_c"])
            white.append((prices[t + 2] - mean) / sd)
            logs.append(stats.norm.logpdf(prices[t + 2], mean, sd))
            attraction = (
                values["alpha_n"] * (2.0 * n - 1.0)
                + values["alpha_0"]
                + values["alpha_p"] * last**2
            )
    assert stats.kstest(white, "norm").pvalue > 1e-3
    found = simulator.log_likelihood(repeated(values, 1), {"log_return": returns[0]})
    assert float(found[0]) == pytest.approx(sum(logs[:100]), rel=1e-5)


# Without a likelihood


def test_ricker_counts() -> None:
    """Poisson around the start, then Ricker's map; nothing moves with u."""
    given = repeated({"r": 40.0, "sigma": 0.3, "rho": 10.0, "u": 0.5}, 4_000)
    count = bi.get_simulator("ricker").simulate(given, seed=1)["count"]
    assert stats.chisquare(*binned(count[:, 0], stats.poisson(100.0))).pvalue > 1e-3
    # log N_1 is normal around log(r N_0) - N_0.
    mean = 10.0 * np.exp(np.log(40.0 * 10.0) - 10.0 + 0.5 * 0.3**2)
    assert count[:, 1].mean() == pytest.approx(mean, rel=0.2)
    other = bi.get_simulator("ricker").simulate({**given, "u": given["u"] + 0.4}, seed=1)["count"]
    np.testing.assert_array_equal(count, other)


def binned(values: np.ndarray, law: Any) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of values in eight bins, and those expected."""
    edges = [-1, *law.ppf(np.arange(1, 8) / 8.0), 10_000]
    counts = np.histogram(values, np.array(edges) + 0.5)[0]
    return counts, np.diff(law.cdf(edges)) * len(values)


def test_queue_with_rare_and_frequent_arrivals() -> None:
    """One that nobody waits in has gaps of service and arrival; a full one those of service."""
    values = {"shortest": 1.0, "range": 4.0}
    busy = bi.get_simulator("mg1_queue").simulate(repeated({**values, "rate": 1e3}, 400), seed=1)[
        "gap"
    ]
    late = busy[:, 5:].ravel()
    assert stats.kstest(late, stats.uniform(1.0, 4.0).cdf).pvalue > 1e-3
    idle = bi.get_simulator("mg1_queue").simulate(repeated({**values, "rate": 1e-4}, 400), seed=1)[
        "gap"
    ]
    assert idle[:, 1:].mean() == pytest.approx(1e4, rel=0.05)
    assert busy.min() > 1.0


@pytest.mark.parametrize("values", [(1.0, 4.0, 0.2), (2.0, 2.5, 0.3), (0.5, 9.0, 0.1)])
def test_queue_likelihood_is_the_chance_of_arrivals(values: tuple[float, ...]) -> None:
    """Four customers, with and without someone who came to an empty queue; a million arrivals."""
    gaps = np.array([6.0, 3.0, 9.0, 4.0])
    shortest, span, rate = values
    arrivals = np.cumsum(np.random.default_rng(1).exponential(1.0 / rate, (1_000_000, 4)), axis=1)
    service = gaps - np.maximum(0.0, arrivals - (np.cumsum(gaps) - gaps))
    possible = np.all((service > shortest) & (service < shortest + span), axis=1)
    given = dict(zip(("shortest", "range", "rate"), np.array(values)[:, None], strict=True))
    found = np.exp(queue_module.log_likelihood(given, {"gap": gaps})[0]) * span**4
    error = np.sqrt(possible.mean() / len(possible))
    assert found == pytest.approx(possible.mean(), abs=4.0 * error)
    assert error < 0.02 * found
    # No service is longer than the shortest gap.
    late = {**given, "shortest": np.array([3.1])}
    assert queue_module.log_likelihood(late, {"gap": gaps})[0] == -np.inf


def test_predators_and_prey_in_the_mean() -> None:
    """Without meetings both are birth and death processes with known means and variances."""
    rates = {"birth": 1e-9, "death": 0.5, "growth": 0.2, "hunt": 1e-9}
    found = bi.get_simulator("predators_and_prey").simulate(repeated(rates, 300), seed=1)
    times = 0.5 * np.arange(1, 41)
    predators = found["predators"]
    expected = 50.0 * np.exp(-0.5 * times)
    error = 4.0 * np.sqrt(expected / 300) + 1e-3
    assert np.all(np.abs(predators.mean(axis=0) - expected) < error)
    # In steps of 0.05, growth is (1 + 0.05 x 0.2)^20 a unit of time.
    grown = 100.0 * (1.0 + 0.05 * 0.2) ** (times / 0.05)
    np.testing.assert_allclose(found["prey"].mean(axis=0), grown, rtol=0.03)


def test_ballistics() -> None:
    throws = [(0.0, 1.5, np.pi / 4, 15.0), (0.2, 1.0, np.pi / 3, 10.0), (-0.5, 2.0, 0.3, 20.0)]
    names = ("left", "height", "angle", "speed")
    given = {
        name: tf.constant(values, tf.float64)
        for name, values in zip(names, zip(*throws, strict=True), strict=True)
    }
    found = ballistics_module.landing(given)
    np.testing.assert_allclose(found, [7.69267868, 3.64172017, 12.19306446], atol=1e-7)


def test_exact_throws_land_there_and_have_the_posterior_density() -> None:
    """Beside draws of the prior that came near."""
    draws = ballistics_module.exact({"landing": np.array(5.0)}, 4_000, seed=1)
    given = {name: tf.constant(value) for name, value in draws.items()}
    np.testing.assert_allclose(ballistics_module.landing(given), 5.0, atol=1e-7)
    prior = bi.get_simulator("inverse_ballistics").sample(200_000, seed=2)
    near = np.abs(prior["landing"] - 5.0) < 0.04
    assert near.sum() > 1_000
    for name, values in draws.items():
        assert stats.ks_2samp(values, prior[name][near]).pvalue > 1e-3, name


def test_ballistics_over_the_prior() -> None:
    landing = bi.get_simulator("inverse_ballistics").sample(20_000, seed=1)["landing"]
    assert landing.mean() == pytest.approx(6.785, abs=0.09)
    assert landing.std() == pytest.approx(3.125, abs=0.07)
    np.testing.assert_allclose(
        np.quantile(landing, [0.01, 0.05, 0.5, 0.95, 0.99]),
        [1.19, 2.12, 6.60, 12.26, 14.74],
        atol=0.2,
    )
