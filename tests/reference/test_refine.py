"""From amortized to exact: moments and evidence against closed forms, and what goes wrong."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.core.weights import Weights
from bayesinn.reference.smc import SMCPosterior, sample_by_stages
from bayesinn.simulators import linear as linear_module

tfd = tfp.distributions
Tensors = dict[str, tf.Tensor]
Y = np.array([-1.5, 0.3, 2.5], np.float32)
EVIDENCE = stats.norm(0.0, np.sqrt(2.0 + linear_module.NOISE**2))


def likelihood(parameters: Tensors, data: Tensors) -> tf.Tensor:
    return tfd.Normal(parameters["x1"] + parameters["x2"], linear_module.NOISE).log_prob(data["y"])


def of_arrays(parameters: dict[str, np.ndarray], data: dict[str, np.ndarray]) -> np.ndarray:
    mean = parameters["x1"] + parameters["x2"]
    return stats.norm.logpdf(data["y"], np.asarray(mean), linear_module.NOISE)


class Rough(bi.Posterior):
    """The exact posterior of the linear toy, but for sds that are too small where y is large."""

    simulator = bi.get_simulator("linear")
    density = "exact"

    def law(self, y: np.ndarray) -> tfd.Distribution:
        mean, covariance = linear_module.posterior_moments(y)
        scale = np.where(y > 1.0, 0.2, 1.2)[:, None, None]
        root = scale * np.linalg.cholesky(covariance)
        return tfd.MultivariateNormalTriL(mean.astype("f4"), root.astype("f4"))

    def sample(self, data: Any, *, draws: int = 1_000, seed: int = 0) -> dict[str, np.ndarray]:
        law = self.law(data["y"])
        z = np.random.default_rng(seed).normal(size=(draws, len(data["y"]), 2)).astype("f4")
        values = np.moveaxis(law.bijector.forward(z).numpy(), 0, 1)
        return {"x1": values[..., 0], "x2": values[..., 1]}

    def log_prob(self, parameters: Any, data: Any) -> np.ndarray:
        values = np.stack([parameters["x1"], parameters["x2"]], axis=-1)
        return self.law(data["y"]).log_prob(np.moveaxis(values, 1, 0)).numpy().T


def refine_far(method: str) -> Any:
    """Refine the observation whose amortized draws are too narrow to be weighed."""
    return bi.refine(
        Rough(),
        {"y": Y[2]},
        log_likelihood=likelihood,
        methods=(method,),
        draws=2_000,
    )


@pytest.fixture
def no_prior_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weight amortized draws alone: those of the prior of this toy are good."""
    monkeypatch.setattr("bayesinn.reference.refinement._PRIOR_SHARE", 0.0)


def check_moments(tree: Any, y: np.ndarray, tolerance: float) -> None:
    mean, covariance = linear_module.posterior_moments(y)
    draws = np.stack([tree["posterior"]["x1"], tree["posterior"]["x2"]]).reshape(2, -1, len(y))
    np.testing.assert_allclose(draws.mean(axis=1).T, mean, atol=tolerance)
    found = [np.cov(draws[..., row]) for row in range(len(y))]
    np.testing.assert_allclose(found, [covariance] * len(y), atol=tolerance)


@pytest.fixture(scope="module")
def hasty() -> bi.AmortizedPosterior:
    """A posterior of few training steps."""
    flow = bi.flows.coupling(blocks=2, hidden=(16,))
    posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=flow)
    return posterior.fit(steps=60, batch_size=128, seed=1, progress=False)


def test_moments_and_evidence_become_exact(hasty: bi.AmortizedPosterior) -> None:
    before = hasty.infer({"y": Y}, draws=4_000, seed=2, predictive=False)
    with pytest.raises(AssertionError):
        check_moments(before, Y, 0.06)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = bi.refine(hasty, {"y": Y}, log_likelihood=likelihood, draws=4_000, seed=2)
    check_moments(tree, Y, 0.06)
    found = tree["refinement"]
    assert found["method"].values.tolist() == ["importance"] * 3
    assert (found["k_hat"] < 0.7).all()
    assert (found["effective_size"] < 16_000).all()
    # A fifth are draws of the prior.
    assert (found["evaluations"] == 20_000).all()
    error = found["log_evidence_error"].values
    assert (error < 0.03).all()
    assert (np.abs(found["log_evidence"].values - EVIDENCE.logpdf(Y)) < 3.0 * error).all()
    values = {name: tree["posterior"][name].values[0] for name in ("x1", "x2")}
    lp = sum(stats.norm.logpdf(value) for value in values.values()) + of_arrays(values, {"y": Y})
    np.testing.assert_allclose(tree["sample_stats"]["lp"].values[0], lp, atol=1e-4)
    assert tree["posterior_predictive"]["y"].shape == (1, 4_000, 3)


@pytest.mark.usefixtures("no_prior_draws")
def test_only_those_that_need_it_go_the_long_way() -> None:
    y = Y[[0, 2]]
    tree = bi.refine(Rough(), {"y": y}, log_likelihood=likelihood, draws=2_000, seed=3)
    found = tree["refinement"]
    assert found["method"].values.tolist() == ["importance", "smc"]
    assert found["k_hat"][0] < 0.5 < 0.75 < found["k_hat"][1]
    check_moments(tree, y, 0.1)
    assert found["r_hat"][1] < 1.02
    assert found["evaluations"][1] > found["evaluations"][0] == 8_000
    error = found["log_evidence_error"].values
    assert (error < 0.05).all()
    assert (np.abs(found["log_evidence"].values - EVIDENCE.logpdf(y)) < 3.0 * error).all()
    again = bi.refine(Rough(), {"y": y}, log_likelihood=likelihood, draws=2_000, seed=3)
    np.testing.assert_array_equal(again["posterior"]["x1"], tree["posterior"]["x1"])


def test_chains_that_disagree_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bayesinn.reference.refinement.MOST_R_HAT", 0.5)
    with pytest.warns(UserWarning, match=r"the observation \(NUTS: R-hat 1.*, \d+ indep"):
        tree = refine_far("nuts")
    assert tree["refinement"]["method"].item() == "amortized"


def test_densities_that_single_precision_rounds_are_not_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As if those of this likelihood, which are small, were large.
    monkeypatch.setattr("bayesinn.reference.refinement.MOST_ROUNDING", 1e-12)
    with pytest.warns(UserWarning, match=r"stay amortized.*nuts: log densities of -.* are rounded"):
        tree = refine_far("nuts")
    assert tree["refinement"]["method"].item() == "amortized"


@pytest.mark.usefixtures("no_prior_draws")
def test_smc_for_functions_of_arrays() -> None:
    tree = bi.refine(Rough(), {"y": Y[2]}, log_likelihood=of_arrays, draws=2_000, seed=4)
    found = tree["refinement"]
    assert found["method"].item() == "smc"
    assert tree["posterior"]["x1"].dims == ("chain", "draw")
    check_moments(tree, Y[2:], 0.1)
    error = found["log_evidence_error"].item()
    assert abs(found["log_evidence"].item() - EVIDENCE.logpdf(Y[2])) < 3.0 * error < 0.15


@pytest.mark.usefixtures("no_prior_draws")
def test_smc_for_functions_of_arrays_keeps_double_precision() -> None:
    """Julian dates, of which single precision keeps a quarter of a day."""
    day = 2_459_000.0

    def log_likelihood(parameters: Any, data: Any) -> np.ndarray:
        mean = day + np.asarray(parameters["a"], np.float64)[:, None]
        return stats.norm.logpdf(np.asarray(data["y"]), mean, 0.05).sum(axis=1)

    @bi.simulator(prior={"a": tfd.Normal(0.0, 1.0)}, engine="python", batched=True)
    def dates(parameters: dict[str, np.ndarray], generator: np.random.Generator) -> Any:
        mean = day + parameters["a"].astype(np.float64)[:, None]
        return {"y": mean + 0.05 * generator.normal(size=(len(mean), 3))}

    class TooNarrow(bi.Posterior):
        simulator = dates
        density = "exact"
        law = stats.norm(0.11, 0.006)

        def sample(self, data: Any, *, draws: int = 1_000, seed: int = 0) -> Any:
            shape = (len(data["y"]), draws)
            return {"a": self.law.rvs(shape, random_state=seed).astype("f4")}

        def log_prob(self, parameters: Any, data: Any) -> np.ndarray:
            return self.law.logpdf(parameters["a"])

    tree = bi.refine(
        TooNarrow(),
        {"y": day + np.array([0.12, 0.09, 0.10])},
        log_likelihood=log_likelihood,
        methods=("importance", "smc"),
        draws=1_000,
    )
    assert tree["refinement"]["method"].item() == "smc"
    # The posterior's sd is 0.029.
    assert float(tree["posterior"]["a"].mean()) == pytest.approx(0.1033, abs=0.006)


@pytest.mark.parametrize(("left", "method"), [(0.3, "smc"), (0.9, "amortized")])
def test_particles_may_remember_a_little_of_their_start(
    monkeypatch: pytest.MonkeyPatch, left: float, method: str
) -> None:
    def remember(*arguments: Any, **options: Any) -> SMCPosterior:
        found = sample_by_stages(*arguments, **options)
        return replace(found, correlations=np.array([0.0, left]))

    monkeypatch.setattr("bayesinn.reference.refinement.sample_by_stages", remember)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Draws stay amortized")
        tree = refine_far("smc")
    assert tree["refinement"]["method"].item() == method


@pytest.mark.usefixtures("no_prior_draws")
def test_draws_stay_amortized_where_nothing_works() -> None:
    with pytest.warns(UserWarning, match=r"(?s)stay amortized.* observation 1 \(k-hat \d"):
        tree = bi.refine(
            Rough(), {"y": Y[[0, 2]]}, log_likelihood=likelihood, methods=("importance",), seed=5
        )
    assert tree["refinement"]["method"].values.tolist() == ["importance", "amortized"]
    assert np.isfinite(tree["refinement"]["log_evidence"]).values.tolist() == [True, False]
    exact_sd = np.sqrt(linear_module.posterior_moments(Y)[1][0, 0])
    assert tree["posterior"]["x1"].std(["chain", "draw"])[1] < 0.5 * exact_sd


class Wide(Rough):
    """The exact posterior with standard deviations eight times too large."""

    width = 8.0

    def law(self, y: np.ndarray) -> tfd.Distribution:
        mean, covariance = linear_module.posterior_moments(y)
        root = self.width * np.linalg.cholesky(covariance)
        return tfd.MultivariateNormalTriL(mean.astype("f4"), root.astype("f4"))


@pytest.mark.usefixtures("no_prior_draws")
def test_weights_worth_too_few_draws_are_multiplied() -> None:
    options: dict[str, Any] = {"log_likelihood": likelihood, "seed": 11, "methods": "importance"}
    few = bi.refine(Wide(), {"y": Y[0]}, proposals=4_000, **options)
    assert few["refinement"]["method"].item() == "importance"
    assert few["refinement"]["evaluations"].item() == 4_000
    assert few["refinement"]["effective_size"].item() < 200
    tree = bi.refine(Wide(), {"y": Y[0]}, **options)
    found = tree["refinement"]
    assert found["effective_size"].item() >= 2_000
    assert 40_000 < found["evaluations"].item() < 100_000
    assert found["log_evidence_error"].item() < 0.05
    check_moments(tree, Y[:1], 0.1)
    distinct = [len(np.unique(each["posterior"]["x1"])) for each in (few, tree)]
    assert distinct[0] < 300 < 750 < distinct[1]


@pytest.mark.parametrize("draws", [20, 100])
def test_few_draws_are_weighted_like_many(draws: int) -> None:
    # Weights that are worth fewer than 100 draws are not trusted, however few are asked for.
    tree = bi.refine(Wide(), {"y": Y[0]}, log_likelihood=likelihood, seed=3, draws=draws)
    assert tree["refinement"]["method"].item() == "importance"
    assert tree["refinement"]["effective_size"].item() >= max(100, 2 * draws)


class Near(Wide):
    """The exact posterior with standard deviations a fifth too large."""

    width = 1.2


@pytest.mark.usefixtures("no_prior_draws")
def test_good_weights_of_few_proposals_are_used() -> None:
    options = {"log_likelihood": likelihood, "draws": 500, "proposals": 500, "seed": 1}
    tree = bi.refine(Near(), {"y": Y[0]}, **options)
    assert tree["refinement"]["method"].item() == "importance"
    assert 400 < tree["refinement"]["effective_size"].item() < 500


class Counted(bi.Posterior):
    """A posterior of an integer, wrong everywhere."""

    density = "exact"

    @bi.simulator(prior={"k": tfd.Poisson(3.0)})
    @staticmethod
    def simulator(parameters: Tensors, seed: tf.Tensor) -> Tensors:
        noise = tf.random.stateless_normal(tf.shape(parameters["k"]), seed)
        return {"y": tf.cast(parameters["k"], tf.float32) + noise}

    def sample(self, data: Any, *, draws: int = 1_000, seed: int = 0) -> dict[str, np.ndarray]:
        return {"k": stats.poisson.rvs(4.0, size=(len(data["y"]), draws), random_state=seed)}

    def log_prob(self, parameters: Any, data: Any) -> np.ndarray:
        return stats.poisson.logpmf(parameters["k"], 4.0)


def count_likelihood(parameters: Tensors, data: Tensors) -> tf.Tensor:
    return tfd.Normal(tf.cast(parameters["k"], tf.float32), 1.0).log_prob(data["y"])


def test_integers_are_weighed() -> None:
    tree = bi.refine(Counted(), {"y": 2.2}, log_likelihood=count_likelihood, draws=4_000, seed=6)
    k = np.arange(40)
    exact = stats.poisson.pmf(k, 3.0) * stats.norm.pdf(2.2, k, 1.0)
    share = np.bincount(tree["posterior"]["k"].values.ravel().astype(int), minlength=40) / 4_000
    np.testing.assert_allclose(share, exact / exact.sum(), atol=0.03)
    found = tree["refinement"]
    off = found["log_evidence"].item() - np.log(exact.sum())
    assert abs(off) < 3.0 * found["log_evidence_error"].item() < 0.1


def test_equal_weights_are_as_good_as_can_be() -> None:
    weights = Weights.smooth(np.full(1_000, -3.0))
    assert weights.reliable
    assert weights.log_evidence == pytest.approx(-3.0)
    assert weights.log_evidence_error == pytest.approx(0.0, abs=1e-6)
    few = np.where(np.arange(1_000) < 20, 0.0, -np.inf)
    assert not Weights.smooth(few).reliable


class Far(Rough):
    """The exact posterior, but thirty standard deviations away."""

    def law(self, y: np.ndarray) -> tfd.Distribution:
        mean, covariance = linear_module.posterior_moments(y)
        root = np.linalg.cholesky(covariance)
        far = mean + 30.0 * root.sum(axis=1)
        return tfd.MultivariateNormalTriL(far.astype("f4"), root.astype("f4"))


@pytest.mark.usefixtures("no_prior_draws")
def test_draws_that_miss_the_posterior_are_found_out() -> None:
    options: dict[str, Any] = {"log_likelihood": likelihood, "draws": 2_000, "seed": 7}
    with pytest.warns(UserWarning, match=r"stay amortized.*k-hat \d.*effective size \d"):
        tree = bi.refine(Far(), {"y": Y[1]}, methods=("importance",), **options)
    assert tree["refinement"]["method"].item() == "amortized"
    assert tree["refinement"]["k_hat"].item() > 0.7
    tree = bi.refine(Far(), {"y": Y[1]}, **options)
    assert tree["refinement"]["method"].item() == "smc"
    check_moments(tree, Y[1:2], 0.1)


def test_a_likelihood_that_ignores_the_parameters_is_warned_of() -> None:
    def same(parameters: Tensors, data: Tensors) -> tf.Tensor:
        total = tf.reduce_sum(likelihood(parameters, data))
        return tf.fill(tf.shape(parameters["x1"]), total)

    with pytest.warns(UserWarning, match=r"(?s)Log likelihood of the observation is the same.*500"):
        bi.refine(
            Rough(),
            {"y": Y[0]},
            log_likelihood=same,
            methods="importance",
            draws=100,
            proposals=500,
        )


def test_undefined_likelihoods_of_chains_are_told_once() -> None:
    """Amortized draws are far from where it is NaN, chains go there."""

    def partly_undefined(parameters: Tensors, data: Tensors) -> tf.Tensor:
        undefined = parameters["x1"] + parameters["x2"] > 3.2
        return tf.where(undefined, np.nan, likelihood(parameters, data))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bi.refine(
            Rough(),
            {"y": Y[[2, 2]]},
            log_likelihood=partly_undefined,
            methods=("nuts",),
            draws=200,
            seed=8,
        )
    pattern = r"Log likelihood of 'linear': NaN or inf in ([\d,]+) of ([\d,]+) evaluations"
    told = [re.match(pattern, str(warning.message)) for warning in caught]
    (found,) = filter(None, told)
    undefined, evaluations = (int(text.replace(",", "")) for text in found.groups())
    assert 0 < undefined < evaluations


def test_chains_may_meet_parameters_whose_simulations_fail() -> None:
    def defined_below(parameters: Tensors, data: Tensors) -> tf.Tensor:
        failed = parameters["x1"] + parameters["x2"] > 3.2
        return tf.where(failed, np.nan, likelihood(parameters, data))

    class Redrawn(Rough):
        simulator = bi.simulator(
            prior=bi.get_simulator("linear").prior.entries, on_nonfinite="redraw"
        )(bi.get_simulator("linear").function)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bi.refine(
            Redrawn(),
            {"y": Y[2]},
            log_likelihood=defined_below,
            methods=("nuts",),
            draws=200,
            seed=8,
            predictive=False,
        )
    # Chains may diverge where the likelihood ends, and say so.
    assert not [warning for warning in caught if "NaN" in str(warning.message)]


@pytest.mark.parametrize("method", ["nuts", "smc"])
def test_integers_cannot_move(method: str) -> None:
    with pytest.raises(InputError, match=r"(?s)continuous parameters.*integers: \['k'\]"):
        bi.refine(Counted(), {"y": 2.2}, log_likelihood=count_likelihood, methods=(method,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "pass log_likelihood="),
        ({"log_likelihood": lambda p, d: likelihood(p, d)[0]}, r"(?s)\(4000,\).*shape \(\)"),
        ({"log_likelihood": lambda p, d: [0.0] * 3}, r"(?s)\(4000,\).*shape \(3,\)"),
        ({"log_likelihood": lambda p, d: p["x1"] * np.inf}, "NaN or inf for .* draws, the"),
        ({"log_likelihood": lambda p, d: likelihood(p, d)[:, None]}, r"(?s)\(4000,\).*\(4000, 1\)"),
        ({"log_likelihood": lambda p, d: tf.math.log(p["x1"])}, "NaN or inf for .* draws, the"),
        ({"log_likelihood": lambda p, d: np.full(len(p["x1"]), -np.inf)}, "-inf for all 5,000"),
        ({"log_likelihood": of_arrays, "methods": ("nuts",)}, "(?s)TensorFlow.*without gradients"),
        ({"log_likelihood": likelihood, "methods": ("hmc",)}, "'importance', 'smc', 'nuts'"),
        ({"log_likelihood": likelihood, "methods": 3}, "'importance', 'smc', 'nuts'"),
        ({"log_likelihood": likelihood, "methods": [["smc"]]}, "'importance', 'smc', 'nuts'"),
        ({"log_likelihood": lambda p, d: "text"}, "(?s)real numbers.*got: +TypeError"),
        ({"log_likelihood": lambda p, d: None}, "(?s)real numbers.*got: "),
        (
            {"log_likelihood": lambda p, d: 1j * np.ones(len(p["x1"]))},
            "(?s)of complex128, not real numbers",
        ),
        ({"log_likelihood": lambda p: p["x1"]}, "(?s)of .parameters, data.*TypeError.*arguments?"),
        ({"log_likelihood": lambda p, d: p["x3"]}, "(?s)got: +KeyError: 'x3'"),
        ({"log_likelihood": likelihood, "proposals": 500}, "1,000 or more"),
        ({"log_likelihood": 3.0}, "(?s)'log_likelihood'.*a function of parameters and data"),
    ],
)
def test_misuse(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bi.refine(Rough(), {"y": Y[0]}, **options)


def test_a_posterior_without_a_density() -> None:
    posterior = bi.SampledPosterior(bi.get_simulator("linear"), Rough().sample)
    with pytest.raises(InputError, match="density"):
        bi.refine(posterior, {"y": Y[0]}, log_likelihood=likelihood)


@dataclass
class Noisy:
    """A likelihood with an attribute; as a dataclass, it can't be a key of a cache."""

    sd: float

    def __call__(self, parameters: Tensors, data: Tensors) -> tf.Tensor:
        return tfd.Normal(parameters["x1"] + parameters["x2"], self.sd).log_prob(data["y"])

    def method(self, parameters: Tensors, data: Tensors) -> tf.Tensor:
        return self(parameters, data)


class Hashed(Noisy):
    """A likelihood whose methods can be keys."""

    __hash__ = object.__hash__


def test_a_likelihood_that_has_changed_is_compiled_anew() -> None:
    model = Hashed(linear_module.NOISE)
    options: dict[str, Any] = {"methods": "importance", "predictive": False, "seed": 8}
    for sd in (model.sd, 1.0):
        model.sd = sd
        for likelihood_now in (model.method, Noisy(sd)):
            tree = bi.refine(Rough(), {"y": Y[0]}, log_likelihood=likelihood_now, **options)
            exact = stats.norm.logpdf(Y[0], 0.0, np.sqrt(2.0 + sd**2))
            assert tree["refinement"]["log_evidence"].item() == pytest.approx(exact, abs=0.06)


def test_draws_and_densities_of_different_solvers_are_not_weighed() -> None:
    flow = bi.flows.FlowMatching(bi.flows.ResidualMLP(units=16, blocks=1))
    posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=flow)
    posterior.fit(steps=300, batch_size=128, seed=1, progress=False)
    data = {"y": Y[1]}
    tree = bi.refine(posterior, data, log_likelihood=likelihood, draws=400, seed=1)
    assert tree["refinement"]["method"].item() in ("nuts", "smc")
    mean, covariance = linear_module.posterior_moments(Y[1:2])
    drawn = tree["posterior"]["x1"].values
    assert drawn.mean() == pytest.approx(mean[0, 0], abs=0.15)
    assert drawn.std() == pytest.approx(np.sqrt(covariance[0, 0]), rel=0.15)
    with pytest.raises(InputError, match="an exact density"):
        bi.refine(posterior, data, log_likelihood=likelihood, methods=["importance"])
