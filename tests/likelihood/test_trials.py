"""Many trials: errors that add up against closed forms, sums and slopes of any number of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.likelihood import RatioFlow, combine
from bayesinn.likelihood.posterior import Score, TrialErrors, TrialLikelihood, padded
from bayesinn.simulation.derived import derived_simulator
from bayesinn.spaces.parameters import ParameterSpace

tfd = tfp.distributions


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)})
def one(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    noise = tf.random.stateless_normal(tf.shape(parameters["mean"]), seed)
    return {"y": parameters["mean"] + noise}


class Shifted(Score):
    """The likelihood of data that are larger by a number."""

    def __init__(self, shift: float) -> None:
        super().__init__(ParameterSpace(one.prior, seed=0))
        self.shift = shift

    def encode(self, data: dict[str, np.ndarray]) -> Any:
        return {"y": np.asarray(data["y"])}

    def term(self, vector: tf.Tensor, encoded: Any) -> tf.Tensor:
        mean = self.parameters.from_vector(vector)["mean"]
        return -0.5 * (encoded["y"] + self.shift - mean) ** 2


def test_a_bias_shifts_posteriors_of_many_trials() -> None:
    errors = TrialErrors(Shifted(0.05), one)
    for trials in (10, 100):
        # n times the bias, divided by n and the prior's precision of one, in units of the sd.
        exact = 0.05 * trials / np.sqrt(trials + 1.0)
        shift, least = errors.shift(trials)
        assert shift == pytest.approx(exact, rel=0.15)
        assert least < 0.2
    # The shift is 0.2 at 17 trials.
    assert errors.most_trials in (10, 15, 20)
    with pytest.warns(
        UserWarning, match=r"'one' holds for up to \d\d trials: .* 100 shift .* 0\.\d+"
    ):
        errors.warn(100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        errors.warn(10)
        unbiased = TrialErrors(Shifted(0.0), one)
        assert unbiased.most_trials == 200
        for trials in (1, 200, 10_000):
            unbiased.warn(trials)


def test_stored_simulations_measure_no_errors() -> None:
    rows = one.sample(100, seed=1)
    stored = bi.from_arrays({"mean": tfd.Normal(0.0, 1.0)}, rows)
    flow = bi.flows.coupling(blocks=1, hidden=(4,))
    trained = bi.AmortizedLikelihood(stored, flow, networks=1)
    trained.fit(rows, steps=2, batch_size=16, progress=False)
    with pytest.raises(InputError, match=r"(?s)that can be run.*stored simulations.*trials"):
        trained.trial_errors()
    with pytest.raises(InputError, match=r"(?s)'observed'.*a dict of name to array"):
        trained.posterior(lambda: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("trials", [1, 8, 100, 130])
def test_a_loop_over_trials_sums_values_and_slopes(trials: int) -> None:
    score = Shifted(0.3)
    encoded = {"y": np.random.default_rng(1).normal(size=(2, trials)).astype("f4")}
    mean = tf.constant([-1.0, 0.0, 0.5, 2.0])
    filled = padded(encoded)
    assert filled["y"].shape[1] == (128 if trials <= 128 else 128**2)
    counts = tf.constant([trials, trials])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(mean)
        looped = score.of_parameters({"mean": mean}, (filled, counts))
        vector = score.parameters.to_vector({"mean": mean})[0]
        direct = score.total(vector, encoded)
    np.testing.assert_allclose(looped, direct, rtol=1e-4)
    slopes = tape.gradient(looped, mean), tape.gradient(direct, mean)
    np.testing.assert_allclose(*slopes, rtol=1e-3, atol=1e-3)


@bi.simulator(
    prior={"slope": tfd.Normal(0.0, 1.0), "level": tfd.Normal(1.0, 2.0)},
    context={"x": tfd.Uniform(-2.0, 2.0), "noise": tfd.Uniform(0.5, 1.5)},
)
def line(
    parameters: dict[str, tf.Tensor], context: dict[str, tf.Tensor], seed: tf.Tensor
) -> dict[str, tf.Tensor]:
    mean = parameters["level"] + parameters["slope"] * context["x"]
    noise = tf.random.stateless_normal(tf.shape(mean), seed)
    return {"y": mean + context["noise"] * noise}


class LineScore(Score):
    def __init__(self) -> None:
        super().__init__(ParameterSpace(line.prior, seed=0))

    def encode(self, data: dict[str, np.ndarray]) -> Any:
        return {name: np.asarray(data[name], np.float32) for name in ("y", "x", "noise")}

    def term(self, vector: tf.Tensor, encoded: Any) -> tf.Tensor:
        values = self.parameters.from_vector(vector)
        mean = values["level"] + values["slope"] * encoded["x"]
        return tfd.Normal(mean, encoded["noise"]).log_prob(encoded["y"])


class Line(TrialLikelihood):
    """The exact likelihood of a point on a line."""

    simulator = line

    def __init__(self) -> None:
        self._score = LineScore()

    def score(self) -> Score:
        return self._score


def exact_line(data: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of slope and level, given the points that are not missing."""
    there = ~np.isnan(data["y"])
    x = np.asarray(data["x"])[there]
    weight = np.broadcast_to(np.square(data["noise"]) ** -1.0, there.shape)[there]
    design = np.stack([x, np.ones_like(x)], axis=1)
    prior = np.diag([1.0, 0.25])
    covariance = np.linalg.inv(prior + design.T @ (weight[:, None] * design))
    mean = covariance @ (prior @ [0.0, 1.0] + design.T @ (weight * np.asarray(data["y"])[there]))
    return mean, covariance


def points(trials: int, *missing: int) -> dict[str, Any]:
    generator = np.random.default_rng(trials)
    x = generator.uniform(-2.0, 2.0, trials).astype("f4")
    y = (0.5 - 0.7 * x + 0.8 * generator.normal(size=trials)).astype("f4")
    y[list(missing)] = np.nan
    return {"y": y, "x": x, "noise": np.float32(0.8)}


def test_each_trial_has_its_context_and_missing_ones_do_not_count() -> None:
    """Without chains: the sum of log likelihoods that they follow, up to a constant."""
    sets = [points(9, 0, 4, 8), points(9), points(9, 1)]
    data = {name: np.stack([one[name] for one in sets]) for name in ("y", "x", "noise")}
    posterior = Line().posterior(trials=9, per_trial="x")
    encoded, counts = posterior._encode(posterior._check(data))
    assert counts.tolist() == [6, 9, 8]
    grid = np.random.default_rng(1).normal([0.0, 1.0], [1.0, 2.0], (6, 2)).astype("f4")
    parameters = {"slope": tf.tile(grid[:, 0], [3]), "level": tf.tile(grid[:, 1], [3])}
    filled = padded(encoded), tf.constant(counts)
    looped = np.reshape(posterior._score.of_parameters(parameters, filled), (3, 6))
    vectors = posterior._score.parameters.to_vector({"slope": grid[:, 0], "level": grid[:, 1]})[0]
    direct = posterior._score.evaluate(vectors.numpy(), encoded, counts)
    np.testing.assert_allclose(looped, direct, rtol=1e-4)
    for row, one in zip(looped, sets, strict=True):
        mean = grid[:, :1] * one["x"] + grid[:, 1:]
        terms = tfd.Normal(mean, one["noise"]).log_prob(one["y"]).numpy()
        np.testing.assert_allclose(row, np.nansum(terms, axis=1), rtol=1e-4)


@pytest.mark.slow
def test_regression_on_the_context_of_each_trial_is_exact() -> None:
    likelihood = Line()
    sets = [points(30, *range(7, 20)), points(30), points(30, 0)]
    data = {name: np.stack([one[name] for one in sets]) for name in ("y", "x", "noise")}
    posterior = likelihood.posterior(trials=30, per_trial=["x"])
    draws = posterior.sample(data, draws=4_000, seed=2)
    single = likelihood.posterior(points(30)).sample(draws=4_000, seed=3)
    results = [*np.stack([draws["slope"], draws["level"]], axis=2)]
    results.append(np.stack([single["slope"], single["level"]], axis=1))
    for found, one in zip(results, [*sets, points(30)], strict=True):
        mean, covariance = exact_line(one)
        sd = np.sqrt(np.diag(covariance))
        # The error of a mean of 4,000 correlated draws is .03 sd; leaving out no trial, or taking
        # the context of another one, shifts by more than one.
        np.testing.assert_allclose(found.mean(axis=0), mean, atol=0.1 * sd.min())
        np.testing.assert_allclose(np.cov(found.T), covariance, atol=0.1 * sd.min() ** 2)
    tree = likelihood.posterior(sets[0]).infer(draws=40, seed=4)
    assert np.isnan(tree["observed_data"]["y"]).sum() == 13
    assert tree["constant_data"]["x"].shape == (30,)
    assert tree["posterior_predictive"]["y"].shape == (8, 5, 30)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["likelihood", "ratio", "combine"])
def test_learned_likelihoods_of_trials_with_context_of_their_own(kind: str) -> None:
    flow = bi.flows.coupling(blocks=2, hidden=(32,))
    estimator: Any = {
        "likelihood": lambda: bi.AmortizedLikelihood(line, flow),
        "ratio": lambda: bi.LikelihoodRatio(line, classifier=RatioFlow(hidden=(64, 64))),
        "combine": lambda: bi.AmortizedPosterior(line, flow=flow),
    }[kind]()
    estimator.fit(steps=2_000, batch_size=256, seed=1, progress=False)
    data = points(25, 3, 4)
    posterior = combine(estimator, data) if kind == "combine" else estimator.posterior(data)
    assert posterior.simulator.per_trial == ("y", "x")
    with warnings.catch_warnings():
        # Of errors that add up: the training is short.
        warnings.simplefilter("ignore")
        draws = posterior.sample(draws=2_000, seed=2)
    mean, covariance = exact_line(data)
    for number, name in enumerate(("slope", "level")):
        sd = np.sqrt(covariance[number, number])
        assert abs(draws[name].mean() - mean[number]) < 0.5 * sd
        assert draws[name].std() == pytest.approx(sd, rel=0.25)


@pytest.mark.parametrize("engine", ["graph", "batched", "calls"])
def test_simulators_of_several_trials_give_each_its_context(engine: str) -> None:
    def function(parameters: Any, context: Any, generator: Any) -> dict[str, Any]:
        return {"y": parameters["slope"] * context["x"] + context["noise"]}

    options: dict[str, Any] = {"engine": "python", "batched": engine == "batched", "workers": 1}
    simulator = line
    if engine != "graph":
        declared = bi.simulator(prior=line.prior.entries, context=line.context.entries, **options)
        simulator = declared(function)
    several = derived_simulator(simulator, trials=3, per_trial=["x"])
    assert several.shapes["context"] == {"x": (3,), "noise": ()}
    x = np.array([[0.0, 1.0, 2.0], [0.5, -0.5, 0.0]], np.float32)
    given = {"slope": np.array([100.0, -50.0], np.float32), "level": np.zeros(2, np.float32)}
    known = {"x": x, "noise": np.full(2, 0.5, np.float32)}
    if engine == "calls":
        rows = [{name: value[n] for name, value in given.items()} for n in range(2)]
        contexts = [{name: value[n] for name, value in known.items()} for n in range(2)]
        calls = [several.function(*pair, None) for pair in zip(rows, contexts, strict=True)]
        y = np.stack([call["y"] for call in calls])
    else:
        seed = tf.constant([1, 2])
        y = np.asarray(several.function(given, known, seed)["y"])
    np.testing.assert_allclose(y, given["slope"][:, None] * x, atol=3.0)


@pytest.mark.parametrize(
    ("observed", "options", "words"),
    [
        ({"y": np.ones(4), "x": np.ones(3), "noise": 1.0}, {}, r"same number.*'y': 4, 'x': 3"),
        ({"y": np.ones(4), "noise": 1.0}, {}, r"'x'.*missing"),
        ({"y": 1.0, "x": np.ones(3), "noise": 1.0}, {}, r"'y'.*shape \(3,\)"),
        ({"y": np.ones(2), "x": [0.0, np.nan], "noise": 1.0}, {}, r"'x'.*give its value.*any"),
        ({"y": np.ones(2), "x": np.zeros(2), "noise": np.nan}, {}, r"'noise'.*give its value"),
        ({"y": np.ones(2), "x": [0.0, 3.0], "noise": 1.0}, {}, r"'x'.*from -2 to 2.*3\.0"),
        ({"y": [np.inf, 1.0], "x": np.zeros(2), "noise": 1.0}, {}, r"'y'.*infinite"),
        ({"y": np.ones((2, 3)), "x": np.ones(3), "noise": 1.0}, {}, r"'y'.*several data sets"),
        (None, {"trials": 3, "per_trial": "z"}, r"'per_trial'.*\['x', 'noise'\].*'z'"),
        (None, {"per_trial": "x"}, r"'per_trial'.*trials=None"),
    ],
)
def test_wrong_context_of_trials_is_refused(observed: Any, options: Any, words: str) -> None:
    with pytest.raises(InputError, match=f"(?s){words}"):
        Line().posterior(observed, **options)


def test_data_sets_without_a_trial_are_refused() -> None:
    posterior = Line().posterior(points(3, 0, 1, 2))
    with pytest.raises(InputError, match=r"(?s)not missing.*NaN in each of 3.*the prior"):
        posterior.sample()


def test_context_that_depends_on_other_context_is_refused() -> None:
    @bi.simulator(
        prior={"level": tfd.Normal(0.0, 1.0)},
        context={"dose": tfd.Uniform(0.0, 1.0), "time": lambda dose: tfd.Normal(dose, 1.0)},
    )
    def tied(parameters: Any, context: Any, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": parameters["level"] + context["time"]}

    assert derived_simulator(tied, trials=3).shapes["context"] == {"dose": (), "time": ()}
    for name in ("dose", "time"):
        with pytest.raises(InputError, match=r"(?s)depend on no other.*'time': \('dose',\)"):
            derived_simulator(tied, trials=3, per_trial=[name])


def test_errors_are_those_of_contexts_that_differ_between_trials() -> None:
    """A bias whose sign is that of the context shifts nothing if the context is drawn anew."""

    class Tilted(LineScore):
        def term(self, vector: tf.Tensor, encoded: Any) -> tf.Tensor:
            values = self.parameters.from_vector(vector)
            bias = 0.3 * encoded["noise"] * tf.sign(encoded["x"]) * values["level"]
            return super().term(vector, encoded) + bias

    shared = TrialErrors(Tilted(), line)
    fresh = TrialErrors(Tilted(), line, per_trial=["x"])
    # The slope sees it in either case.
    assert fresh.shift(50)[0] < 0.8 * shared.shift(50)[0]
