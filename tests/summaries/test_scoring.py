"""Scoring finds exact posteriors where the working model is linear, and the best fit where it isn't."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.errors import InputError
from bayesinn.flows import Bijection, Chain, Coupling, Flow, Standardise
from bayesinn.parameters import ParameterSpace
from bayesinn.simulation.prior import Prior
from bayesinn.summaries import MLP, Scoring, Summary
from bayesinn.summaries.scoring import _around
from bayesinn.testing import check_summary

tfd = tfp.distributions

DESIGN = np.random.default_rng(1).normal(size=(2, 12)).astype(np.float32)
SPACE = ParameterSpace(Prior({"slope": tfd.Normal(0.0, 1.0), "level": tfd.Normal(0.0, 1.0)}), seed=1)


class Linear(Scoring):
    """Data are a linear function of two parameters, with noise of standard deviation 2."""

    def mean(self, parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return tf.stack([parameters["slope"], parameters["level"]], axis=-1) @ DESIGN

    def log_scale(self, parameters: Mapping[str, tf.Tensor], mean: tf.Tensor) -> tf.Tensor:
        return tf.fill(tf.shape(mean), np.float32(np.log(2.0)))


class Bent(Linear):
    """The mean is a curved function of the parameters, and so is the scale."""

    def mean(self, parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
        straight = super().mean(parameters)
        return straight + 0.1 * straight**2

    def log_scale(self, parameters: Mapping[str, tf.Tensor], mean: tf.Tensor) -> tf.Tensor:
        return -0.5 + 0.3 * parameters["level"][:, None] + 0.0 * mean


class Whole(Linear):
    rounded = ("level",)


class Knows(Whole):
    """The data say next to nothing."""

    def log_scale(self, parameters: Mapping[str, tf.Tensor], mean: tf.Tensor) -> tf.Tensor:
        return super().log_scale(parameters, mean) + 10.0


class OneScale(Linear):
    """Gives a single scale for all data."""

    def log_scale(self, parameters: Mapping[str, tf.Tensor], mean: tf.Tensor) -> tf.Tensor:
        return super().log_scale(parameters, mean)[:, :1]


class Misnamed(Linear):
    rounded = ("height",)


class Overflows(Linear):
    def mean(self, parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return super().mean(parameters) * np.inf


def summarise(kind: type[Scoring], x: np.ndarray, **options: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First estimate, improved one and its sd, each (n, 2), without what the network adds to the sd."""
    summary = kind(MLP(8, hidden=(8,)), units=3, hidden=(8,), **options)
    summary.bind(SPACE)
    summary(tf.constant(x))
    # All biases of the last layer are zero when new; a kernel of zeros leaves only what they say.
    kernel, bias = summary.network.layers[-1].get_weights()
    summary.network.layers[-1].set_weights([0.0 * kernel, bias - 20.0])
    result = summary(tf.constant(x)).numpy()
    return result[:, :2], result[:, 2:4], np.exp(result[:, 4:6])


def data(n: int = 50) -> np.ndarray:
    generator = np.random.default_rng(2)
    return (generator.normal(size=(n, 2)) @ DESIGN + 2.0 * generator.normal(size=(n, 12))).astype(np.float32)


def test_one_step_gives_the_exact_posterior_of_a_linear_model() -> None:
    x = data(200)
    start, location, sd = summarise(Linear, x, degrees_of_freedom=1e7)
    design = DESIGN * SPACE.scale[:, None]
    covariance = np.linalg.inv(design @ design.T / 4.0 + np.eye(2))
    mean = (x - SPACE.mean @ DESIGN) @ design.T @ covariance / 4.0
    near = np.abs(start - mean).max(axis=1) < 0.9  # or the step is cut
    assert near.sum() > 20
    assert np.abs(start - mean)[near].max() > 0.5
    # Largest errors for three sets of data: 3e-5 and 3e-5, by differences in single precision.
    assert np.abs(location - mean)[near].max() < 3e-4
    assert np.abs(sd / np.sqrt(np.diag(covariance)) - 1.0).max() < 3e-4


def test_information_is_the_covariance_of_the_score() -> None:
    summary = Bent(MLP(8))
    summary.bind(SPACE)
    vector = tf.repeat(tf.constant([[0.4, -0.7]]), 20_000, axis=0)
    mean, log_scale = summary._predict(SPACE.from_vector(vector))
    noise = np.random.default_rng(1).standard_t(4.0, size=mean.shape).astype(np.float32)
    values = mean + tf.exp(log_scale) * noise
    difference = np.full(2, 0.01, np.float32)
    predicted = summary._predict(SPACE.from_vector(_around(vector, difference)))
    score, root = summary._derive(difference, values, vector, *predicted)
    found = np.cov((score + vector).numpy().T)
    information = (root[0] @ tf.transpose(root[0])).numpy()
    # Largest relative differences for seeds 1, 2, 3: 0.051, 0.064, 0.016. Without the factor of Student's law for the
    # mean, 5/7, it would be 0.4.
    np.testing.assert_allclose(found, information, rtol=0.12)


def test_rounds_lead_to_the_best_fit_of_a_bent_model() -> None:
    x = data(5)

    def log_density(vector: np.ndarray, row: np.ndarray) -> float:
        values = vector * SPACE.scale + SPACE.mean
        mean = values @ DESIGN
        mean, scale = mean + 0.1 * mean**2, np.exp(-0.5 + 0.3 * values[1])
        return float(scipy.stats.t(4.0, mean, scale).logpdf(row).sum() - 0.5 * (vector**2).sum())

    location = summarise(Bent, x, rounds=12)[1]
    for found, row in zip(location, x, strict=True):
        best = scipy.optimize.minimize(lambda vector, row=row: -log_density(vector, row), found)
        # Nothing was gained from there for three sets of five.
        assert log_density(found, row) > -best.fun - 1e-3


def test_nothing_is_known_between_whole_numbers() -> None:
    x = data()
    certain, rounded = summarise(Linear, 100.0 * x)[2], summarise(Whole, 100.0 * x)[2]
    unknowable = 1.0 / SPACE.scale[1] / np.sqrt(12.0)
    assert np.allclose(rounded[:, 1] ** 2 - certain[:, 1] ** 2, unknowable**2, rtol=0.02)
    # And never less than the prior knew.
    assert np.all(summarise(Knows, x)[2] <= 1.0)


def test_predictions_that_overflow_leave_the_first_estimate() -> None:
    start, location, sd = summarise(Overflows, 0.3 * data())
    assert np.array_equal(start, location)
    assert np.all(sd == 1.0)


def test_compiled_for_training_or_not() -> None:
    summary = Bent(MLP(8, hidden=(8,)), rounds=2)
    summary.bind(SPACE)
    plain = summary(tf.constant(data()))
    # At most 4e-5 for three sets of data.
    assert np.allclose(summary(tf.constant(data()), training=True), plain, atol=1e-3)


def test_contract() -> None:
    check_summary(lambda: Bent(MLP(4, hidden=(8,)), units=3, hidden=(8,)), (12,), masks=False, parameters=SPACE)


def test_parameters_must_be_known() -> None:
    with pytest.raises(InputError, match="bind"):
        Linear(MLP(8))(tf.constant(data()))
    with pytest.raises(InputError, match=r"unknown names \['height'\]"):
        Misnamed(MLP(8)).bind(SPACE)
    with pytest.raises(InputError, match="integers \\['k'\\]"):
        Linear(MLP(8)).bind(ParameterSpace(Prior({"k": tfd.Poisson(4.0)}), seed=1))


def test_predictions_must_be_as_many_as_data() -> None:
    with pytest.raises(InputError, match=r"shapes \(1, 12\) and \(1, 1\)"):
        summarise(OneScale, data())
    with pytest.raises(InputError, match=r"shape \(n, 5\)"):
        summarise(Linear, data()[:, :5])


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"degrees_of_freedom": 0.0}])
def test_wrong_options(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="one round or more"):
        Linear(MLP(8), **wrong)


PRIOR = {"slope": tfd.Normal(0.0, 1.0), "level": tfd.Normal(0.0, 1.0)}


@bi.simulator(prior=PRIOR)
def linear(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    mean = tf.stack([parameters["slope"], parameters["level"]], axis=-1) @ DESIGN
    return {"x": mean + 2.0 * tf.random.stateless_normal(tf.shape(mean), seed)}


@bi.simulator(prior=PRIOR)
def two_observables(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    mean = tf.stack([parameters["slope"], parameters["level"]], axis=-1) @ DESIGN
    return {"other": parameters["slope"][:, None], "x": mean + tf.random.stateless_normal(tf.shape(mean), seed)}


def test_the_estimate_comes_first_among_several_summaries() -> None:
    posterior = bi.AmortizedPosterior(two_observables, {"x": Linear(MLP(8))}, flow())
    assert list(posterior.summaries) == ["x", "other"]


def flow() -> Flow:
    return Flow(Chain([Standardise(), Coupling(hidden=(8,))]))


def train(seed: int = 1, **options: object) -> bi.AmortizedPosterior:
    posterior = bi.AmortizedPosterior(linear, Whole(MLP(8, hidden=(16,)), units=3, hidden=(16,)), flow())
    return posterior.fit(**{"steps": 300, "batch_size": 64, "seed": seed, "progress": False, **options})


def test_a_posterior_trains_is_saved_loaded_and_trained_on(tmp_path: Path) -> None:
    posterior, x = train(), {"x": data()}
    draws = posterior.sample(x, draws=400, seed=1)
    posterior.save(tmp_path / "saved")
    again = bi.load(tmp_path / "saved", simulator=linear)
    assert all(np.array_equal(draws[name], value) for name, value in again.sample(x, draws=400, seed=1).items())
    # As good as not at all: at most 2e-5 for seeds 1, 2, 3.
    on = train(steps=1, learning_rate=1e-9, start_from=again).sample(x, draws=400, seed=1)
    assert all(np.allclose(draws[name], value, atol=1e-4) for name, value in on.items())
    covariance = np.linalg.inv(DESIGN @ DESIGN.T / 4.0 + np.eye(2))
    mean = x["x"] @ DESIGN.T @ covariance / 4.0
    errors = np.stack([draws["slope"], draws["level"]], axis=-1).mean(axis=1) - mean
    # In exact standard deviations, root mean square for seeds 1, 2, 3: 0.19, 0.21, 0.19; 0.05 of it is chance.
    assert np.sqrt((errors**2 / np.diag(covariance)).mean()) < 0.3


def test_data_stay_in_single_precision_where_networks_are_in_half() -> None:
    seen = []

    class Watches(Linear):
        def values(self, x: tf.Tensor) -> tf.Tensor:
            seen.append(x.numpy())
            return super().values(x)

    policy, x = keras.config.dtype_policy(), data(5)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        summarise(Watches, x)
    finally:
        keras.config.set_dtype_policy(policy)
    assert np.array_equal(seen[-1], x)


@pytest.mark.parametrize(
    ("summary", "chain"),
    [
        (lambda: MLP(8), [Standardise(), Coupling()]),
        (lambda: Linear(MLP(8)), [Coupling()]),
        (lambda: Linear(MLP(8)), [Coupling(), Standardise()]),
    ],
)
def test_estimates_are_given_and_taken(summary: Callable[[], Summary], chain: list[Bijection]) -> None:
    with pytest.raises(InputError, match="Standardise as the first link"):
        bi.AmortizedPosterior(linear, summary(), Flow(Chain(chain)))
