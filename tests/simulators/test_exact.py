"""Exact answers of shipped simulators against independent code, brute force, published numbers."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.reference import exact_draws, importance
from bayesinn.simulators import (
    gaussian as gaussian_module,
    linear as linear_module,
    sir as sir_module,
)

tfd = tfp.distributions


def weighted(values: np.ndarray, log_weights: np.ndarray) -> tuple[float, float]:
    weights = np.exp(log_weights - log_weights.max())
    mean = np.average(values, weights=weights)
    return float(mean), float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))


# linear


def test_linear_posterior_against_brute_force() -> None:
    generator = np.random.default_rng(1)
    x1, x2 = generator.standard_normal((2, 1_000_000))
    y = 1.5
    log_weights = stats.norm.logpdf(y, x1 + x2, linear_module.NOISE)
    mean, covariance = linear_module.posterior_moments(np.array([y]))
    for index, values in enumerate((x1, x2)):
        found = weighted(values, log_weights)
        # Monte Carlo error about 0.002; measured within 0.0035 over three seeds.
        assert found[0] == pytest.approx(mean[0, index], abs=0.01)
        assert found[1] == pytest.approx(np.sqrt(covariance[index, index]), abs=0.01)
    total = weighted(x1 + x2, log_weights)
    assert total[1] == pytest.approx(np.sqrt(covariance.sum()), abs=0.01)


def test_where_prior_draws_have_no_weight_particles_go_on() -> None:
    names = [f"x{k}" for k in range(8)]

    def log_likelihood(parameters, data):
        laws = [tfd.Normal(parameters[name], 0.01) for name in names]
        return sum(law.log_prob(data["y"]) for law in laws)

    @bi.simulator(
        prior={name: tfd.Normal(0.0, 1.0) for name in names}, log_likelihood=log_likelihood
    )
    def sharp(parameters, seed):
        return {
            "y": parameters["x0"]
            + 0.01 * tf.random.stateless_normal(tf.shape(parameters["x0"]), seed)
        }

    draws = exact_draws(sharp, {"y": 0.0}, draws=2_000, seed=1)
    exact = stats.norm(0.0, (1.0 + 1e4) ** -0.5)
    distances = [stats.kstest(draws[name], exact.cdf).statistic for name in names]
    # Measured over three seeds: at most .031; .031 of exact draws.
    assert max(distances) < 0.06


def test_no_exact_draws_of_impossible_data() -> None:
    def log_likelihood(parameters, data):
        return np.where(parameters["x"] + data["y"] > 5.0, 0.0, -np.inf)

    @bi.simulator(prior={"x": tfd.Uniform(0.0, 1.0)}, log_likelihood=log_likelihood)
    def bounded(parameters, seed):
        return {"y": parameters["x"]}

    assert importance(bounded, {"y": 0.0}, draws=1_000).effective_size == 0.0
    with pytest.raises(InputError, match="one observation"):
        importance(bounded, {"y": [0.0, 1.0]}, draws=1_000)
    with pytest.warns(UserWarning, match="(?s)fewer than 500 would count, and tempered SMC can't"):
        assert exact_draws(bounded, {"y": 0.0}, seed=1) is None


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda values: values[:, None], r"(?s)\(1000,\).*\(1000, 1\)"),
        (lambda values: values.sum(), r"(?s)\(1000,\).*shape \(\)"),
        (lambda values: np.where(values < -1.0, np.nan, values), "NaN or inf for .* draws"),
        (lambda values: np.where(values < -1.0, np.inf, values), "NaN or inf for .* draws"),
    ],
)
def test_a_likelihood_that_is_none_is_refused(fault, message: str) -> None:
    def log_likelihood(parameters, data):
        return fault(stats.norm.logpdf(data["y"], parameters["x"]))

    @bi.simulator(prior={"x": tfd.Normal(0.0, 1.0)}, log_likelihood=log_likelihood)
    def faulty(parameters, seed):
        return {"y": parameters["x"]}

    with pytest.raises(InputError, match=message):
        importance(faulty, {"y": 0.5}, draws=1_000)


@pytest.mark.parametrize("y", [[5.0, 6.0], np.nan])
def test_exact_draws_check_the_data(y) -> None:
    with pytest.raises(InputError, match="Data"):
        exact_draws(bi.get_simulator("inverse_ballistics"), {"landing": y}, draws=10)


def test_linear_entropy_and_draws() -> None:
    y = np.array([1.5])
    mean, covariance = linear_module.posterior_moments(y)
    normal = stats.multivariate_normal(mean[0], covariance)
    assert linear_module.entropy() == pytest.approx(normal.entropy(), abs=1e-9)
    draws = exact_draws(bi.get_simulator("linear"), {"y": 1.5}, draws=50_000, seed=1)
    values = np.column_stack([draws["x1"], draws["x2"]])
    np.testing.assert_allclose(values.mean(axis=0), mean[0], atol=0.02)  # 4 sd of the mean: 0.013
    np.testing.assert_allclose(np.cov(values.T), covariance, atol=0.02)


# gaussian


@pytest.mark.parametrize("n", [1, 5, 50])
def test_gaussian_posterior_against_brute_force(n: int) -> None:
    generator = np.random.default_rng(n)
    x = generator.normal(0.7, 1.0, n)
    grid = np.linspace(-6, 6, 20_001)
    log_weights = stats.norm.logpdf(grid) + stats.norm.logpdf(x[:, None], grid).sum(axis=0)
    found = weighted(grid, log_weights)
    padded = np.concatenate([x, 99.0 * np.ones(50 - n)])
    mean, sd = gaussian_module.posterior_moments(padded[None], np.array([n]))
    assert found == pytest.approx((mean[0], sd[0]), abs=1e-6)
    draws = gaussian_module.exact({"x": x}, 40_000, seed=1)["mean"]
    assert draws.mean() == pytest.approx(mean[0], abs=0.02)
    assert draws.std() == pytest.approx(sd[0], abs=0.02)


def test_gaussian_entropy() -> None:
    sds = 1.0 / np.sqrt(np.arange(1, 51) + 1.0)
    assert gaussian_module.entropy() == pytest.approx(
        np.mean([stats.norm(0, sd).entropy() for sd in sds]), abs=1e-9
    )


def test_gaussian_simulations() -> None:
    sample = bi.get_simulator("gaussian").sample(20_000, seed=1)
    valid = np.arange(50) < sample["n"][:, None]
    assert (sample["x"][~valid] == 0.0).all()
    noise = (sample["x"] - sample["mean"][:, None])[valid]
    assert stats.kstest(noise[:20_000], "norm").pvalue > 0.001
    counts = np.bincount(sample["n"], minlength=51)[1:]
    assert stats.chisquare(counts).pvalue > 0.001


# SIR


def euler(lam: float, mu: float, delay: float, initial: float) -> np.ndarray:
    """Expected reports, written from the paper's equations without a look at the simulator."""
    n = 83e6
    lag = round(delay)
    s = n - math.ceil(initial)
    i = float(math.ceil(initial))
    infections = [i]
    while len(infections) < 14 + lag:
        new = lam * i * s / n
        s = s - new
        i = min(max(i + new - mu * i, 0.0), n)
        infections.append(new)
    return np.clip(np.array(infections[lag : lag + 14]), 0.0, n) + 1e-5


@pytest.fixture(scope="module")
def prior_draws() -> dict[str, np.ndarray]:
    return {
        name: np.asarray(value)
        for name, value in bi.get_simulator("sir").draw(300, seed=7).parameters.items()
    }


def row(parameters: dict[str, np.ndarray], index: int) -> tuple[float, float, float, float]:
    return tuple(float(parameters[name][index]) for name in ("lambda", "mu", "delay", "I0"))


def test_sir_prior_is_as_published() -> None:
    prior = sir_module.PRIOR
    # The middle 95 % of each law: medians times and divided by exp(1.96 sd), gamma and exponential
    # from tables.
    for name, median, sd in (("lambda", 0.4, 0.5), ("mu", 1 / 8, 0.2), ("delay", 8.0, 0.2)):
        ends = [float(prior[name].quantile(q)) for q in (0.025, 0.5, 0.975)]
        assert ends == pytest.approx(
            median * np.exp(1.959964 * sd * np.array([-1.0, 0.0, 1.0])), rel=1e-4
        ), name
    assert (float(prior["I0"].mean()), float(prior["I0"].stddev())) == pytest.approx(
        (40.0, 20.0 * np.sqrt(2.0))
    )
    assert float(prior["psi"].mean()) == pytest.approx(5.0)


def test_expected_cases(prior_draws) -> None:
    expected = np.array([euler(*row(prior_draws, index)) for index in range(300)])
    tensors = {name: tf.constant(value) for name, value in prior_draws.items()}
    # Single precision over up to 30 steps: measured at most 1.4e-5 over three seeds.
    np.testing.assert_allclose(sir_module.expected_cases(tensors), expected, rtol=1e-4, atol=1e-4)


def test_delays_round_like_python() -> None:
    delays = np.array([0.2, 0.5, 1.5, 2.5, 7.4, 7.6, 15.0], np.float32)
    parameters = {"lambda": 0.4, "mu": 0.125, "I0": 20.5, "psi": 5.0}
    tensors = {name: tf.fill(len(delays), tf.constant(value)) for name, value in parameters.items()}
    found = sir_module.expected_cases({**tensors, "delay": tf.constant(delays)})
    expected = [euler(0.4, 0.125, float(delay), 20.5) for delay in delays]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_log_likelihood(prior_draws) -> None:
    cases = np.array(sir_module.GERMANY)
    found = sir_module.log_likelihood(prior_draws, {"cases": cases})
    expected = []
    for index in range(300):
        mean = euler(*row(prior_draws, index))
        psi = float(prior_draws["psi"][index])
        expected.append(stats.nbinom.logpmf(cases, psi, psi / (psi + mean)).sum())
    # Both in double precision: measured at most 5e-16 of the sum, over three seeds.
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert found.dtype == np.float64


def test_expected_cases_without_rounding(prior_draws) -> None:
    """The same at whole delays and people, and halfway between two delays their average."""
    tensors = {name: tf.constant(value, tf.float64) for name, value in prior_draws.items()}
    whole = {**tensors, "delay": tf.round(tensors["delay"]), "I0": tf.math.ceil(tensors["I0"])}
    np.testing.assert_array_equal(
        sir_module.expected_cases(whole, whole=False), sir_module.expected_cases(tensors)
    )
    between, next_day = ({**whole, "delay": whole["delay"] + shift} for shift in (0.5, 1.0))
    days = np.stack([sir_module.expected_cases(whole), sir_module.expected_cases(next_day)])
    found = np.asarray(sir_module.expected_cases(between, whole=False))
    # A step of one day can infect more people than there are; what is then below zero counts as
    # zero.
    positive = days.min(axis=0) > 1e-4
    assert positive.mean() > 0.99
    np.testing.assert_allclose(found[positive], days.mean(axis=0)[positive], rtol=1e-12)
    more = sir_module.expected_cases({**whole, "I0": whole["I0"] + 0.25}, whole=False)
    assert np.all(more > days[0], axis=1).mean() > 0.9


def log_gamma(x: Decimal) -> Decimal:
    """Stirling's series to the digits of the context; its error is below 1e-30 from x = 100 on."""
    bernoulli = (
        1 / Decimal(6),
        -1 / Decimal(30),
        1 / Decimal(42),
        -1 / Decimal(30),
        5 / Decimal(66),
    )
    bernoulli = (*bernoulli, -691 / Decimal(2730), 7 / Decimal(6), -3617 / Decimal(510))
    below = Decimal(0)
    while x < 100:
        below = below + x.ln()
        x = x + 1
    series = sum(b / ((2 * n - 1) * 2 * n * x ** (2 * n - 1)) for n, b in enumerate(bernoulli, 1))
    half_log_tau = Decimal("0.918938533204672741780329736405617639861397473637783")
    return (x - Decimal("0.5")) * x.ln() - x + half_log_tau + series - below


@pytest.mark.parametrize("psi", [1e-3, 0.3, 5.0, 60.0])
def test_log_likelihood_of_large_counts(psi: float) -> None:
    """Counts from none to above the population, near and far from their mean; 50 digits decide."""
    parameters = {"lambda": 1.1, "mu": 0.1, "delay": 9.0, "I0": 50.0, "psi": psi}
    values = {name: np.full(2, value, np.float32) for name, value in parameters.items()}
    mean = sir_module.expected_cases(
        {name: tf.constant(value, tf.float64) for name, value in values.items()}
    )
    assert np.max(mean) > 1e7
    largest = np.array([0, 1, 2, 7, 100, 4e3, 3e4, 1e5, 1e6, 5e6, 1e7, 3e7, 8e7, 1e9], np.float32)
    for cases in (largest, np.round(mean[0] * np.tile([1.0, 1.001], 7)).astype(np.float32)):
        expected = Decimal(0)
        count_psi = Decimal(float(values["psi"][0]))
        with localcontext(prec=50):
            for count, average in zip(
                map(Decimal, cases.tolist()), map(Decimal, mean[0].numpy().tolist()), strict=True
            ):
                expected += (
                    log_gamma(count + count_psi) - log_gamma(count_psi) - log_gamma(count + 1)
                )
                expected += count_psi * (count_psi / (count_psi + average)).ln()
                expected += count * (average / (count_psi + average)).ln()
        # Single precision was wrong by up to 137; differences of lgamma in double precision are by
        # 1e-6.
        found = sir_module.log_likelihood(values, {"cases": cases})
        np.testing.assert_allclose(found, float(expected), rtol=1e-11)
        in_graph = tf.function(sir_module.log_likelihood)(values, {"cases": tf.constant(cases)})
        assert in_graph.dtype == tf.float64
        np.testing.assert_allclose(in_graph, found, rtol=1e-14)


def test_tensorflow_and_numpy_simulate_the_same() -> None:
    """Given parameters, and over the prior."""
    count = 2000
    fast = bi.get_simulator("sir")
    slow = bi.get_simulator("sir_numpy")
    values = {"lambda": 0.4, "mu": 0.125, "delay": 8.0, "I0": 29.0, "psi": 3.7}
    given = {name: np.full(count, value, np.float32) for name, value in values.items()}
    pairs = [
        (fast.simulate(given, seed=1)["cases"], slow.simulate(given, seed=1)["cases"]),
        (fast.sample(count, seed=1)["cases"], slow.sample(count, seed=2)["cases"]),
    ]
    for first, second in pairs:
        p_values = [stats.ks_2samp(first[:, day], second[:, day]).pvalue for day in range(14)]
        # Smallest of 14 measured 0.045 to 0.59 over three seeds.
        assert min(p_values) > 1e-4, p_values


def test_simulated_counts_have_the_declared_moments() -> None:
    count = 20_000
    values = {"lambda": 0.4, "mu": 0.125, "delay": 8.0, "I0": 29.0, "psi": 3.7}
    given = {name: np.full(count, value, np.float32) for name, value in values.items()}
    cases = bi.get_simulator("sir").simulate(given, seed=1)["cases"]
    mean = euler(0.4, 0.125, 8.0, 29.0)
    # Measured within 1.1 % and 3.2 % over three seeds.
    np.testing.assert_allclose(cases.mean(axis=0), mean, rtol=0.02)
    np.testing.assert_allclose(cases.var(axis=0), mean + mean**2 / 3.7, rtol=0.08)


def test_days_are_independent_counts_around_their_means() -> None:
    rows = 20_000
    mean = tf.fill((rows, 14), 20.0)
    cases = sir_module.draw_cases(mean, tf.fill(rows, 3.7), tf.constant((1, 2))).numpy()
    between_days = np.corrcoef(cases.T)[np.triu_indices(14, 1)]
    # Largest of 91 correlations: four standard errors.
    assert np.abs(between_days).max() < 4.0 / np.sqrt(rows)
    # Of 280,000 counts the variance has a standard error of 0.4 %.
    assert cases.var() == pytest.approx(20.0 + 20.0**2 / 3.7, rel=0.02)


# shared/reference/covid19.md 12.3: three million prior draws, effective size 64,000.
PUBLISHED = {
    "lambda": (0.4022, 0.0454, 0.4005, 0.3184, 0.4968),
    "mu": (0.1250, 0.0248, 0.1228, 0.0833, 0.1797),
    "delay": (7.741, 1.450, 7.609, 5.260, 10.940),
    "I0": (28.92, 16.26, 25.56, 7.60, 69.68),
    "psi": (3.690, 1.338, 3.524, 1.588, 6.766),
}


@pytest.mark.slow
def test_importance_posterior_for_germany() -> None:
    sir = bi.get_simulator("sir")
    posterior = importance(sir, sir.observed, draws=1_000_000, seed=1)
    assert posterior.effective_size == pytest.approx(64_000 / 3, rel=0.15)
    assert posterior.weights.sum() == pytest.approx(1.0)
    assert posterior.log_evidence == pytest.approx(-91.03, abs=0.05)
    for name, (mean, sd, median, low, high) in PUBLISHED.items():
        values = posterior.parameters[name]
        weights = posterior.weights
        found = np.average(values, weights=weights)
        # Monte Carlo error is 0.007 sd. Measured within 0.011 sd, 1.1 % and, for quantiles, 0.037
        # sd over three seeds.
        assert found == pytest.approx(mean, abs=0.03 * sd), name
        assert np.sqrt(np.average((values - found) ** 2, weights=weights)) == pytest.approx(
            sd, rel=0.03
        ), name
        order = np.argsort(values)
        quantiles = np.interp([0.025, 0.5, 0.975], np.cumsum(weights[order]), values[order])
        np.testing.assert_allclose(quantiles, [low, median, high], atol=0.08 * sd, err_msg=name)
    draws = posterior.draws(20_000, seed=1)
    # Measured within 0.025 over three seeds.
    correlations = np.corrcoef([draws[name] for name in PUBLISHED])
    for first, second, published in (
        ("lambda", "mu", 0.49),
        ("lambda", "I0", -0.64),
        ("delay", "I0", -0.33),
    ):
        names = list(PUBLISHED)
        assert correlations[names.index(first), names.index(second)] == pytest.approx(
            published, abs=0.06
        )


def test_germany_ships() -> None:
    assert bi.get_simulator("sir").observed["cases"].tolist() == [
        29, 37, 66, 220, 188, 129, 241, 136, 281, 451, 170, 1597, 910, 1210,
    ]  # fmt: skip
    assert (
        bi.get_simulator("sir_numpy").observed["cases"].sum()
        == bi.get_simulator("sir").observed["cases"].sum()
    )
