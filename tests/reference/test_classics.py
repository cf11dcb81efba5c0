"""ABC, synthetic likelihood and KDE-MCMC against exact posteriors, and what they refuse."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.reference import (
    SimulatedPosterior,
    kde_mcmc,
    rejection_abc,
    smc_abc,
    synthetic_likelihood,
)
from bayesinn.simulators import (
    g_and_k as g_and_k_module,
    geometric_brownian_motion as brownian_module,
    linear as linear_module,
)

tfd = tfp.distributions
classics = importlib.import_module("bayesinn.reference.classics")
Tensors = dict[str, tf.Tensor]
short_chains = pytest.mark.filterwarnings("ignore:Chains of the posterior")


def check_chains(found: SimulatedPosterior) -> None:
    assert found.r_hat < 1.05
    assert found.effective_size > 200.0
    assert 0.05 < found.acceptance < 0.6


# linear: normal, so that a synthetic likelihood is exact

LINEAR = {
    "rejection": (rejection_abc, {"draws": 2_000, "simulations": 100_000}),
    "smc": (smc_abc, {"particles": 2_000, "simulations": 40_000}),
    "synthetic": (synthetic_likelihood, {"replicates": 20, "chains": 20, "steps": 300}),
    "kde": (kde_mcmc, {"replicates": 200, "chains": 20, "steps": 300}),
}


@short_chains
@pytest.mark.parametrize("method", LINEAR)
def test_linear(method: str) -> None:
    function, options = LINEAR[method]
    found = function(bi.get_simulator("linear"), {"y": 1.5}, seed=1, **options)
    mean, covariance = linear_module.posterior_moments(np.array([1.5]))
    drawn = np.stack([found.parameters["x1"], found.parameters["x2"]])
    error = 4.0 * np.sqrt(covariance[0, 0] / found.effective_size)
    np.testing.assert_allclose(drawn.mean(axis=1), mean[0], atol=error)
    np.testing.assert_allclose(np.cov(drawn), covariance, atol=1.5 * error)
    if method in ("synthetic", "kde"):
        check_chains(found)
    else:
        # What is sharp, the sum, has the width of the noise, and that of the tolerance.
        assert found.tolerances[-1] < 0.15
        assert np.var(drawn.sum(axis=0)) == pytest.approx(covariance.sum(), rel=0.15)


@short_chains
def test_a_measured_number_that_is_whole_by_chance_is_no_count() -> None:
    options: dict[str, Any] = {"replicates": 50, "chains": 4, "steps": 100, "seed": 1}
    found = kde_mcmc(bi.get_simulator("linear"), {"y": 2.0}, **options)
    assert 0.05 < found.acceptance < 0.6


def test_the_report_adds_up() -> None:
    found = smc_abc(
        bi.get_simulator("linear"), {"y": 1.5}, particles=200, simulations=5_000, seed=1
    )
    again = smc_abc(
        bi.get_simulator("linear"), {"y": 1.5}, particles=200, simulations=5_000, seed=1
    )
    np.testing.assert_array_equal(found.parameters["x1"], again.parameters["x1"])
    assert np.all(np.diff(found.tolerances) < 0.0)
    assert found.simulations <= 5_000
    assert 50.0 < found.effective_size <= 200.0
    assert found.draws(300, seed=1)["x2"].shape == (300,)
    assert "tolerance" in repr(found)
    assert "R-hat" not in repr(found)


# geometric Brownian motion: a sufficient summary


def total_return(data: dict[str, np.ndarray]) -> np.ndarray:
    return np.log(data["price"][:, -1])


@short_chains
@pytest.mark.parametrize("method", [smc_abc, synthetic_likelihood])
def test_geometric_brownian_motion(method: Any) -> None:
    simulator = bi.get_simulator("geometric_brownian_motion")
    data = simulator.simulate({"b": np.array([brownian_module.TRUTH], np.float32)}, seed=3)
    data = {"price": data["price"][0]}
    options: dict[str, Any] = {"particles": 400, "simulations": 90_000}
    if method is synthetic_likelihood:
        options = {"replicates": 30, "chains": 10, "steps": 400}
    found = method(simulator, data, summaries=total_return, seed=1, **options)
    exact = brownian_module.exact(data, 20_000, seed=1)["b"]
    error = exact.std(axis=0) / np.sqrt(found.effective_size)
    drawn = found.parameters["b"]
    np.testing.assert_allclose((drawn.mean(axis=0) - exact.mean(axis=0)) / error, 0.0, atol=4.0)
    # ABC's tolerance adds some width: with 60,000 simulations up to 0.19.
    np.testing.assert_allclose(drawn.std(axis=0) / exact.std(axis=0), 1.0, atol=0.2)


# g-and-k: a density that is known by bisection


@bi.simulator(prior={"A": tfd.Uniform(0.0, 10.0)})
def located(parameters: Tensors, seed: tf.Tensor) -> Tensors:
    shape = {name: tf.ones_like(parameters["A"]) * g_and_k_module.TRUTH[name] for name in "Bgk"}
    z = tf.random.stateless_normal((tf.shape(parameters["A"])[0], 100), seed)
    return {"x": g_and_k_module.quantile({**parameters, **shape}, z)}


def octiles(data: dict[str, np.ndarray]) -> np.ndarray:
    return np.quantile(data["x"], np.arange(1, 8) / 8.0, axis=1).T


@short_chains
@pytest.mark.parametrize(
    ("method", "options"),
    [
        (kde_mcmc, {"replicates": 20, "chains": 8, "steps": 200}),
        (
            synthetic_likelihood,
            {"summaries": octiles, "replicates": 40, "chains": 8, "steps": 200},
        ),
    ],
)
def test_location_of_g_and_k(method: Any, options: dict[str, Any]) -> None:
    data = located.simulate({"A": np.array([3.0], np.float32)}, seed=2)
    data = {"x": data["x"][0]}
    grid = np.linspace(2.0, 4.0, 801)
    given = {"A": grid, **{name: np.full(801, g_and_k_module.TRUTH[name]) for name in "Bgk"}}
    log_density = np.asarray(g_and_k_module.log_likelihood(given, data))
    weights = np.exp(log_density - log_density.max())
    mean = np.average(grid, weights=weights)
    sd = np.sqrt(np.average((grid - mean) ** 2, weights=weights))
    found = method(located, data, seed=1, **options)
    # Neither sees all that the density sees: their answers are wider, around the same place.
    assert abs(found.parameters["A"].mean() - mean) < 1.5 * sd
    assert 0.9 * sd < found.parameters["A"].std() < 2.5 * sd


# What is refused


@bi.simulator(prior={"count": tfd.Poisson(3.0)})
def whole(parameters: Tensors, seed: tf.Tensor) -> Tensors:
    noise = tf.random.stateless_normal(tf.shape(parameters["count"]), seed)
    return {"y": parameters["count"] + 0.1 * noise}


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, missing="mask")
def gaps(parameters: Tensors, seed: tf.Tensor) -> Tensors:
    noise = tf.random.stateless_normal((tf.shape(parameters["mean"])[0], 3), seed)
    return {"x": parameters["mean"][:, None] + noise}


def test_integers_are_for_rejection_alone() -> None:
    found = rejection_abc(whole, {"y": 4.0}, draws=200, simulations=20_000, seed=1)
    np.testing.assert_array_equal(np.unique(found.parameters["count"]), [4.0])
    for method in (smc_abc, synthetic_likelihood, kde_mcmc):
        with pytest.raises(InputError, match=r"(?s)\['count'\].*rejection_abc"):
            method(whole, {"y": 4.0}, seed=1)


@pytest.mark.parametrize("method", [rejection_abc, smc_abc, synthetic_likelihood, kde_mcmc])
def test_data_that_the_model_never_makes(method: Any) -> None:
    with pytest.raises(InputError, match=r"(?s)'linear'.*summary 0 from -.*got: *1e\+03.*units"):
        method(bi.get_simulator("linear"), {"y": 1_000.0}, seed=1)


def test_data_just_outside_warn() -> None:
    with pytest.warns(UserWarning, match=r"'linear'.*no simulation comes near in 1 of 1") as told:
        rejection_abc(bi.get_simulator("linear"), {"y": 9.0}, draws=10, simulations=3_000, seed=1)
    assert told[0].filename == __file__


FAULTS = {
    "wrong name": (rejection_abc, "linear", {"x": 1.0}, {}, "'y'"),
    "several observations": (smc_abc, "linear", {"y": [1.0, 2.0]}, {}, "one observation"),
    "flat summaries": (
        rejection_abc,
        "linear",
        {"y": 1.0},
        {"summaries": lambda data: data["y"]},
        r"array \(1, k\)",
    ),
    "flat points": (
        kde_mcmc,
        "linear",
        {"y": 1.0},
        {"points": lambda data: data["y"]},
        r"\(n, points, d\)",
    ),
    "one point": (kde_mcmc, "linear", {"y": 1.0}, {}, "2 or more.*replicates=100"),
    "few replicates": (
        synthetic_likelihood,
        "linear",
        {"y": 1.0},
        {"replicates": 4},
        "more than 4.*1 summaries",
    ),
    "few simulations": (smc_abc, "linear", {"y": 1.0}, {"simulations": 100}, "'simulations'"),
    "one chain": (kde_mcmc, "linear", {"y": 1.0}, {"replicates": 9, "chains": 1}, "'chains'"),
    "negative seed": (rejection_abc, "linear", {"y": 1.0}, {"seed": -1}, "'seed'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_clear_errors(fault: str) -> None:
    method, name, data, options, words = FAULTS[fault]
    with pytest.raises(InputError, match=f"(?s){words}"):
        method(bi.get_simulator(name), data, **options)


def test_missing_values_need_summaries() -> None:
    with pytest.raises(InputError, match="summaries=function"):
        rejection_abc(gaps, {"x": [0.1, np.nan, 0.3]}, seed=1)
    found = rejection_abc(
        gaps,
        {"x": [0.1, np.nan, 0.3]},
        draws=50,
        simulations=3_000,
        summaries=lambda data: np.nanmean(data["x"], axis=1)[:, None],
        seed=1,
    )
    assert found.parameters["mean"].mean() == pytest.approx(0.13, abs=0.3)


def test_padding_is_no_point() -> None:
    @bi.simulator(
        prior={"mean": tfd.Normal(0.0, 1.0)},
        context={"n": tfd.FiniteDiscrete([2, 6], probs=[0.5, 0.5])},
        lengths={"y": "n"},
    )
    def padded(parameters: Tensors, context: Tensors, seed: tf.Tensor) -> Tensors:
        mean = parameters["mean"][:, None]
        return {"y": mean + tf.random.stateless_normal((tf.shape(mean)[0], 6), seed)}

    with pytest.raises(InputError, match="points=function"):
        kde_mcmc(padded, {"y": [2.0, 2.1]}, replicates=20)


# what simulations of real models are like


@bi.simulator(
    prior={"rate": tfd.Uniform(0.05, 5.0)},
    context={"dose": tfd.Uniform(1.0, 3.0)},
)
def few_counts(parameters: Tensors, context: Tensors, seed: tf.Tensor) -> Tensors:
    """A hundred counts, most of them zero at low rates."""
    mean = tf.repeat((context["dose"] * parameters["rate"])[:, None], 100, axis=1)
    return {"cases": tf.random.stateless_poisson(tf.shape(mean), seed, mean)}


@short_chains
@pytest.mark.parametrize("method", ["smc", "synthetic", "kde"])
def test_context_is_no_summary(method: str) -> None:
    generator = np.random.default_rng(1)
    cases = generator.poisson(2.0 * 0.2, 100)
    function, options = LINEAR[method]
    if method == "kde":
        options = {"replicates": 20, "chains": 10, "steps": 200}
    else:
        options = {**options, "summaries": mean_and_sd}
    found = function(few_counts, {"cases": cases, "dose": 2.0}, seed=1, **options)
    rate = found.parameters["rate"]
    # Poisson with a wide prior: mean and sd of a gamma distribution.
    assert rate.mean() == pytest.approx(cases.mean() / 2.0, abs=0.06)
    assert rate.std() < 0.12


def mean_and_sd(data: dict[str, Any]) -> np.ndarray:
    return np.stack([data["cases"].mean(axis=1), data["cases"].std(axis=1)], axis=1)


def test_the_default_summaries_leave_the_context_out() -> None:
    @bi.simulator(prior={"level": tfd.Normal(0.0, 1.0)}, context={"dose": tfd.Uniform(1.0, 3.0)})
    def measured(parameters, context, seed):
        mean = (parameters["level"] * context["dose"])[:, None]
        return {"x": mean + tf.random.stateless_normal((tf.shape(mean)[0], 3), seed)}

    data = {"x": np.array([1.0, 1.4, 0.6]), "dose": 2.0}
    found = synthetic_likelihood(measured, data, replicates=20, chains=10, steps=200, seed=1)
    # Normal data: precision 1 + 3 * 2^2, mean 2 * 3 / 13.
    assert found.parameters["level"].mean() == pytest.approx(6.0 / 13.0, abs=0.08)


def test_many_particles_advance_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classics, "_MOST_ROWS", 100)
    monkeypatch.setattr(classics, "_ROWS_OF_PAIRS", 64)
    found = smc_abc(
        bi.get_simulator("linear"), {"y": 1.5}, particles=300, simulations=20_000, seed=1
    )
    assert len(found.tolerances) > 2
    mean, covariance = linear_module.posterior_moments(np.array([1.5]))
    error = 4.0 * np.sqrt(covariance[0, 0] / found.effective_size)
    assert found.parameters["x1"].mean() == pytest.approx(mean[0, 0], abs=error)


def test_simulations_that_failed_are_no_draws() -> None:
    @bi.simulator(prior={"x": tfd.Normal(0.0, 1.0)}, on_nonfinite="redraw")
    def fragile(parameters, seed):
        x = parameters["x"]
        y = x + tf.random.stateless_normal(tf.shape(x), seed)
        return {"y": tf.where(x > 0.0, y, np.nan)}

    found = rejection_abc(fragile, {"y": 0.5}, draws=500, simulations=4_000, seed=1)
    assert (found.parameters["x"] > 0.0).all()
    with pytest.raises(InputError, match="3000 finite ones of 4000 prior draws"):
        rejection_abc(fragile, {"y": 0.5}, draws=3_000, simulations=4_000, seed=1)


def test_infinite_simulations_are_no_neighbours() -> None:
    @bi.simulator(prior={"a": tfd.Uniform(0.0, 1.0)})
    def overflows(parameters: Tensors, seed: tf.Tensor) -> Tensors:
        return {"y": tf.where(parameters["a"] > 0.5, np.inf, parameters["a"])}

    with pytest.raises(InputError, match=r"(?s)finite|infinit"):
        rejection_abc(overflows, {"y": 0.2}, draws=1_800, simulations=2_000, seed=1)


@pytest.mark.parametrize(
    "reference",
    [
        bi.reference.importance,
        bi.reference.exact_draws,
        bi.reference.tempered_smc,
        bi.reference.rejection_abc,
        bi.reference.smc_abc,
        bi.reference.synthetic_likelihood,
        bi.reference.kde_mcmc,
    ],
)
def test_a_posterior_is_no_simulator(reference) -> None:
    with pytest.raises(InputError, match=r"Argument 'simulator'(?s:.)*a Simulator"):
        reference(bi.AmortizedPosterior(bi.get_simulator("linear")), {"y": 1.0})
